"""What is wrong with a value, in the words of whoever wrote it: the checks' own speak of the language they are made
in. Never the value itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

_LIST, _NUMBER, _WHOLE, _FLAG, _SECTION = (
    "must be a list",
    "must be a number",
    "must be a whole number",
    "must be true or false",
    "must be a section (name: value)",
)
_TIME = "must be a time such as 2026-01-01T00:00:00Z"
_NETWORK = "must be a network such as 10.0.0.0/8"
_WORDS = {
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_type": "must be text",
    "bytes_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must have the form {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _SECTION,
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "path_type": "must be a path",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "ip_any_network": _NETWORK,
}


def worded(kind: str, context: Mapping[str, Any]) -> str | None:
    """The words for a fault of this kind; None for one that has its own."""
    words = _WORDS.get(kind)
    if words is None:
        return None
    if context.get("min_length") == 1:
        return "must not be empty"
    return words.format(**{name: _plain(value) for name, value in context.items()})


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.replace("'", "") if isinstance(value, str) and value.startswith("'") else value


def real(found: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from others: what is wrong in a list is not counted as being in it, and the list
    may then seem to be too short."""
    faults = list(found)
    return [one for one in faults if one["type"] != "too_short" or not any(_within(one, other) for other in faults)]


def _within(outer: ErrorDetails, inner: ErrorDetails) -> bool:
    length = len(outer["loc"])
    return len(inner["loc"]) > length and inner["loc"][:length] == outer["loc"]
