"""Every answer, good or bad: one shape, one log line, one count, nothing that must not be seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from aiohttp import web
from front import CALL, CARD, DOCUMENT, PATH, RECORDER, Front, fronted
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from gateway.asks import Code, Failure, FieldFault
from gateway.web.problems import KINDS, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


# The table of the contract, written down a second time: the first one is what is tested.
STATUSES = {
    "expectation-failed": 417,
    "invalid-request": 400, "unauthenticated": 401, "forbidden": 403, "call-not-found": 404, "not-found": 404,
    "method-not-allowed": 405, "ambiguous-call": 409, "redaction-open": 409, "idempotency-conflict": 409,
    "version-conflict": 412, "too-large": 413, "unsupported-media-type": 415, "unsupported-by-recorder": 422,
    "rate-limited": 429, "internal-error": 500, "recorder-refused": 502, "recorder-unavailable": 503,
    "store-unavailable": 503, "recorder-unconfirmed": 504,
}  # fmt: skip


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
async def test_a_failure_is_the_problem_of_its_code(front: Front, code: Code, method: str) -> None:
    """Status, code, detail and request id of each, as problem+json; recorders always there."""
    front.service.fails(Failure(code, "As told."))
    reply = await front.ask(method, headers={"X-Request-Id": "abcd-1234"})
    assert reply.status == reply.json["status"] == STATUSES[code.value]
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert set(reply.json) == {"type", "title", "status", "code", "detail", "request_id", "recorders"}
    assert (reply.json["code"], reply.json["detail"]) == (code.value, "As told.")
    assert (reply.json["request_id"], reply.json["recorders"]) == ("abcd-1234", [])
    assert front.count("redaction_requests_total", method=method, outcome=code.value) == 1


def test_every_code_has_a_kind() -> None:
    """A code without a status would be a server error at the worst moment."""
    assert {code.value: KINDS[code].status for code in Code} == STATUSES


async def test_a_problem_shows_the_redaction_and_its_recorders(front: Front) -> None:
    """Where there is a document it is there whole, and the recorders are its recorders."""
    front.service.fails(Failure(Code.RECORDER_UNCONFIRMED, "As told.", document=replace(DOCUMENT, protected=False)))
    reply = await front.ask("PUT")
    assert reply.json["redaction"]["protected"] is False
    assert reply.json["redaction"]["call_id"] == CALL
    assert reply.json["recorders"] == reply.json["redaction"]["recorders"]
    assert "ETag" not in reply.headers


async def test_a_problem_shows_the_recorders_that_it_names(front: Front) -> None:
    """With their outcome, which a redaction does not have."""
    recorder = replace(RECORDER, action="start", outcome="failed", error="refused")
    front.service.fails(Failure(Code.RECORDER_REFUSED, "As told.", recorders=(recorder,), document=DOCUMENT))
    reply = await front.ask("POST", json={"action": "start"})
    assert [r["outcome"] for r in reply.json["recorders"]] == ["failed"]
    assert "outcome" not in reply.json["redaction"]["recorders"][0]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_recorders_and_redaction_of_a_problem_agree(front: Front, method: str) -> None:
    """What went wrong is in both, with the state as it was seen last, though the document was made after the call
    had been muted again."""
    failed = replace(RECORDER, state="unknown", evidence=None, observed_at=None, error="timeout")
    front.service.fails(Failure(Code.RECORDER_UNCONFIRMED, "As told.", recorders=(failed,), document=DOCUMENT))
    reply = await front.ask(method)
    assert reply.json["recorders"] == reply.json["redaction"]["recorders"]
    (shown,) = reply.json["recorders"]
    assert (shown["state"], shown["evidence"], shown["error"]) == ("muted", "readback", "timeout")


async def test_a_later_look_of_the_request_itself_counts(front: Front) -> None:
    """A command's result is newer than the document, and both say so."""
    stopped = replace(RECORDER, state="unmuted", observed_at="2026-11-21T09:00:07.000Z", action="stop", outcome="done")
    refused = replace(RECORDER, backend="verba_eu", error="refused", action="stop", outcome="failed")
    front.service.fails(Failure(Code.RECORDER_REFUSED, "As told.", recorders=(stopped, refused), document=DOCUMENT))
    reply = await front.ask("POST", json={"action": "stop"})
    assert [(r["backend"], r["state"], r["outcome"]) for r in reply.json["recorders"]] == [
        ("pbx", "unmuted", "done"), ("verba_eu", "muted", "failed"),
    ]  # fmt: skip
    assert [(r["backend"], r["state"]) for r in reply.json["redaction"]["recorders"]] == [("pbx", "unmuted")]


