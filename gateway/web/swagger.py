"""The API's description in the older form (OpenAPI 2.0), for what takes no other: made from the newer one.

Whatever a client may say by the newer form it may say by this one. What the older form has no words for is said more
loosely: a choice between commands is one object with the members of all, null stands in `x-nullable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.dialect import Schema

_SCHEMAS, _DEFINITIONS = "#/components/schemas/", "#/definitions/"
_COPIED = ("operationId", "summary", "description")
_PARAMETER = ("name", "in", "required", "description")
_METHODS = ("get", "put", "delete", "post")


def swagger(document: Schema, *, host: str | None = None) -> Schema:
    """`document`, an OpenAPI 3.0 one of ours, as OpenAPI 2.0; `host` is where it is served."""
    definitions = {name: _schema(schema) for name, schema in _merged(document["components"]["schemas"]).items()}
    found = {
        "swagger": "2.0",
        "info": document["info"],
        **({"host": host} if host else {}),
        "basePath": urlsplit(document["servers"][0]["url"]).path,
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": sorted({kind for part in _walked(document) for kind in part.get("content", {})}),
        "paths": {path: _path(item, document) for path, item in document["paths"].items()},
        "definitions": definitions,
        "securityDefinitions": {"ApiKey": document["components"]["securitySchemes"]["ApiKey"]},
        "security": [{"ApiKey": []}],
    }
    return {**found, "definitions": _used(found)}


def _walked(part: object) -> Iterator[Schema]:
    """Every object in it."""
    if isinstance(part, dict):
        yield part
        for item in part.values():
            yield from _walked(item)
    elif isinstance(part, list):
        for item in part:
            yield from _walked(item)


# ── schemas ──


def _merged(schemas: Schema) -> Schema:
    """Each choice as one object: the members of all, of which only the one that tells them apart must be there."""
    return {name: _choice(schema, schemas) if "oneOf" in schema else schema for name, schema in schemas.items()}


def _choice(schema: Schema, schemas: Schema) -> Schema:
    tag = schema["discriminator"]["propertyName"]
    parts = {word: schemas[_name(target)] for word, target in schema["discriminator"]["mapping"].items()}
    members: Schema = {}
    takers: dict[str, list[str]] = {}
    for word, part in parts.items():
        for member, item in part["properties"].items():
            members.setdefault(member, item)
            takers.setdefault(member, []).append(word)
    for member, words in takers.items():
        if len(words) < len(parts):
            told = f"{members[member].get('description', '')} Only with {', '.join(words)}.".strip()
            members[member] = {**members[member], "description": told}
    members[tag] = {"type": "string", "enum": [*parts], "description": "What to do."}
    return {"type": "object", "additionalProperties": False, "required": [tag], "properties": members}


def _schema(part: object) -> object:
    if isinstance(part, list):
        return [_schema(item) for item in part]
    if not isinstance(part, dict):
        return part
    found: Schema = {}
    for word, value in part.items():
        match word:
            case "properties":
                found[word] = {name: _schema(item) for name, item in value.items()}
            case "nullable":
                found["x-nullable"] = value
            case "enum":
                found[word] = [item for item in value if item is not None]
            case "$ref":
                found[word] = value.replace(_SCHEMAS, _DEFINITIONS)
            case _:
                found[word] = _schema(value)
    return found


def _used(document: Schema) -> Schema:
    """The definitions that something refers to."""
    definitions = document["definitions"]
    names: set[str] = set()
    waiting = [document["paths"]]
    while waiting:
        new = {_name(part["$ref"]) for part in _walked(waiting.pop()) if "$ref" in part} - names
        names |= new
        waiting += [definitions[name] for name in new]
    return {name: definition for name, definition in definitions.items() if name in names}


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


# ── operations ──


def _path(item: Schema, document: Schema) -> Schema:
    found: Schema = {method: _operation(item[method], document) for method in _METHODS if method in item}
    if "parameters" in item:
        found["parameters"] = [_parameter(one, document) for one in item["parameters"]]
    return found


def _operation(operation: Schema, document: Schema) -> Schema:
    found: Schema = {word: operation[word] for word in _COPIED if word in operation}
    parameters = [_parameter(one, document) for one in operation.get("parameters", [])]
    if "requestBody" in operation:
        parameters.append(_body(operation["requestBody"]))
    if "security" in operation:
        found["security"] = operation["security"]
    responses = {status: _response(one, document) for status, one in operation["responses"].items()}
    return {**found, "parameters": parameters, "responses": responses}


def _body(body: Schema) -> Schema:
    schema = body["content"]["application/json"]["schema"]
    said = {"description": body["description"], "required": body["required"]}
    return {"name": "body", "in": "body", **said, "schema": _schema(schema)}


def _parameter(said: Schema, document: Schema) -> Schema:
    parameter = _resolved(said, document)
    schema = {word: value for word, value in parameter["schema"].items() if word != "example"}
    kept: Schema = {word: parameter[word] for word in _PARAMETER if word in parameter}
    return {**kept, **cast("Schema", _schema(schema))}


def _response(said: Schema, document: Schema) -> Schema:
    response = _resolved(said, document)
    found: Schema = {"description": response["description"]}
    for kind, content in response.get("content", {}).items():
        found["schema"] = _schema(content["schema"])
        example = content.get("example", next((one["value"] for one in content.get("examples", {}).values()), None))
        if example is not None:
            found["examples"] = {kind: example}
    found["headers"] = {name: _header(one, document) for name, one in response.get("headers", {}).items()}
    return found


def _header(said: Schema, document: Schema) -> Schema:
    header = _resolved(said, document)
    return {"description": header["description"], **header["schema"]}


def _resolved(said: Schema, document: Schema) -> Schema:
    """What a reference refers to; anything else as it is."""
    if "$ref" not in said:
        return said
    found = document
    for step in said["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found
