"""Which call is meant, at every vendor: several, none, ended, resumed by others, still to come."""

from __future__ import annotations

import asyncio
import time

import pytest
from lines import MATRIX, MODES, PROVING, Mode
from workbench import Bench, Placed, muted_now, recorded, silent, until

from gateway.model import CallStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONGOING, NEXT, LAST = CallStatus
STATUSES = ((ONGOING,), (NEXT,), (LAST,), (ONGOING, NEXT), (LAST, ONGOING))  # all that can be said


@pytest.mark.parametrize("name", MATRIX)
async def test_several_calls_of_an_extension_are_all_silent_or_it_is_ambiguous(bench: Bench, name: str) -> None:
    """Two calls on one extension: 200 only when both tapes are silent, 409 where they cannot be listed."""
    placed = bench.place(name, "extension")
    second = bench.join(placed, name)
    muted = await bench.put(placed)
    if name == "verba":
        assert (muted.status, muted.json["code"]) == (409, "ambiguous-call")
        assert not muted.protected
        return
    assert (muted.status, muted.protected) == (200, True)
    unmuted = await bench.delete(placed)
    for call in (placed.call, second):
        assert silent(call, since=muted.received_at, until=unmuted.sent_at)
        assert recorded(call, at=unmuted.received_at)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MATRIX)
async def test_a_call_that_nobody_knows_is_not_found(bench: Bench, name: str, mode: Mode) -> None:
    """An ended call is 404 and leaves nothing behind. Who can only say yes, says yes to an extension without
    calls."""
    placed = bench.place(name, mode)
    bench.lines[name].fake.end_call(placed.call.call_id)
    muted = await bench.put(placed)
    if name == "voicenter_blind" and mode == "extension":
        assert (muted.status, muted.json["recorders"][0]["evidence"]) == (200, "accepted")
        return
    assert (muted.status, muted.json["code"]) == (404, "call-not-found")
    assert muted.json.get("redaction") is None
    assert (await bench.get(placed)).status == 404
    assert (await bench.delete(placed)).status == 404


@pytest.mark.parametrize("ended", [True, False])
async def test_no_content_is_no_success(bench: Bench, *, ended: bool) -> None:
    """VoipNow's 204 means that there is no such call. With the view given the command goes out unasked for, and
    its 204 is 404 here, for an ended call as for one on another extension; what is on tape stays on tape."""
    placed = bench.place("voipnow")
    if ended:
        bench.lines["voipnow"].fake.end_call(placed.call.call_id)
    said = {"call_id": placed.call.call_id, "view_id": "01", "extension": "29999"}
    muted = await bench.put(placed, targets={"voipnow": said})
    assert (muted.status, muted.json["code"]) == (404, "call-not-found")
    assert bench.sent("voipnow", placed, "command") == 1
    assert ended or recorded(placed.call, at=time.time_ns())


async def test_a_call_without_a_redaction_is_not_found_and_not_touched(bench: Bench) -> None:
    """GET and DELETE of what nobody has muted: 404, and no recorder hears of it."""
    placed = bench.place(MATRIX)
    assert (await bench.get(placed)).status == 404
    assert (await bench.get(placed, "?refresh=true")).status == 404
    assert (await bench.delete(placed)).json["code"] == "call-not-found"
    assert all(bench.sent(name, placed) == 0 for name in MATRIX)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROVING)
async def test_a_call_that_ends_ends_its_redaction(bench: Bench, name: str, mode: Mode) -> None:
    """The call is over while it is muted: a refreshed GET says so, no longer protected, and nothing resumes."""
    placed = bench.place(name, mode)
    await bench.put(placed)
    bench.lines[name].fake.end_call(placed.call.call_id)
    ended = await bench.get(placed, "?refresh=true")
    assert (ended.status, ended.json["state"], ended.protected) == (200, "ended", False)
    assert (await bench.delete(placed)).status == 200
    assert bench.resumes(name, placed) == 0


@pytest.mark.parametrize("name", PROVING)
async def test_get_tells_what_is_known_and_refresh_what_is(bench: Bench, name: str) -> None:
    """A recording resumed behind our back: a refreshed GET asks the recorder and is not protected any more."""
    placed = bench.place(name)
    await bench.put(placed)
    known = await bench.get(placed)
    assert (known.status, known.protected, known.headers["ETag"]) == (200, True, f'"{known.json["version"]}"')
    bench.lines[name].fake.resume(placed.call.call_id)
    asked = time.time_ns()
    fresh = await bench.get(placed, "?refresh=true")
    assert fresh.status == 200
    if recorded(placed.call, at=asked) and recorded(placed.call, at=fresh.received_at):
        assert (fresh.json["state"], fresh.protected) == ("unmuted", False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MATRIX)
async def test_what_others_resume_is_muted_again(bench: Bench, name: str, mode: Mode) -> None:
    """Somebody else puts the recording on while a redaction is open: the gateway puts it off again by itself."""
    placed = bench.place(name, mode)
    await bench.put(placed)
    bench.lines[name].fake.resume(placed.call.call_id)
    await until(lambda: muted_now(placed.call))
    assert bench.resumes(name, placed) == 0
    assert (await bench.put(placed)).protected


