"""A call with several recorders: protected only when each is, and one that fails does not undo the others."""

from __future__ import annotations

import asyncio
import time

import pytest
from lines import PROVING
from workbench import Bench, Placed, muted_now, recorded, silent, until

from gateway.sandbox.desk import FaultKind

pytestmark = pytest.mark.asyncio(loop_scope="module")

THREE = ("verba", "voipnow", "genesys")
FAILING = [kind for kind in FaultKind if kind not in {FaultKind.LATE, FaultKind.DROP_AFTER}]


def target(call_id: str) -> dict[str, str]:
    return {"call_id": call_id}


def all_silent(placed: Placed, *, since: int, until: int) -> bool:
    return all(silent(call, since=since, until=until) for call in placed.calls.values())


async def test_every_recorder_is_silent_before_the_answer(bench: Bench) -> None:
    """Five recorders, each with an id of its own: silent at all of them by the answer, then on at all of them."""
    parts = {name: bench.place(name) for name in PROVING}
    calls = {name: part.call for name, part in parts.items()}
    targets = {name: target(call.call_id) for name, call in calls.items()}
    placed = Placed(path_id="crm-4711", body={"backends": list(PROVING), "targets": targets}, calls=calls)
    muted = await bench.put(placed)
    assert (muted.status, muted.protected, len(muted.json["recorders"])) == (200, True, len(PROVING))
    unmuted = await bench.delete(placed)
    assert unmuted.status == 200
    assert all_silent(placed, since=muted.received_at, until=unmuted.sent_at)
    assert all(recorded(call, at=unmuted.received_at) for call in calls.values())


@pytest.mark.parametrize("kind", FAILING)
async def test_one_of_three_failing_is_not_protected(bench: Bench, kind: FaultKind) -> None:
    """One recorder fails in any way, each of the three in turn: not 2xx, not protected, no matter how well the
    other two did; and those are and stay silent."""
    cases = [(failing, bench.place(THREE)) for failing in THREE]
    for failing, placed in cases:
        bench.lines[failing].fake.plan(kind, on=["command"])
        muted = await bench.put(placed)
        bench.lines[failing].fake.heal()
        seen = {one["backend"]: one for one in muted.json["recorders"]}
        others = [name for name in THREE if name != failing]
        assert muted.status in {502, 504}
        assert not muted.protected
        assert seen[failing]["error"]
        assert [seen[name]["state"] for name in others] == ["muted", "muted"]
        at = time.time_ns()
        assert all(silent(placed.calls[name], since=muted.received_at, until=at) for name in others)


async def test_what_failed_is_tried_until_it_is_silent(bench: Bench) -> None:
    """After the failed PUT the gateway goes on by itself: the third recorder is silent too once it is well
    again, and only then does GET say protected."""
    placed = bench.place(THREE)
    bench.lines["verba"].fake.plan(FaultKind.SERVER_ERROR, on=["command"])
    assert (await bench.put(placed)).status == 504
    assert not (await bench.get(placed)).protected
    bench.lines["verba"].fake.heal()
    await until(lambda: muted_now(placed.calls["verba"]))
    async with asyncio.timeout(8):
        while not (await bench.get(placed)).protected:  # noqa: ASYNC110 -- the state tells nobody when it changes
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", FAILING)
async def test_an_unmute_that_fails_at_one_recorder_fails_at_all(bench: Bench, kind: FaultKind) -> None:
    """DELETE with one recorder failing: not 2xx, and whatever had resumed is muted again by the answer."""
    placed = bench.place(THREE)
    assert (await bench.put(placed)).ok
    bench.lines["genesys"].fake.plan(kind, on=["command"])
    unmuted = await bench.delete(placed)
    assert unmuted.json["code"] in {"recorder-refused", "recorder-unavailable", "recorder-unconfirmed"}
    assert unmuted.document["desired"] == "muted"
    for name in ("verba", "voipnow"):
        assert silent(placed.calls[name], since=unmuted.received_at, until=time.time_ns())
    bench.lines["genesys"].fake.heal()
    for call in placed.calls.values():
        await until(lambda call=call: muted_now(call))  # type: ignore[misc]  # bound at once
    again = await bench.release(placed)
    assert again.status == 200
    assert all(recorded(call, at=again.received_at) for call in placed.calls.values())


async def test_a_call_unknown_to_one_recorder_is_refused(bench: Bench) -> None:
    """Only some of the recorders have the call: 502, and those that have it are silent."""
    placed = bench.place(("verba", "genesys"))
    bench.lines["genesys"].fake.end_call(placed.calls["genesys"].call_id)
    muted = await bench.put(placed)
    assert (muted.status, muted.json["code"], muted.protected) == (502, "recorder-refused", False)
    assert muted_now(placed.calls["verba"])


async def test_an_optional_recorder_need_not_have_the_call(bench: Bench) -> None:
    """The same at an optional backend: 200; but where it has the call, it counts like any other."""
    placed = bench.place(("verba_optional", "genesys"))
    optional = bench.lines["verba_optional"].fake
    optional.end_call(placed.calls["verba_optional"].call_id)
    muted = await bench.put(placed)
    assert (muted.status, muted.protected) == (200, True)
    assert muted_now(placed.calls["genesys"])
    has_it = bench.place(("verba_optional", "genesys"))
    optional.plan(FaultKind.LIE, on=["command"])
    assert (await bench.put(has_it)).status == 504


async def test_force_resumes_wherever_it_can(bench: Bench) -> None:
    """`?force=true` drops all holds and answers 200 with each recorder's error; nothing is muted again."""
    placed = bench.place(THREE)
    await bench.put(placed, hold="a")
    await bench.put(placed, hold="b")
    bench.lines["verba"].fake.plan(FaultKind.REFUSE, on=["command"])
    forced = await bench.delete(placed, "?force=true")
    assert (forced.status, forced.json["desired"], forced.json["holds"]) == (200, "unmuted", [])
    errors = {one["backend"]: one["error"] for one in forced.json["recorders"]}
    assert errors == {"verba": "refused", "voipnow": None, "genesys": None}
    await asyncio.sleep(1.5)  # longer than the reconciler takes to come by
    assert [recorded(placed.calls[name], at=time.time_ns()) for name in THREE] == [False, True, True]


async def test_one_that_cannot_stops_it_for_all(bench: Bench) -> None:
    """One party only, at a vendor that can and one that cannot: 422, and neither hears of it."""
    placed = bench.place(("verba", "genesys"))
    muted = await bench.put(placed, parties="caller")
    assert (muted.status, muted.json["code"]) == (422, "unsupported-by-recorder")
    assert [bench.sent(name, placed) for name in ("verba", "genesys")] == [0, 0]


async def test_only_the_named_backends_hear_of_it(bench: Bench) -> None:
    """`backends` narrows the routed ones: the others get nothing."""
    placed = bench.place(THREE)
    muted = await bench.put(placed, backends=["genesys"])
    assert (muted.status, [one["backend"] for one in muted.json["recorders"]]) == (200, ["genesys"])
    assert [bench.sent(name, placed) for name in ("verba", "voipnow")] == [0, 0]
    assert muted_now(placed.calls["genesys"])
