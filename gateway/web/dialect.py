"""JSON Schema as pydantic writes it (2020-12), in the words that OpenAPI 3.0.3 has for the same."""

from __future__ import annotations

from typing import Any, cast

Schema = dict[str, Any]

# `propertyNames` has no word in 3.0.3; titles repeat the names.
_DROPPED = ("$defs", "propertyNames", "title")


def converted(schema: Schema) -> Schema:
    """`schema` with every part of it in the older dialect. Not in place."""
    return cast("Schema", _part(schema))


def _part(part: object) -> object:
    if isinstance(part, list):
        return [_part(item) for item in part]
    if not isinstance(part, dict):
        return part
    return _nullable(_schema(part))


def _schema(schema: Schema) -> Schema:
    found: Schema = {}
    for word, value in schema.items():
        match word:
            case "properties":
                # Names, not words of the dialect: a property may well be called "title".
                found[word] = {name: _part(item) for name, item in value.items()}
            case "patternProperties":
                # Names by pattern have no word in 3.0.3: what they hold stays said.
                found["additionalProperties"] = _part(next(iter(value.values())))
            case "const":
                found["enum"] = [value]
            case word if word in _DROPPED:
                continue
            case _:
                found[word] = _part(value)
    return found


def _nullable(schema: Schema) -> Schema:
    """A choice between something and null is that something, `nullable`: unless null is the default, which stands
    for "left out" and is never written."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == len(schema.get("anyOf", [])):
        return schema
    rest = {word: value for word, value in schema.items() if word not in {"anyOf", "default"}}
    beside = rest or "default" not in schema
    only: Schema = {"allOf": choices} if "$ref" in choices[0] and beside else choices[0]
    if "default" in schema:
        return {**only, **rest}
    values = {"enum": [*only["enum"], None]} if "enum" in only else {}
    return {**only, **values, **rest, "nullable": True}
