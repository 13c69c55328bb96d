"""Documents as JSON bytes. Null members stay; a member whose default is None is there only when it is said."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance


def to_json(value: object) -> bytes:
    return orjson.dumps(value, default=_members, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _members(value: DataclassInstance | Any) -> dict[str, object]:  # noqa: ANN401 -- orjson calls it with what it does not know
    names, values, optional = _shape(type(value))  # type: ignore[arg-type]  # a class can be hashed
    members = dict(zip(names, values(value), strict=True))
    for name in optional:
        if members[name] is None:
            del members[name]
    return members


@cache
def _shape(
    kind: type[DataclassInstance],
) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]], tuple[str, ...]]:
    """The members' names, what gets their values, and the names of those that are not there when they are None."""
    names = tuple(field.name for field in fields(kind))  # of one alone its value would be had, and no tuple of it
    return names, attrgetter(*names), tuple(field.name for field in fields(kind) if field.default is None)
