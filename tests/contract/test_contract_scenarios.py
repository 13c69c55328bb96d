"""Every vendor, every way of finding a call: what the recorder's tape shows when the gateway says so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from lines import MATRIX, MODES, PROVING, VARIANTS, Mode
from workbench import Bench, recorded, silent

from gateway.backends.registry import AnyBackendSettings
from gateway.model import Action, Parties, Vendor
from gateway.sandbox.desk import FaultKind
from gateway.sandbox.fakes import FAKES

if TYPE_CHECKING:
    from gateway.sandbox.desk import FakeCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = {"caller": Parties.CALLER, "called": Parties.CALLED, "both": Parties.BOTH}
ONE_SHOTS = (Action.KEEP, Action.DISCARD, Action.START, Action.STOP)


def first_silence(call: FakeCall) -> int:
    return next(cut.at for cut in call.tape.cuts if cut.muted)


async def test_every_vendor_has_a_fake_and_every_fake_a_vendor() -> None:
    """A vendor that can be configured but not tested, or the other way round, fails; so does one that this
    suite does not run."""
    members = AnyBackendSettings.__origin__.__args__  # type: ignore[attr-defined]  # what Annotated wraps
    configurable = [Vendor(settings.model_fields["vendor"].annotation.__args__[0]) for settings in members]
    assert sorted(configurable) == sorted(fake.vendor for fake in FAKES) == sorted(Vendor)
    assert {variant.make().vendor for variant in VARIANTS.values()} == set(Vendor)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MATRIX)
async def test_put_silences_before_it_answers_and_delete_resumes(bench: Bench, name: str, mode: Mode) -> None:
    """PUT 200: the tape is silent from before the answer until DELETE was sent; DELETE 200: it is on again."""
    placed = bench.place(name, mode)
    muted = await bench.put(placed)
    assert (muted.status, muted.protected) == (200, True)
    assert recorded(placed.call, at=muted.sent_at)
    unmuted = await bench.delete(placed)
    assert (unmuted.status, unmuted.protected) == (200, False)
    assert silent(placed.call, since=muted.received_at, until=unmuted.sent_at)
    assert recorded(placed.call, at=unmuted.received_at)
    assert [cut.muted for cut in placed.call.tape.cuts] == [Parties.NONE, Parties.BOTH, Parties.NONE]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROVING)
async def test_a_recorder_that_takes_its_time_is_waited_for(bench: Bench, name: str, mode: Mode) -> None:
    """A command that is done a moment after the vendor's yes: 200 comes after the silence, not after the yes,
    and on the ground of the state itself."""
    placed = bench.place(name, mode)
    bench.lines[name].fake.plan(FaultKind.LATE, on=["command"], delay=0.15)
    muted = await bench.put(placed)
    assert muted.ok
    assert muted.protected
    assert first_silence(placed.call) - muted.sent_at > 0.1 * 10**9
    assert silent(placed.call, since=muted.received_at, until=time.time_ns())
    assert muted.json["recorders"][0]["evidence"] == "readback"


@pytest.mark.parametrize("parties", WORDS)
@pytest.mark.parametrize("name", MATRIX)
async def test_parties_are_silenced_as_asked_or_refused_unsent(bench: Bench, name: str, parties: str) -> None:
    """Who was asked for is silent and nobody else; where the vendor cannot: 422 and nothing on the wire."""
    line, placed, wanted = bench.lines[name], bench.place(name), WORDS[parties]
    muted = await bench.put(placed, parties=parties)
    if not line.can(Action.MUTE, wanted):
        assert (muted.status, muted.json["code"]) == (422, "unsupported-by-recorder")
        assert muted.json["recorders"][0]["error"] == "unsupported"
        assert bench.sent(name, placed) == 0
        assert (await bench.get(placed)).status == 404
        return
    assert muted.status == 200
    assert muted.json["parties"] == muted.json["recorders"][0]["parties"] == parties
    assert placed.call.tape.muted == wanted
    assert silent(placed.call, since=muted.received_at, until=time.time_ns(), parties=wanted)


@pytest.mark.parametrize("action", ONE_SHOTS)
@pytest.mark.parametrize("name", MATRIX)
async def test_one_shots_do_it_or_are_refused_unsent(bench: Bench, name: str, action: Action) -> None:
    """keep, discard, start, stop: done and said to be, or 422 with nothing on the wire. No hold comes of it."""
    placed = bench.place(name)
    if action is Action.START and bench.lines[name].can(action):
        await bench.post(placed, "stop")
    before = bench.sent(name, placed)
    reply = await bench.post(placed, action)
    if not bench.lines[name].can(action):
        assert (reply.status, reply.json["recorders"][0]["outcome"]) == (422, "unsupported")
        assert bench.sent(name, placed) == before
        return
    (recorder,) = reply.json["recorders"]
    assert (reply.status, recorder["action"], reply.json["holds"]) == (200, action, [])
    assert recorder["outcome"] == ("done" if action in {Action.START, Action.STOP} else "accepted")
    match action:
        case Action.KEEP | Action.DISCARD:
            assert placed.call.facts["kept"] == ("yes" if action is Action.KEEP else "no")
        case Action.STOP:
            assert silent(placed.call, since=reply.received_at, until=time.time_ns())
        case _:
            assert recorded(placed.call, at=reply.received_at)


@pytest.mark.parametrize("name", ["voipnow", "genesys"])
async def test_nothing_starts_what_must_be_silent(bench: Bench, name: str) -> None:
    """`start` while a redaction is open: 409, nothing sent, the tape stays silent."""
    placed = bench.place(name)
    muted = await bench.put(placed)
    refused = await bench.post(placed, "start")
    assert (refused.status, refused.json["code"]) == (409, "redaction-open")
    assert bench.resumes(name, placed) == 0
    assert silent(placed.call, since=muted.received_at, until=time.time_ns())


async def test_a_bare_yes_counts_only_by_the_operators_word(bench: Bench) -> None:
    """The backend that cannot prove and was told to trust: protected, and each answer says on what ground."""
    placed = bench.place("voicenter_blind")
    muted = await bench.put(placed)
    assert (muted.status, muted.protected, muted.json["recorders"][0]["evidence"]) == (200, True, "accepted")
    assert bench.sent("voicenter_blind", placed, "read") == 0
    assert (await bench.get(placed)).json["recorders"][0]["evidence"] == "accepted"
