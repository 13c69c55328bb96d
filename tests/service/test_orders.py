"""Orders that cannot be followed everywhere, that come late, or that a mute overtakes from another pod."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs
from workshop import attended, opened, until

from gateway.asks import Code, Failure
from gateway.backends.contract import Receipt
from gateway.circuit import FAILURES
from gateway.model import Action, Evidence, Parties
from gateway.reconcile import Reconciler
from gateway.service.dated import Dated

if TYPE_CHECKING:
    from workshop import Workshop

    from gateway.backends.contract import Command
    from gateway.service.claims import Held
    from gateway.store.redis import RedisStore


def _shut(shop: Workshop, name: str) -> None:
    for _ in range(FAILURES):
        shop.tools.recorders._lines[name].circuit.failed(began_at=asyncio.get_running_loop().time())


async def _types(shop: Workshop) -> list[str]:
    entries = await shop.tools.ledger.entries(shop.ask("x").key, within=5)
    return [orjson.loads(entry.entry)["type"] for entry in entries]


async def test_an_unmute_is_refused_before_anything_is_sent_when_a_recorder_is_away(store: RedisStore) -> None:
    """One of two circuits is open: 503, not one recorder has resumed, all is as it was, and the trail says so."""
    async with opened(store, "a", "b") as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        sent = len(shop.recorders["a"].commands)
        _shut(shop, "b")
        with pytest.raises(Failure) as refused:
            await shop.service.unmute(shop.ask("x").unmute())
        assert refused.value.code is Code.RECORDER_UNAVAILABLE
        assert "nothing was sent" in refused.value.detail
        assert [view.error for view in refused.value.recorders] == [None, "circuit-open"]
        assert len(shop.recorders["a"].commands) == sent
        assert await shop.protected("x")
        assert (await _types(shop))[-2:] == ["unmute.intended", "unmute.failed"]


async def test_force_goes_wherever_it_can(store: RedisStore) -> None:
    """With a circuit open the other recorder resumes, and the answer has the error of this one."""
    async with opened(store, "a", "b") as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        _shut(shop, "b")
        done = await shop.service.unmute(shop.ask("x").unmute(force=True))
        assert [view.error for view in done.document.recorders] == [None, "circuit-open"]
        assert shop.recorders["a"].silent("x") is Parties.NONE


async def test_who_is_proven_silent_is_not_muted_again(store: RedisStore) -> None:
    """One of two recorders has been resumed by others: only that one gets another command."""
    async with attended(store, "a", "b") as shop:
        await shop.service.mute(shop.ask("x").mute())
        sent = len(shop.recorders["b"].commands)
        shop.recorders["a"].calls["x"] = Parties.NONE
        await until(lambda: shop.recorders["a"].silent("x") is Parties.BOTH, what="muted again")
        assert len(shop.recorders["b"].commands) == sent


async def test_an_order_that_is_carried_out_late_is_found_within_a_second_or_so(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor says yes to an unmute and does it four seconds later, when a redaction is open again that is looked
    at once an hour: it is silent again long before that."""
    async with attended(store, "a") as shop:
        policy = shop.tools.settings.policy
        for owner in (shop.tools.settings, shop.tools.ledger, shop.tools.scribe):
            name = "_policy" if hasattr(owner, "_policy") else "policy"
            object.__setattr__(owner, name, type(policy)(reassert_ms=3_600_000, deadline_ms=policy.deadline_ms))
        recorder = shop.recorders["a"]
        await shop.service.mute(shop.ask("x").mute())
        apply = recorder.apply

        async def later(command: Command, *, deadline: float) -> Receipt:
            if command.action is not Action.UNMUTE:
                return await apply(command, deadline=deadline)
            asyncio.get_running_loop().call_later(4.0, recorder.calls.__setitem__, "x", Parties.NONE)
            return Receipt()

        monkeypatch.setattr(recorder, "apply", later)
        with pytest.raises(Failure):
            await shop.service.unmute(shop.ask("x").unmute())
        await shop.service.mute(shop.ask("x").mute())
        await until(lambda: recorder.silent("x") is Parties.NONE, what="carried out late")
        await until(lambda: recorder.silent("x") is Parties.BOTH, what="muted again")
        await until(lambda: _drifts(shop) == 1, what="drift counted")


def _drifts(shop: Workshop) -> float:
    return shop.metrics.registry.get_sample_value("redaction_drift_total", {"backend": "a"}) or 0.0


async def _left_to(shop: Workshop, other: Workshop, command: Action) -> None:
    """`shop` has a mute on its way that waits at the recorder while `other` carries out the last DELETE."""
    mine, theirs = shop.recorders["a"], other.recorders["a"]
    theirs.calls = mine.calls
    await other.service.unmute(other.ask("x").unmute())
    assert mine.silent("x") is Parties.NONE
    assert mine.commands[-1].action is command
    mine.gate.set()


