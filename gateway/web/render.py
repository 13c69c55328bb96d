"""Documents as JSON bytes. Null members stay; a member whose default is None is there only when it is said."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_json(value: object) -> bytes:
    return orjson.dumps(value, default=_members, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _members(value: DataclassInstance | Any) -> dict[str, object]:  # noqa: ANN401 -- orjson calls it with what it does not know
    said = ((field, getattr(value, field.name)) for field in fields(value))
    return {field.name: item for field, item in said if item is not None or field.default is not None}