@pytest.mark.parametrize("name", [name for name in MATRIX if name != "verba"])
async def test_a_later_call_of_the_extension_is_silenced_too(bench: Bench, name: str) -> None:
    """A consult call begins on a muted extension: no vendor mutes it by itself, so the gateway does."""
    placed = bench.place(name, "extension")
    await bench.put(placed)
    later = bench.join(placed, name)
    assert not bench.lines[name].capabilities.covers_later_calls
    await until(lambda: muted_now(later))


@pytest.mark.parametrize("statuses", STATUSES, ids="-".join)
@pytest.mark.parametrize("name", MATRIX)
async def test_call_status_is_taken_or_refused_unsent(
    bench: Bench, name: str, statuses: tuple[CallStatus, ...]
) -> None:
    """A combination that the vendor does not know: 422 and nothing on the wire; one that it knows finds the
    ongoing call where that is meant."""
    placed = bench.place(name, "extension", call_status=list(statuses))
    muted = await bench.put(placed)
    if not bench.lines[name].takes(statuses):
        assert (muted.status, muted.json["code"]) == (422, "unsupported-by-recorder")
        assert bench.sent(name, placed) == 0
    elif ONGOING in statuses:
        assert (muted.status, muted.protected) == (200, True)
        assert muted_now(placed.call)
    else:
        assert not muted.protected or muted_now(placed.call)


@pytest.mark.parametrize("name", PROVING)
async def test_the_next_call_is_waited_for(bench: Bench, name: str) -> None:
    """`next`: 202 and not protected while there is no such call; silent and protected soon after it begins."""
    placed = bench.place(name, "extension", call_status=["next"])
    bench.lines[name].fake.end_call(placed.call.call_id)
    waiting = await bench.put(placed)
    assert (waiting.status, waiting.protected) == (202, False)
    call = bench.join(placed, name)
    await until(lambda: muted_now(call))
    async with asyncio.timeout(8):
        while not (await bench.get(placed)).protected:  # noqa: ASYNC110 -- the state tells nobody when it changes
            await asyncio.sleep(0.05)
    assert muted_now(call)


@pytest.mark.parametrize("name", PROVING)
async def test_who_waits_for_the_next_call_leaves_the_present_one_alone(bench: Bench, name: str) -> None:
    """`next` while there is a call: 202, and that one is recorded all the time; the next one is silent soon after it
    begins, and resumes alone."""
    placed = bench.place(name, "extension", call_status=["next"])
    asked = time.time_ns()
    waiting = await bench.put(placed)
    assert (waiting.status, waiting.protected) == (202, False)
    assert bench.sent(name, placed, "command") == (1 if name.startswith("verba") else 0)
    if name == "verba":  # it cannot have two calls of one extension told apart
        bench.lines[name].fake.end_call(placed.call.call_id)
    call = bench.join(placed, name)
    await until(lambda: muted_now(call))
    async with asyncio.timeout(8):
        while not (await bench.get(placed)).protected:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.05)
    unmuted = await bench.release(placed)
    assert recorded(call, at=unmuted.received_at)
    assert not any(cut.muted for cut in placed.call.tape.cuts if cut.at >= asked)


@pytest.mark.parametrize("name", PROVING)
async def test_the_ongoing_call_or_else_the_next_is_waited_for(bench: Bench, name: str) -> None:
    """`ongoing, next` without a call: the redaction stands and waits, and the answer says so."""
    placed = bench.place(name, "extension", call_status=["ongoing", "next"])
    bench.lines[name].fake.end_call(placed.call.call_id)
    waiting = await bench.put(placed)
    assert (waiting.status, waiting.protected) == (202, False)
    call = bench.join(placed, name)
    await until(lambda: muted_now(call))


@pytest.mark.parametrize("first", ["number", "next"])
@pytest.mark.parametrize("name", PROVING)
async def test_the_present_call_and_the_next_are_held_by_themselves(bench: Bench, name: str, first: str) -> None:
    """One redaction waits for the extension's next call while another mutes the present one: each is let go by its own
    DELETE, whichever is the first, and no call that comes later is silent."""
    number = bench.place(name, "extension")
    waits = Placed(path_id=f"next-{number.path_id}", body={**number.body, "call_status": ["next"]}, calls=number.calls)
    assert (await bench.put(number)).protected
    waiting = await bench.put(waits)
    assert (waiting.status, waiting.protected) == (202, False)
    both = {"number": number, "next": waits}
    for placed in (both.pop(first), *both.values()):
        assert (await bench.release(placed)).status == 200
        assert (await bench.get(placed)).status == 200
    assert recorded(number.call, at=time.time_ns())
    bench.lines[name].fake.end_call(number.call.call_id)
    later = bench.join(number, name)
    assert recorded(later, at=time.time_ns())


@pytest.mark.parametrize("name", PROVING)
async def test_who_waited_for_the_next_call_may_mean_the_present_one_too(bench: Bench, name: str) -> None:
    """`next`, and then the same without it: the present call is silent before that is answered with 200."""
    waits = bench.place(name, "extension", call_status=["next"])
    assert (await bench.put(waits)).status == 202
    present = Placed(path_id=waits.path_id, body={**waits.body, "call_status": ["ongoing"]}, calls=waits.calls)
    muted = await bench.put(present)
    assert (muted.status, muted.protected) == (200, True)
    assert silent(waits.call, since=muted.received_at, until=muted.received_at)
