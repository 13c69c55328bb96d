"""Documents as JSON bytes. Null members stay; a member whose default is None is there only when it is said."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_json(value: object) -> bytes:
    return orjson.dumps(value, default=_members, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _members(value: DataclassInstance | Any) -> dict[str, object]:  # noqa: ANN401 -- orjson calls it with what it does not know
    names = _names(type(value))  # type: ignore[arg-type]  # a class can be hashed
    return {name: item for name, stays in names if (item := getattr(value, name)) is not None or stays}


@cache
def _names(kind: type[DataclassInstance]) -> tuple[tuple[str, bool], ...]:
    """The members' names, and whether each is there when it is None."""
    return tuple((field.name, field.default is not None) for field in fields(kind))