async def test_a_problem_names_the_faults(front: Front) -> None:
    """The service finds faults too, with their fields."""
    fault = FieldFault(field="backends.0", message="Is not routed to")
    front.service.fails(Failure(Code.INVALID_REQUEST, "As told.", faults=(fault,)))
    reply = await front.ask("PUT")
    assert reply.json["errors"] == [{"field": "backends.0", "message": "Is not routed to"}]


@pytest.mark.parametrize("said", ["abcdefgh", "A" * 64, "a8343631-9f35-4a3a-83f0-9e81592339fb"])
async def test_a_request_id_is_echoed(front: Front, said: str) -> None:
    """In the answer, and in the ask."""
    reply = await front.ask("PUT", headers={"X-Request-Id": said})
    assert (reply.headers["X-Request-Id"], front.service.asked[0].origin.request_id) == (said, said)


@pytest.mark.parametrize("said", ["", "short", "a" * 65, "with space", "under_score", "tab\tbed1", "ünïcödé-id"])
async def test_any_other_request_id_is_replaced(front: Front, said: str) -> None:
    """By one of ours, which is then the one everywhere."""
    reply = await front.ask("PUT", headers={"X-Request-Id": said})
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])
    assert front.service.asked[0].origin.request_id == reply.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "client"),
    [
        ("PUT", PATH, "crm"), ("GET", PATH, "crm"), ("GET", PATH, ""), ("GET", PATH, "nobody"),
        ("PUT", f"{PATH}?x=1", "crm"), ("PATCH", PATH, "crm"), ("GET", "/nowhere", ""), ("GET", "/openapi.json", ""),
    ],
)  # fmt: skip
async def test_every_answer_has_its_request_id_and_is_not_stored(
    front: Front, method: str, path: str, client: str
) -> None:
    """Errors as well as the rest."""
    reply = await front.ask(method, path, client=client, headers={"X-Request-Id": "abcd-1234"})
    assert (reply.headers["X-Request-Id"], reply.headers["Cache-Control"]) == ("abcd-1234", "no-store")
    assert reply.headers["Server"] == "redaction-gateway"


async def test_an_unexpected_exception_is_a_500_that_says_nothing(front: Front) -> None:
    """Neither the answer nor the log has its text; the log has its kind and where it happened."""
    front.service.fails(RuntimeError(f"key rgw_secret card {CARD}"))
    with capture_logs(processors=[merge_contextvars]) as lines:
        reply = await front.ask("PUT", headers={"X-Request-Id": "abcd-1234"})
    assert (reply.status, reply.json["code"]) == (500, "internal-error")
    failed, served = lines
    assert (failed["event"], failed["error"], failed["log_level"]) == ("request.failed", "RuntimeError", "error")
    assert failed["at"][-1].endswith(" fail")
    assert (failed["request_id"], served["code"]) == ("abcd-1234", "internal-error")
    for output in (reply.body.decode(), str(lines)):
        assert "rgw_secret" not in output
        assert CARD not in output
    assert front.count("redaction_requests_total", method="PUT", outcome="internal-error") == 1


async def test_one_line_a_request_without_path_and_query(front: Front) -> None:
    """Method, route, status, time, client, code, request id: not the call, not a parameter, not a key."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        await front.ask("DELETE", f"{PATH}?hold=card-form", headers={"X-Request-Id": "abcd-1234"})
    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request.served", "log_level": "info", "method": "DELETE", "status": 200, "code": "ok",
        "route": "/v1/calls/{call_id}/redaction", "client": "crm", "request_id": "abcd-1234",
    }  # fmt: skip
    assert "request_id" not in structlog.contextvars.get_contextvars()


async def test_a_strangers_line_has_no_client(front: Front) -> None:
    """And an unknown path no route; the path itself is not logged."""
    with capture_logs() as lines:
        await front.ask("PROPFIND", f"/coffee/{CARD}", client="")
    (line,) = lines
    assert (line["client"], line["route"], line["method"], line["code"]) == (None, None, "other", "not-found")
    assert CARD not in str(line)


async def test_requests_are_counted_and_timed(front: Front) -> None:
    """By method and outcome."""
    for _ in range(3):
        await front.ask("PUT")
    await front.ask("GET", client="nobody")
    assert front.count("redaction_requests_total", method="PUT", outcome="ok") == 3
    assert front.count("redaction_request_seconds_count", method="PUT") == 3
    assert front.count("redaction_requests_total", method="GET", outcome="forbidden") == 1


def test_any_no_of_the_http_library_is_a_failure() -> None:
    """Also one that nobody thought of."""
    assert translated(web.HTTPUpgradeRequired()).code is Code.INVALID_REQUEST
