"""The API's own description (OpenAPI 3.0.3), made from what parses requests and writes answers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import orjson

import gateway
from gateway.asks import Code
from gateway.web import components, examples, schema
from gateway.web.components import header_refs, parameter_ref, query, ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.web.dialect import Schema

_ALWAYS = (
    Code.INVALID_REQUEST,
    Code.UNAUTHENTICATED,
    Code.FORBIDDEN,
    Code.CALL_NOT_FOUND,
    Code.VERSION_CONFLICT,
    Code.TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.EXPECTATION_FAILED,
    Code.RATE_LIMITED,
    Code.INTERNAL_ERROR,
    Code.RECORDER_UNCONFIRMED,
)
_CHANGES = (
    Code.AMBIGUOUS_CALL,
    Code.REDACTION_OPEN,
    Code.UNSUPPORTED_BY_RECORDER,
    Code.RECORDER_REFUSED,
    Code.RECORDER_UNAVAILABLE,
)
_GET = (*_ALWAYS, Code.STORE_UNAVAILABLE)
_PUT = (*_ALWAYS, *_CHANGES, Code.IDEMPOTENCY_CONFLICT)
_DELETE = (*_ALWAYS, *_CHANGES, Code.STORE_UNAVAILABLE)
_POST = (*_PUT, Code.STORE_UNAVAILABLE)

_DESCRIPTION = """\
One call that keeps a spoken card number out of every call recording.

A 2xx on a mute means protected: every recorder of the call is proven silent (202: the call has not begun, nothing \
is protected yet). Whatever else happened is problem+json, and the call must be treated as being recorded.

Unknown fields, unknown query parameters and nulls are refused. HEAD is GET without the body. \
Every answer has `X-Request-Id` and `Cache-Control: no-store`.
"""
_PROTECTED = "Protected: every recorder of the call is proven silent."
_PENDING = "Accepted for a call that has not begun: not protected until it has, and is silent."
_DROPPED = "The hold is gone; with the last one recording has resumed. With `force`: see each recorder's `error`."
_STATE = "What is known now."
_DONE = "As PUT and DELETE; `keep`, `discard`, `start`, `stop`: every recorder did it, each says so in `outcome`."


def document() -> Schema:
    """The whole description; the same for every configuration."""
    return {
        "openapi": "3.0.3",
        "info": {"title": "redaction-gateway", "version": gateway.__version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/calls/{call_id}/redaction": _endpoint(),
            "/openapi.json": {"get": _description()},
        },
        "components": components.components(),
        "security": [{"ApiKey": []}, {"ApiKey": [], "Person": []}],
    }


@cache
def text() -> str:
    """The description as it is printed, served and kept."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _endpoint() -> Schema:
    return {
        "parameters": [parameter_ref(name) for name in ("CallId", "RequestId", "IfMatch")],
        "put": {
            "operationId": "mute",
            "summary": "Mute: create or renew this hold and silence the call at every recorder",
            "description": "Needs the scope `redaction:mute`.",
            "parameters": [parameter_ref("IdempotencyKey")],
            "requestBody": _body("MuteBody", examples.MUTES, required=False),
            "responses": {**_answer(200, _PROTECTED), **_answer(202, _PENDING), **_problems(_PUT)},
        },
        "get": {
            "operationId": "read",
            "summary": "The state of the call's redaction",
            "description": "Needs the scope `redaction:read`.",
            "parameters": query(schema.ReadQuery),
            "responses": {**_answer(200, _STATE), **_problems(_GET)},
        },
        "delete": {
            "operationId": "unmute",
            "summary": "Unmute: drop this hold; when it was the last, resume recording everywhere",
            "description": "Needs the scope `redaction:unmute`. Not 2xx: the redaction stands; repeat it.",
            "parameters": query(schema.UnmuteQuery),
            "responses": {**_answer(200, _DROPPED), **_problems(_DELETE)},
        },
        "post": {
            "operationId": "command",
            "summary": "The same as a command; and keep, discard, start and stop of the recording",
            "description": "Needs the scope of the action: as PUT, as DELETE, or `recording:control`.",
            "parameters": [parameter_ref("IdempotencyKey")],
            "requestBody": _body("Command", examples.COMMANDS, required=True),
            "responses": {**_answer(200, _DONE), **_answer(202, _PENDING), **_problems(_POST)},
        },
    }


def _description() -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    answer = {"description": "OpenAPI 3.0.3.", "headers": header_refs("RequestId"), "content": content}
    responses = {"200": answer, **_problems((Code.INVALID_REQUEST,))}
    return {"operationId": "describe", "summary": "This document", "security": [], "responses": responses}


def _answer(status: int, description: str) -> Schema:
    example = examples.WAITING if status == 202 else examples.MUTED  # noqa: PLR2004 -- an HTTP status
    content = {"application/json": {"schema": ref("Document"), "example": example}}
    headers = header_refs("ETag", "RequestId")
    return {str(status): {"description": description, "headers": headers, "content": content}}


def _body(model: str, samples: dict[str, Schema], *, required: bool) -> Schema:
    named = {name: {"value": value} for name, value in samples.items()}
    content = {"application/json": {"schema": ref(model), "examples": named}}
    return {"description": "At most 16384 bytes, not compressed.", "required": required, "content": content}


def _problems(codes: Iterable[Code]) -> Schema:
    statuses = sorted(components.statuses(codes))
    return {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}