async def test_a_mute_that_lands_after_another_pods_unmute_is_said(store: RedisStore) -> None:
    """PUT on one pod, DELETE on another, and the mute lands last: the closed redaction says that the recording is
    off, the trail has an entry, the log an error; nothing in the background puts it on again."""
    async with opened(store, "a") as shop, opened(store, "a") as other:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].reached.clear()
        shop.recorders["a"].gate.clear()
        again = asyncio.create_task(shop.service.mute(shop.ask("x").mute()))
        await shop.recorders["a"].reached.wait()
        with capture_logs() as said:
            await _left_to(shop, other, Action.MUTE)
            with pytest.raises(Failure):
                await again
        assert ("mute.overtaken", "error") in {(line["event"], line["log_level"]) for line in said}
        document = (await other.service.read(other.ask("x").read())).document
        assert (document.desired, document.state, document.protected) == ("unmuted", "muted", False)
        assert (await _types(shop))[-1] == "mute.overtaken"
        assert (await other.service.unmute(other.ask("x").unmute())).document.state == "muted"


async def test_a_mute_of_the_background_that_lands_late_is_said_too(store: RedisStore) -> None:
    """As with a request's own."""
    async with opened(store, "a") as shop, opened(store, "a") as other:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        recorder.reached.clear()
        recorder.gate.clear()
        recorder.calls["x"] = Parties.NONE
        reconciler = Reconciler(shop.tools, store, Dated(shop.tools), node="n")
        reconciler.nudge(shop.ask("x").key)
        await recorder.reached.wait()
        with capture_logs() as said:
            await _left_to(shop, other, Action.MUTE)
            await until(lambda: "mute.overtaken" in {line["event"] for line in said}, what="said")
        document = (await other.service.read(other.ask("x").read())).document
        assert (document.desired, document.state) == ("unmuted", "muted")


async def test_the_background_sends_no_mute_into_another_pods_order(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DELETE was ordered while the background was looking: it leaves the recorder alone."""
    async with opened(store, "a") as shop, opened(store, "a") as other:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        other.recorders["a"].calls = recorder.calls
        await shop.service.mute(shop.ask("x").mute())
        look, looked = shop.tools.recorders.look, asyncio.Event()
        under_way: list[asyncio.Task[object]] = []

        async def slow(*args: object, **kwargs: object) -> object:
            other.recorders["a"].gate.clear()
            under_way.append(asyncio.create_task(other.service.unmute(other.ask("x").unmute())))
            await other.recorders["a"].reached.wait()
            looked.set()
            return await look(*args, **kwargs)  # type: ignore[arg-type]  # -- passed on

        monkeypatch.setattr(shop.tools.recorders, "look", slow)
        reconciler = Reconciler(shop.tools, store, Dated(shop.tools), node="n")
        reconciler.nudge(shop.ask("x").key)
        await looked.wait()
        await until(lambda: not reconciler._under_way, what="looked at")
        assert len(recorder.commands) == 1
        other.recorders["a"].gate.set()
        await asyncio.gather(*under_way)
        assert recorder.silent("x") is Parties.NONE


@pytest.mark.parametrize("evidence", [Evidence.READBACK, Evidence.ACCEPTED])
async def test_a_pod_that_stood_still_sends_nothing_on_what_it_knew(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch, evidence: Evidence
) -> None:
    """It is stopped right after it has loaded a call; meanwhile another pod lets the recorder go. When it goes on its
    lease is lost, and what it knew as well."""
    async with opened(store, "a") as shop, opened(store, "a") as other:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        other.recorders["a"].calls = recorder.calls
        for one in (recorder, other.recorders["a"]):
            one.capabilities = replace(one.capabilities, evidence=frozenset({evidence}))
        await shop.service.mute(shop.ask("x").mute())
        load = shop.tools.ledger.load

        async def stopped(*args: Any, **more: Any) -> object:  # noqa: ANN401 -- as the original
            known = await load(*args, **more)
            await other.service.unmute(other.ask("x").unmute())
            await asyncio.sleep(shop.tools.settings.deadline_seconds)
            return known

        monkeypatch.setattr(shop.tools.ledger, "load", stopped)
        reconciler = Reconciler(shop.tools, store, Dated(shop.tools), node="n")
        reconciler.nudge(shop.ask("x").key)
        await until(lambda: not reconciler._under_way, what="looked at")
        assert len(recorder.commands) == 1
        assert recorder.silent("x") is Parties.NONE


async def test_an_order_whose_time_is_over_is_not_sent(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was found out too slowly who else means the recorder: nothing is sent, the redaction stands."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        real = shop.tools.claims.held

        async def slow(*args: Any, **more: Any) -> Held:  # noqa: ANN401 -- as the original
            await asyncio.sleep(0.7)
            return await real(*args, **more)

        monkeypatch.setattr(shop.tools.claims, "held", slow)
        with pytest.raises(Failure) as late:
            await shop.service.unmute(shop.ask("x").unmute())
        assert late.value.code is Code.RECORDER_UNAVAILABLE
        assert {command.action for command in shop.recorders["a"].commands} == {Action.MUTE}
        assert shop.recorders["a"].silent("x") is Parties.BOTH
