"""The API's description as pages to read: Markdown, made from the document that is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.web.dialect import Schema

_METHODS = ("put", "delete", "get", "post")
_LIMITS = ("pattern", "minimum", "maximum", "minItems", "maxItems", "maxLength", "uniqueItems")
_JSON = orjson.OPT_INDENT_2


def markdown(document: Schema) -> str:
    """Every operation, answer, schema and problem of `document`."""
    return "\n".join(_lines(document)).rstrip() + "\n"


def _lines(document: Schema) -> Iterator[str]:
    info, components = document["info"], document["components"]
    yield f"# API reference\n\nVersion {info['version']}, made from [openapi.json](../openapi.json) by"
    yield "`redaction-gateway openapi --form markdown`; [crm.md](crm.md) shows how to use it.\n"
    yield info["description"]
    yield "## Who calls\n"
    for name, scheme in components["securitySchemes"].items():
        place = f"header `{scheme['name']}`" if "name" in scheme else "header `Authorization: Bearer …`"
        yield f"- **{name}**, {place}: {_line(scheme['description'])}"
    yield ""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield from _operation(f"{method.upper()} {path}", item, item[method], components)
    yield "## Problems\n\nAll of one form, [Problem](#problem), as `application/problem+json`.\n"
    for name, response in components["responses"].items():
        yield from _problem(name.removeprefix("Problem"), response)
    yield "## Schemas\n"
    for name, schema in components["schemas"].items():
        yield from _schema(name, schema)


def _operation(title: str, item: Schema, operation: Schema, components: Schema) -> Iterator[str]:
    yield f"## {title}\n\n{operation['summary']}. {operation.get('description', '')}".rstrip() + "\n"
    said = [*item.get("parameters", []), *operation.get("parameters", [])]
    parameters = [_resolved(one, components, "parameters") for one in said]
    if parameters:
        yield from _table(("parameter", "in", "type", "meaning"), (_parameter(one) for one in parameters))
    if "requestBody" in operation:
        yield from _body(operation["requestBody"])
    yield from _table(
        ("status", "answer", "headers", "is"),
        (_response(status, one, components) for status, one in operation["responses"].items()),
    )


def _parameter(one: Schema) -> tuple[str, ...]:
    required = ", required" if one.get("required") else ""
    return f"`{one['name']}`", f"{one['in']}{required}", _type(one["schema"]), _line(one.get("description", ""))


def _body(body: Schema) -> Iterator[str]:
    content = body["content"]["application/json"]
    needed = "required" if body["required"] else "optional"
    yield f"Body ({needed}): {_type(content['schema'])}, `application/json`. {_line(body['description'])}\n"
    for name, example in content["examples"].items():
        yield f"{name}:\n\n{_code(example['value'])}"


def _response(status: str, said: Schema, components: Schema) -> tuple[str, ...]:
    response = _resolved(said, components, "responses")
    schemas = [_type(content["schema"]) for content in response["content"].values()]
    headers = ", ".join(f"`{name}`" for name in response.get("headers", {}))
    meaning = f"[problems {status}](#problems-{status})" if "$ref" in said else _line(response["description"])
    return f"`{status}`", ", ".join(schemas), headers, meaning


def _problem(status: str, response: Schema) -> Iterator[str]:
    yield f"### Problems {status}\n"
    for part in response["description"].split("; "):
        yield f"- {part}"
    example = next(iter(response["content"]["application/problem+json"]["examples"].values()))
    yield f"\n{_code(example['value'])}"


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in schema:
        yield _line(schema["description"]) + "\n"
    if "properties" not in schema:
        yield f"{_type(schema)}\n"
        return
    required = schema.get("required", [])
    rows = (
        (f"`{field}`", _type(item), "yes" if field in required else "no", _meaning(item))
        for field, item in schema["properties"].items()
    )
    yield from _table(("field", "type", "always there", "meaning"), rows)


def _meaning(item: Schema) -> str:
    default = f" Default `{item['default']}`." if "default" in item else ""
    return (_line(item.get("description", "")) + default).strip()


def _type(schema: Schema) -> str:
    """In words, with links to the schemas that it is made of."""
    match schema:
        case {"$ref": target} | {"allOf": [{"$ref": target}]}:
            name = target.rpartition("/")[2]
            words = f"[{name}](#{name.lower()})"
        case {"oneOf": choices}:
            words = "one of " + ", ".join(_type(choice) for choice in choices)
        case {"enum": values}:
            words = " or ".join(f"`{value}`" for value in values if value is not None)
        case {"type": "array", "items": items}:
            words = f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict() as values}:
            words = f"object of {_type(values)}"
        case _:
            words = str(schema["type"])
    limits = [f"{word} `{schema[word]}`" for word in _LIMITS if word in schema]
    return ", ".join([words, *limits, *(["or null"] if schema.get("nullable") else [])])


def _resolved(said: Schema, components: Schema, kind: str) -> Schema:
    found: Schema = components[kind][said["$ref"].rpartition("/")[2]] if "$ref" in said else said
    return found


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _code(value: object) -> str:
    return f"```json\n{orjson.dumps(value, option=_JSON).decode()}\n```\n"


def _line(text: str) -> str:
    return " ".join(text.split())
