"""The parts of the description that operations refer to: schemas, parameters, headers, problems, security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from gateway.asks import Code
from gateway.view import Document
from gateway.web import examples, schema
from gateway.web.dialect import Schema, converted
from gateway.web.problems import KINDS, MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

_SCHEMA_REF = "#/components/schemas/{model}"
_MORE_HEADERS = {401: ("WWW-Authenticate",), 405: ("Allow",), 429: ("Retry-After",)}


def components() -> Schema:
    return {
        "schemas": _schemas(),
        "parameters": _parameters(),
        "headers": _headers(),
        "responses": {f"Problem{status}": _problem(status) for status in sorted(statuses(Code))},
        "securitySchemes": _security_schemes(),
    }


def statuses(codes: Iterable[Code]) -> set[int]:
    kinds = [KINDS[code] for code in codes]
    return {kind.status for kind in kinds} | {kind.also for kind in kinds if kind.also}


def query(model: type[BaseModel]) -> list[Schema]:
    """The members of `model` as query parameters."""
    properties: Schema = converted(model.model_json_schema())["properties"]
    return [
        {"name": name, "in": "query", "description": item.pop("description"), "schema": item}
        for name, item in properties.items()
    ]


def ref(model: str) -> Schema:
    return {"$ref": _SCHEMA_REF.format(model=model)}


def parameter_ref(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def header_refs(*names: str) -> Schema:
    spelled = {"RequestId": "X-Request-Id"}
    return {spelled.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}


def _schemas() -> Schema:
    """Every model once, under its own name."""
    found = {
        **_models("MuteBody", schema.MUTE, "validation"),
        **_models("Command", schema.COMMAND, "validation"),
        **_models("Document", TypeAdapter(Document), "serialization"),
        **_models("Problem", TypeAdapter(Problem), "serialization"),
    }
    return _null_where_it_counts({name: converted(found[name]) for name in sorted(found)})


def _null_where_it_counts(schemas: Schema) -> Schema:
    """`nullable` beside `allOf` allows no null: what is referred to has to."""
    for model in schemas.values():
        for name, item in model.get("properties", {}).items():
            match item:
                case {"allOf": [{"$ref": target}], "nullable": True}:
                    model["properties"][name] = {"$ref": target}
                    schemas[target.rpartition("/")[2]]["nullable"] = True
                case _:
                    continue
    return schemas


def _models(name: str, adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> Schema:
    top = adapter.json_schema(mode=mode, ref_template=_SCHEMA_REF)
    return {**top.pop("$defs", {}), name: top}


def _problem(status: int) -> Schema:
    codes = [code for code in Code if status in {KINDS[code].status, KINDS[code].also}]
    samples = {code.value: {"value": examples.problem(code, status)} for code in codes}
    return {
        "description": "; ".join(f"`{code.value}`: {KINDS[code].title}" for code in codes),
        "headers": header_refs("RequestId", *_MORE_HEADERS.get(status, ())),
        "content": {MEDIA_TYPE: {"schema": ref("Problem"), "examples": samples}},
    }


def _parameters() -> Schema:
    call_id = (
        "The id that the recorder knows the call by, or the caller's own reference when `extension` or `targets` "
        "say how to find it."
    )
    return {
        "CallId": {
            "name": "call_id",
            "in": "path",
            "required": True,
            "description": call_id,
            "schema": {"type": "string", "pattern": schema.CALL_ID},
            "example": examples.CALL_ID,
        },
        "RequestId": _header_parameter(
            "X-Request-Id",
            "Names the request in every log line and in the answer; one of another form is replaced.",
            {"type": "string"},
        ),
        "IfMatch": _header_parameter(
            "If-Match",
            'Only if the version is one of these: `"3"`, a list, or `*`.',
            {"type": "string", "pattern": schema.IF_MATCH, "example": '"3"'},
        ),
        "IdempotencyKey": _header_parameter(
            "Idempotency-Key",
            "The same key and body are the same operation, which never runs twice.",
            {"type": "string", "pattern": schema.IDEMPOTENCY_KEY, "example": "0d4fdcc5"},
        ),
    }


def _header_parameter(name: str, description: str, form: Schema) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": form}


def _headers() -> Schema:
    text, number = {"type": "string"}, {"type": "integer", "minimum": 0}
    return {
        "RequestId": {"description": "The request's id in every log line.", "schema": text},
        "ETag": {"description": "The document's `version`, in quotes.", "schema": text},
        "WWW-Authenticate": {"description": "How to say who calls.", "schema": text},
        "Allow": {"description": "The methods that the resource takes.", "schema": text},
        "Retry-After": {"description": "Seconds to wait.", "schema": number},
    }


def _security_schemes() -> Schema:
    return {
        "ApiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "Names the application: `rgw_<kid>_<secret>_<crc>`. Always needed, never in the query.",
        },
        "Person": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "Names the person, where the client is configured for it.",
        },
    }
