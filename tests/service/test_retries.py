"""How often the background tries again, in which order, and that no call's trouble is another's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from workshop import opened

from gateway import reconcile
from gateway.asks import Failure
from gateway.backends.contract import NotSent
from gateway.backoff import Backoff
from gateway.evidence import Policy, due_at
from gateway.model import (
    CallKey,
    Evidence,
    Fault,
    Hold,
    HoldKey,
    Observation,
    Parties,
    Recorder,
    Redaction,
    Target,
    Vendor,
    Where,
)
from gateway.reconcile import Reconciler
from gateway.service.dated import Dated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from workshop import Workshop

    from gateway.backends.contract import Command
    from gateway.store.redis import RedisStore


@asynccontextmanager
async def attended(store: RedisStore, *names: str) -> AsyncIterator[tuple[Workshop, Reconciler]]:
    async with opened(store, *names) as shop:
        reconciler = Reconciler(shop.tools, store, Dated(shop.tools), node="n")
        async with reconciler.working():
            yield shop, reconciler


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 -- a recorder tells nobody what it got
            await asyncio.sleep(0.01)


def away(_: Command) -> None:
    raise NotSent(Fault.CONNECTION_FAILED)


def held(shop: Workshop, **more: object) -> Redaction:
    """An open redaction of a call at `a` and `b`, both seen silent just now."""
    now = shop.clock.ms()
    seen = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=now)
    hold = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
    recorders = tuple(
        Recorder(backend=name, vendor=Vendor.VERBA, target=Target(call_id="x"), seen=seen) for name in ("a", "b")
    )
    return replace(
        Redaction(key=CallKey(tenant="acme", call_id="x"), revision=1, holds=(hold,), recorders=recorders),
        **more,  # type: ignore[arg-type]  # -- a test's shorthand
    )


async def test_a_call_is_muted_as_soon_as_its_vendor_answers_anybody(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that has to rest for a long time is tried at once when the vendor has answered for another call."""
    monkeypatch.setattr("gateway.backoff.SHORTEST_SECONDS", 0.2)
    monkeypatch.setattr("gateway.circuit.FAILURES", 10**9)
    monkeypatch.setattr(Backoff, "seconds", lambda *_, **__: 3600.0)
    async with attended(store, "a") as (shop, _):
        recorder = shop.recorders["a"]
        recorder.calls |= {"x": Parties.NONE, "y": Parties.NONE}
        recorder.trip = away
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("x").mute())
        await until(lambda: len(recorder.commands) > 1)
        recorder.trip = lambda _: None
        await shop.service.mute(shop.ask("y").mute())
        await until(lambda: recorder.silent("x") is Parties.BOTH)


async def test_a_new_put_is_not_kept_waiting_by_the_rest(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a call was to rest, a client's own PUT sends the mute at once, and makes the call due again."""
    monkeypatch.setattr("gateway.circuit.FAILURES", 10**9)
    monkeypatch.setattr(Backoff, "seconds", lambda *_, **__: 3600.0)
    async with attended(store, "a") as (shop, _):
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        recorder.trip = away
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("x").mute())
        await until(lambda: len(recorder.commands) > 1)
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("x").mute())
        recorder.trip = lambda _: None
        await until(lambda: recorder.silent("x") is Parties.BOTH)


async def test_rest_is_for_the_vendor_that_is_away_only(store: RedisStore) -> None:
    """With another recorder of the call at work it is looked at as often as ever; a dated order is never put off."""
    async with opened(store, "a", "b") as shop:
        reconciler = Reconciler(shop.tools, store, Dated(shop.tools), node="n")
        found = held(shop)
        for _ in range(8):
            reconciler._backoff.failed(found, found, ["a"], began_at=0.0)
        assert reconciler._rest_ms(found, found, ["a", "b"]) >= 7_500
        assert reconciler._rest_ms(found, found, ["a"]) <= 1_500
        soon = replace(found.holds[0], resume_at=shop.clock.ms() + 700)
        assert reconciler._rest_ms(found, replace(found, holds=(soon,)), ["a", "b"]) <= 700
        past = replace(soon, resume_at=1)
        assert reconciler._rest_ms(found, replace(found, holds=(past,)), ["a", "b"]) == 0


async def test_a_call_of_another_pod_is_not_tried_before_its_time(store: RedisStore) -> None:
    """Who has lost the lease of a call's bucket forgets how it was to rest."""
    async with opened(store, "a") as shop:
        reconciler, found = Reconciler(shop.tools, store, Dated(shop.tools), node="n"), held(shop)
        reconciler._backoff.failed(found, found, ["a"], began_at=-10.0)
        shop.tools.recorders._lines["a"].circuit.succeeded()
        reconciler._start_ready()
        assert reconciler._under_way == {}
        assert reconciler._backoff.ready(now=1e9, probing=frozenset({"a"})) == []


async def test_calls_wait_for_a_place_among_their_own(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls at the same recorders take turns, those at others do not wait for them; what was loaded before the wait
    is loaded again."""
    monkeypatch.setattr(reconcile, "CALLS_AT_ONCE", 1)
    async with attended(store, "a", "b") as (shop, reconciler):
        a, b = shop.recorders["a"], shop.recorders["b"]
        a.calls |= {"x": Parties.NONE, "y": Parties.NONE}
        b.calls["z"] = Parties.NONE
        a.trip = b.trip = away
        for name, backend in (("x", "a"), ("y", "a"), ("z", "b")):
            with pytest.raises(Failure):
                await shop.service.mute(shop.ask(name).mute(where=Where(backends=(backend,))))
        a.gate.clear()
        b.trip = lambda _: None
        await until(lambda: b.silent("z") is Parties.BOTH)
        assert a.silent("x") is a.silent("y") is Parties.NONE
        reconciler.nudge(shop.ask("y").key)
        reconciler.nudge(CallKey(tenant="acme", call_id="never heard of"))
        a.trip = lambda _: None
        a.gate.set()
        await until(lambda: a.silent("x") is a.silent("y") is Parties.BOTH)


async def test_calls_muted_at_once_do_not_come_due_at_once(store: RedisStore) -> None:
    """Their next looks are spread over a fifth of the time, anew each time, and never late."""
    policy = Policy(reassert_ms=5_000, deadline_ms=2_500)
    async with opened(store, "a") as shop:
        found, now = held(shop), shop.clock.ms()
        calls = [replace(found, key=CallKey(tenant="acme", call_id=f"c{number}")) for number in range(10_000)]
        due = [due_at(call, now=now, policy=policy) - now for call in calls]
        assert 4_000 < min(due) <= max(due) <= 5_000
        assert max(due.count(ms) for ms in set(due)) < 40
        again = [due_at(replace(call, revision=2), now=now, policy=policy) - now for call in calls]
        assert again != due
