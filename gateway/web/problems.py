"""Failures as problem+json (RFC 9457): one table from code to status, one shape for every error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.asks import Code, Failure, FieldFault
from gateway.view import Document, RecorderView  # noqa: TC001 -- the OpenAPI document evaluates the annotations
from gateway.web.render import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
_ALONGSIDE = {
    Code.UNAUTHENTICATED: {"WWW-Authenticate": 'ApiKey realm="redaction-gateway", Bearer realm="redaction-gateway"'},
    Code.RATE_LIMITED: {"Retry-After": "1"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a code means to a caller. `also` is a second status that the same code can come with."""

    status: int
    title: str
    also: int | None = None


KINDS: dict[Code, Kind] = {
    Code.INVALID_REQUEST: Kind(status=400, title="The request is not valid"),
    Code.UNAUTHENTICATED: Kind(status=401, title="The caller is not known"),
    Code.FORBIDDEN: Kind(status=403, title="The caller may not do this"),
    Code.CALL_NOT_FOUND: Kind(status=404, title="There is no such call"),
    Code.NOT_FOUND: Kind(status=404, title="There is no such resource"),
    Code.METHOD_NOT_ALLOWED: Kind(status=405, title="The resource does not take this method"),
    Code.AMBIGUOUS_CALL: Kind(status=409, title="More than one call is meant"),
    Code.IDEMPOTENCY_CONFLICT: Kind(status=409, title="The idempotency key is taken", also=422),
    Code.REDACTION_OPEN: Kind(status=409, title="The call must stay silent now"),
    Code.VERSION_CONFLICT: Kind(status=412, title="The redaction has changed"),
    Code.TOO_LARGE: Kind(status=413, title="The body is too large"),
    Code.UNSUPPORTED_MEDIA_TYPE: Kind(status=415, title="The body is not plain JSON"),
    Code.EXPECTATION_FAILED: Kind(status=417, title="The request expects what is not done"),
    Code.UNSUPPORTED_BY_RECORDER: Kind(status=422, title="A recorder cannot do this"),
    Code.RATE_LIMITED: Kind(status=429, title="Too many requests"),
    Code.INTERNAL_ERROR: Kind(status=500, title="The gateway failed"),
    Code.RECORDER_REFUSED: Kind(status=502, title="A recorder refused"),
    Code.RECORDER_UNAVAILABLE: Kind(status=503, title="A recorder cannot be reached"),
    Code.STORE_UNAVAILABLE: Kind(status=503, title="The store cannot be written"),
    Code.RECORDER_UNCONFIRMED: Kind(status=504, title="A recorder has not confirmed: treat it as recording"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the answer is not a 2xx. `recorders` is always there; `redaction` where there is one; `errors` names
    each fault of a request with its field."""

    type: str
    title: str
    status: int
    code: Code
    detail: str
    request_id: str
    recorders: tuple[RecorderView, ...]
    redaction: Document | None = None
    errors: tuple[FieldFault, ...] | None = None


def invalid(*faults: FieldFault) -> Failure:
    return Failure(Code.INVALID_REQUEST, "The request has faults; each is named in errors.", faults=faults)


def problem(failure: Failure, request_id: str) -> Problem:
    """The failure as callers see it: what it says of a recorder and what the document says of it agree."""
    kind = KINDS[failure.code]
    recorders, redaction = _agreed(failure.recorders, failure.document)
    return Problem(
        type=f"urn:redaction-gateway:{failure.code.value}",
        title=kind.title,
        status=kind.also if failure.unprocessable and kind.also else kind.status,
        code=failure.code,
        detail=failure.detail,
        request_id=request_id,
        recorders=recorders,
        redaction=redaction,
        errors=failure.faults or None,
    )


def _agreed(
    failed: tuple[RecorderView, ...], redaction: Document | None
) -> tuple[tuple[RecorderView, ...], Document | None]:
    """Each recorder as it was seen last, with what went wrong in this request: the document may have been made
    after everything was set right again, and would not say why this is no 2xx."""
    if redaction is None:
        return failed, None
    known = {view.backend: view for view in redaction.recorders}
    said = {view.backend: _latest(view, known.get(view.backend, view)) for view in failed}
    shown = tuple(replace(said.get(name, view), action=None, outcome=None) for name, view in known.items())
    return tuple(said.values()) or redaction.recorders, replace(redaction, recorders=shown)


def _latest(failed: RecorderView, known: RecorderView) -> RecorderView:
    latest = failed if (failed.observed_at or "") > (known.observed_at or "") else known
    return replace(latest, error=failed.error or known.error, action=failed.action, outcome=failed.outcome)


def response(failure: Failure, request_id: str, headers: Mapping[str, str] | None = None) -> web.Response:
    found = problem(failure, request_id)
    said = {**(headers or {}), **_ALONGSIDE.get(failure.code, {})}
    return web.Response(status=found.status, body=to_json(found), content_type=MEDIA_TYPE, headers=said)


def translated(raised: web.HTTPException) -> Failure:
    """What aiohttp itself says no with, as a failure of ours."""
    match raised.status:
        case HTTPStatus.NOT_FOUND:
            return Failure(Code.NOT_FOUND, "There is nothing at this path.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return Failure(Code.METHOD_NOT_ALLOWED, "The methods that it takes are in the header Allow.")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Failure(Code.TOO_LARGE, "A body may have 16384 bytes.")
        case HTTPStatus.EXPECTATION_FAILED:
            return Failure(Code.EXPECTATION_FAILED, "Only 100-continue can be expected.")
        case _:
            return Failure(Code.INVALID_REQUEST, "The request cannot be read.")
