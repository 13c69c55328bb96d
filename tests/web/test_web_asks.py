"""What is asked over HTTP reaches the service whole, and its answer goes back whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from front import CALL, DOCUMENT, NOW, PATH, RECORDER, Front, fronted

from gateway.asks import Answer, Ask, Control, Mute, Read, Unmute
from gateway.model import Action, CallKey, CallStatus, PartialTarget, Parties, Where

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Kind = TypeVar("Kind", bound=Ask)
KEY = CallKey(tenant="acme", call_id=CALL)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


def last(front: Front, kind: type[Kind]) -> Kind:
    (ask,) = front.service.asked
    assert isinstance(ask, kind)
    return ask


async def test_put_without_body_mutes_both_under_the_default_hold(front: Front) -> None:
    """An empty body, without a content type, is a whole mute."""
    reply = await front.ask("PUT")
    ask = last(front, Mute)
    assert reply.status == 200
    assert (ask.key, ask.hold, ask.parties, ask.where) == (KEY, "default", Parties.BOTH, Where())
    assert (ask.resume_after_seconds, ask.if_match, ask.received_at) == (None, None, NOW)
    assert (ask.origin.principal.client, ask.origin.address) == ("crm", "127.0.0.1")
    assert (ask.origin.actor, ask.origin.trigger, ask.origin.reason) == (None, None, None)


async def test_put_carries_every_field(front: Front) -> None:
    """Each field of the body arrives in the ask, under the call it was said for."""
    body = {
        "parties": "caller",
        "extension": "0003*210",
        "call_status": ["ongoing", "next"],
        "targets": {
            "pbx": {"extension": "@self", "call_status": ["last", "ongoing"], "user_id": "@me", "view_id": "01"},
            "verba_eu": {"call_id": "A:1"},
        },
        "backends": ["pbx", "verba_eu"],
        "hold": "card-form",
        "resume_after_seconds": 86400,
        "actor": "agent-17@desk",
        "trigger": "automated",
        "reason": "card-entry",
    }
    assert (await front.ask("PUT", json=body)).status == 200
    ask = last(front, Mute)
    assert (ask.hold, ask.parties, ask.resume_after_seconds) == ("card-form", Parties.CALLER, 86400)
    assert (ask.origin.actor, ask.origin.trigger, ask.origin.reason) == ("agent-17@desk", "automated", "card-entry")
    assert ask.where == Where(
        extension="0003*210",
        call_status=(CallStatus.ONGOING, CallStatus.NEXT),
        targets={
            "pbx": PartialTarget(
                extension="@self", call_status=(CallStatus.LAST, CallStatus.ONGOING), user_id="@me", view_id="01"
            ),
            "verba_eu": PartialTarget(call_id="A:1"),
        },
        backends=("pbx", "verba_eu"),
    )


@pytest.mark.parametrize("word", ["caller", "called", "both"])
async def test_parties_are_the_set_that_the_word_names(front: Front, word: str) -> None:
    """No word mutes somebody else."""
    await front.ask("PUT", json={"parties": word})
    expected = {"caller": Parties.CALLER, "called": Parties.CALLED, "both": Parties.BOTH}
    assert last(front, Mute).parties is expected[word]


@pytest.mark.parametrize(
    "statuses", [["ongoing"], ["next"], ["last"], ["ongoing", "next"], ["last", "ongoing"]], ids="-".join
)
async def test_every_legal_call_status_is_taken_in_its_order(front: Front, statuses: list[str]) -> None:
    """The order is the order in which calls are tried."""
    await front.ask("PUT", json={"extension": "8856", "call_status": statuses})
    assert last(front, Mute).where.call_status == tuple(CallStatus(word) for word in statuses)


@pytest.mark.parametrize("extension", ["8856", "+15551234567", "0003*210", "@self", "#31", "4111111111111111"])
async def test_extensions_of_every_vendor_are_taken(front: Front, extension: str) -> None:
    """Also one that passes the Luhn check: a mute is not refused for it."""
    await front.ask("PUT", json={"extension": extension})
    assert last(front, Mute).where.extension == extension


async def test_delete_drops_the_default_hold(front: Front) -> None:
    """Without parameters it is the default hold, not forced."""
    assert (await front.ask("DELETE")).status == 200
    ask = last(front, Unmute)
    assert (ask.key, ask.hold, ask.force, ask.received_at) == (KEY, "default", False, NOW)


async def test_delete_takes_hold_and_force(front: Front) -> None:
    """Both parameters reach the service."""
    await front.ask("DELETE", f"{PATH}?hold=card-form&force=true")
    ask = last(front, Unmute)
    assert (ask.hold, ask.force) == ("card-form", True)


@pytest.mark.parametrize(
    ("query", "refresh", "audit"),
    [
        ("", False, False),
        ("?refresh=true", True, False),
        ("?refresh=false", False, False),
        ("?include=audit", False, True),
        ("?refresh=true&include=audit", True, True),
    ],
)
async def test_get_reads(front: Front, query: str, refresh: bool, audit: bool) -> None:  # noqa: FBT001 -- parameters
    """What is to be read is what the parameters say, and nothing else happens."""
    assert (await front.ask("GET", PATH + query)).status == 200
    ask = last(front, Read)
    assert (ask.refresh, ask.audit, ask.key) == (refresh, audit, KEY)


async def test_head_is_get_without_the_body(front: Front) -> None:
    """HEAD reads, changes nothing, and has the headers of GET."""
    reply = await front.ask("HEAD")
    assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b"", '"3"')
    assert type(front.service.asked[0]) is Read


async def test_post_mute_is_put(front: Front) -> None:
    """The same body as a command is the same ask."""
    body = {"hold": "card-form", "parties": "called", "extension": "1", "resume_after_seconds": 1, "actor": "a"}
    headers = {"X-Request-Id": "one-and-the-same"}
    await front.ask("PUT", json=body, headers=headers)
    await front.ask("POST", json={"action": "mute", **body}, headers=headers)
    put, post = front.service.asked
    assert put == post


async def test_post_unmute_is_delete_and_says_who(front: Front) -> None:
    """Hold and force come from the body, and so does the person."""
    body = {"action": "unmute", "hold": "h", "force": True, "actor": "a", "trigger": "manual", "reason": "done"}
    await front.ask("POST", json=body)
    ask = last(front, Unmute)
    assert (ask.hold, ask.force) == ("h", True)
    assert (ask.origin.actor, ask.origin.trigger, ask.origin.reason) == ("a", "manual", "done")


@pytest.mark.parametrize(
    ("body", "format_", "mark"),
    [
        ({"action": "keep"}, None, None),
        ({"action": "keep", "mark": "manualRecord"}, None, "manualRecord"),
        ({"action": "discard", "mark": "manualRecord"}, None, "manualRecord"),
        ({"action": "start", "format": "wav49"}, "wav49", None),
        ({"action": "stop"}, None, None),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_post_controls(front: Front, body: dict[str, str], format_: str | None, mark: str | None) -> None:
    """One-shot commands carry their own fields and say where, like a mute."""
    await front.ask("POST", json={**body, "extension": "8856", "backends": ["pbx"]})
    ask = last(front, Control)
    assert (ask.action, ask.format, ask.mark) == (Action(body["action"]), format_, mark)
    assert (ask.where.extension, ask.where.backends) == ("8856", ("pbx",))


@pytest.mark.parametrize(
    ("said", "versions"),
    [('"3"', (3,)), ('"3", "4"', (3, 4)), ("*", ()), ('W/"3"', (-1,)), ('"03"', (-1,)), ('"x"', (-1,))],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
async def test_if_match_is_the_versions_that_may_be(
    front: Front, method: str, said: str, versions: tuple[int, ...]
) -> None:
    """A weak or foreign tag never matches; a star is any version."""
    await front.ask(method, headers={"If-Match": said})
    assert front.service.asked[0].if_match == versions


async def test_the_document_goes_out_whole(front: Front) -> None:
    """Every member of the contract, null ones too; none that belongs to other answers."""
    reply = await front.ask("GET")
    assert reply.headers["Content-Type"].startswith("application/json")
    assert set(reply.json) == {
        "call_id", "protected", "desired", "state", "parties", "recorders", "holds", "exposure_ms", "version",
        "requested_at", "updated_at", "durability", "audit",
    }  # fmt: skip
    recorder = reply.json["recorders"][0]
    assert set(recorder) == {"backend", "vendor", "state", "parties", "evidence", "observed_at", "error"}
    assert recorder["error"] is None
    assert reply.json["holds"] == [{"hold": "default", "client": "crm", "actor": None, "resume_at": None}]
    assert reply.json["audit"] == {"bucket": 17, "seq": 4711, "hash": "ab" * 32}


async def test_outcomes_and_entries_are_there_when_said(front: Front) -> None:
    """A one-shot command's answer has action and outcome, an answer with the trail its entries."""

    async def act(_: Ask) -> Answer:
        recorder = replace(RECORDER, action="keep", outcome="done")
        return Answer(document=replace(DOCUMENT, recorders=(recorder,), entries=({"seq": 1},)))

    front.service.act = act
    reply = await front.ask("POST", json={"action": "keep"})
    assert (reply.json["recorders"][0]["action"], reply.json["recorders"][0]["outcome"]) == ("keep", "done")
    assert reply.json["entries"] == [{"seq": 1}]


async def test_a_mute_of_a_call_to_come_is_202(front: Front) -> None:
    """Pending is not a 200: nobody may take it for protected."""

    async def act(_: Ask) -> Answer:
        return Answer(document=replace(DOCUMENT, protected=False, version=1), pending=True)

    front.service.act = act
    reply = await front.ask("PUT", json={"extension": "8856", "call_status": ["next"]})
    assert (reply.status, reply.json["protected"], reply.headers["ETag"]) == (202, False, '"1"')
    assert front.count("redaction_requests_total", method="PUT", outcome="pending") == 1


async def test_a_tenant_asks_for_its_own_calls(front: Front) -> None:
    """The call is looked up under the tenant of the key."""
    await front.ask("GET", client="other")
    assert front.service.asked[0].key == CallKey(tenant="globex", call_id=CALL)
