"""News of a call makes the reconciler look at once; without it a call is looked at only when it is due."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from workshop import opened

from gateway.backends.contract import Heard, Seen
from gateway.model import Evidence, Parties
from gateway.reconcile import Reconciler
from gateway.service.dated import Dated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest
    from workshop import Workshop

    from gateway.model import Redaction
    from gateway.store.redis import RedisStore

RECORDING = Heard(
    call_ids=frozenset({"x"}), extensions=frozenset(), seen=Seen(muted=Parties.NONE, evidence=Evidence.EVENT)
)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not happened():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def nudgeable(store: RedisStore) -> AsyncIterator[tuple[Workshop, Reconciler]]:
    """A muted call `x`, and somebody who looks at calls only when told to."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        yield shop, Reconciler(shop.tools, store, Dated(shop.tools), node="n")


async def test_what_is_heard_is_muted_again(store: RedisStore) -> None:
    """Recording resumed behind our back, heard: found by asking, muted again, counted as drift."""
    async with nudgeable(store) as (shop, reconciler), shop.tools.listening.listening([], reconciler.nudge):
        shop.recorders["a"].calls["x"] = Parties.NONE
        shop.tools.listening.heard("a", RECORDING)
        await until(lambda: shop.recorders["a"].silent("x") is Parties.BOTH)
        await until(lambda: not reconciler._under_way)
        assert await shop.protected("x")
        assert shop.metrics.registry.get_sample_value("redaction_drift_total", {"backend": "a"}) == 1


async def test_a_false_alarm_changes_nothing(store: RedisStore) -> None:
    """An event that the recorder itself does not confirm is not believed."""
    async with nudgeable(store) as (shop, reconciler), shop.tools.listening.listening([], reconciler.nudge):
        before = await shop.tools.ledger.load(shop.ask("x").key, within=5)
        shop.tools.listening.heard("a", RECORDING)
        await until(lambda: not reconciler._under_way)
        after = await shop.tools.ledger.load(shop.ask("x").key, within=5)
        assert before is not None
        assert after is not None
        assert after.redaction.version == before.redaction.version
        assert shop.metrics.registry.get_sample_value("redaction_drift_total", {"backend": "a"}) == 0


async def test_news_during_a_look_leads_to_another(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much news there is, one look at a time; the last news is not lost."""
    looks: list[int] = []
    async with nudgeable(store) as (shop, reconciler):
        real = reconciler._look_after

        async def counting(redaction: Redaction, deadline: float) -> None:
            looks.append(len(reconciler._under_way))
            await real(redaction, deadline)

        monkeypatch.setattr(reconciler, "_look_after", counting)
        for _ in range(100):
            reconciler.nudge(shop.ask("x").key)
        await until(lambda: not reconciler._under_way)
    assert looks == [1, 1]


async def test_at_the_end_no_news_starts_anything(store: RedisStore) -> None:
    """A look under way is finished; the one that would follow it is not begun."""
    async with nudgeable(store) as (shop, reconciler):
        async with reconciler.working():
            reconciler.nudge(shop.ask("x").key)
            reconciler.nudge(shop.ask("x").key)
        await until(lambda: not reconciler._under_way)
        assert not reconciler._nudged
