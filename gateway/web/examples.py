"""The samples in the description: made by the code that makes the real answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import orjson

from gateway.asks import Code, Failure, FieldFault
from gateway.view import Document, HoldView, RecorderView, TrailView
from gateway.web import problems
from gateway.web.render import to_json

if TYPE_CHECKING:
    from gateway.web.dialect import Schema
    from gateway.web.problems import Problem

CALL_ID = "a8343631-9f35-4a3a-83f0-9e81592339fb"
_REQUEST_ID = "0d4fdcc5f19f4f6c9a43ef40c2c1b7a5"
_AT = "2026-11-21T09:00:00.123Z"

_SILENT = RecorderView(
    backend="verba_eu",
    vendor="verba",
    state="muted",
    parties="both",
    evidence="readback",
    observed_at=_AT,
    error=None,
)
_SILENT_CALL = Document(
    call_id=CALL_ID,
    protected=True,
    desired="muted",
    state="muted",
    parties="both",
    recorders=(_SILENT,),
    holds=(HoldView(hold="card-form", client="crm", actor="agent-17", resume_at=None),),
    exposure_ms=143,
    version=3,
    requested_at=_AT,
    updated_at=_AT,
    durability="stored",
    audit=TrailView(bucket=17, seq=4711, hash="5f0c" * 16),
)
_UNPROVEN = RecorderView(
    backend="verba_eu",
    vendor="verba",
    state="unknown",
    parties=None,
    evidence=None,
    observed_at=None,
    error="timeout",
)
_EARLY_CALL = Document(
    call_id=CALL_ID,
    protected=False,
    desired="muted",
    state="unknown",
    parties="both",
    recorders=(),
    holds=_SILENT_CALL.holds,
    exposure_ms=None,
    version=1,
    requested_at=_AT,
    updated_at=_AT,
    durability="stored",
    audit=_SILENT_CALL.audit,
)


def _sample(value: Document | Problem) -> Schema:
    return cast("Schema", orjson.loads(to_json(value)))


MUTED = _sample(_SILENT_CALL)
WAITING = _sample(_EARLY_CALL)
MUTES: dict[str, Schema] = {
    "this call": {},
    "a hold of its own": {"hold": "card-form", "actor": "agent-17", "reason": "card-entry"},
    "by extension": {"extension": "8856", "call_status": ["ongoing", "next"], "resume_after_seconds": 120},
    "one backend knows the call by another name": {"targets": {"pbx": {"extension": "0003*210", "user_id": "@me"}}},
}
COMMANDS: dict[str, Schema] = {
    "mute": {"action": "mute", "hold": "card-form"},
    "unmute": {"action": "unmute", "hold": "card-form"},
    "keep": {"action": "keep"},
    "discard": {"action": "discard"},
    "start": {"action": "start", "format": "wav"},
    "stop": {"action": "stop"},
}
_DETAILS: dict[Code, str] = {
    Code.UNAUTHENTICATED: "A valid key in the header X-API-Key is needed.",
    Code.FORBIDDEN: "This needs the scope redaction:force.",
    Code.NOT_FOUND: "There is nothing at this path.",
    Code.RECORDER_UNCONFIRMED: "Not proven in time: treat the call as being recorded.",
}
_UNPROVEN_CODES = {Code.RECORDER_UNCONFIRMED, Code.RECORDER_UNAVAILABLE, Code.RECORDER_REFUSED}


def problem(code: Code, status: int) -> Schema:
    detail = _DETAILS.get(code, f"{problems.KINDS[code].title}.")
    invalid = code is Code.INVALID_REQUEST
    faults = (FieldFault(field="targets.pbx.extension", message="Has the wrong form"),) if invalid else ()
    recorders = (_UNPROVEN,) if code in _UNPROVEN_CODES else ()
    found = problems.problem(Failure(code, detail, faults=faults, recorders=recorders), _REQUEST_ID)
    return {**_sample(found), "status": status}
