"""`resume_after_seconds`: carried out once, in time, or said to be missed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from workshop import opened

from gateway.asks import Failure
from gateway.model import Parties
from gateway.reconcile import Reconciler
from gateway.service.dated import LATE_MS, Dated
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from workshop import Workshop

    from gateway.model import Redaction
    from gateway.store.redis import RedisStore


async def redaction(shop: Workshop) -> Redaction:
    stored = await shop.tools.ledger.load(shop.ask("x").key, within=5)
    assert stored is not None
    return stored.redaction


async def types(shop: Workshop) -> list[str]:
    entries = await shop.tools.ledger.entries(shop.ask("x").key, within=5)
    return [orjson.loads(entry.entry)["type"] for entry in entries]


async def test_a_hold_with_a_date_is_dropped_then(store: RedisStore) -> None:
    """Not before, then once, in the holder's name."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=5))
        dated = Dated(shop.tools)
        await dated.carry_out(await redaction(shop))
        assert shop.recorders["a"].silent("x") is Parties.BOTH
        shop.clock.move(5_000)
        old = await redaction(shop)
        await dated.carry_out(old)
        assert shop.recorders["a"].silent("x") is Parties.NONE
        await dated.carry_out(old)
        assert (await types(shop)).count("unmute.intended") == 1
        entries = await shop.tools.ledger.entries(shop.ask("x").key, within=5)
        ordered = orjson.loads(entries[-1].entry)
        assert (ordered["client"], ordered["actor"], ordered["trigger"]) == ("crm", "agent-17", "automated")


async def test_a_renewed_hold_keeps_the_newer_date(store: RedisStore) -> None:
    """A PUT in between moves the date: the older order counts for nothing."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=5))
        old = await redaction(shop)
        shop.clock.move(5_000)
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=5))
        await Dated(shop.tools).carry_out(old)
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_a_date_that_was_missed_is_said_and_the_hold_stays(store: RedisStore) -> None:
    """More than ten seconds late nobody unmutes any more; one entry says so."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=5))
        shop.clock.move(5_000 + LATE_MS + 1_000)
        old = await redaction(shop)
        for _ in range(2):
            await Dated(shop.tools).carry_out(old)
        assert shop.recorders["a"].silent("x") is Parties.BOTH
        assert (await types(shop)).count("resume.missed") == 1
        after = await redaction(shop)
        assert [hold.resume_at for hold in after.holds] == [None]


async def test_a_dated_order_that_fails_is_not_tried_again(store: RedisStore) -> None:
    """An unmute is sent once: when the recorder does not follow, the call stays silent."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=5))
        shop.clock.move(5_000)
        recorder.deaf = True
        old = await redaction(shop)
        for _ in range(2):
            await Dated(shop.tools).carry_out(old)
        assert (await types(shop)).count("unmute.intended") == 1
        assert (await redaction(shop)).open
        with pytest.raises(Failure):
            await shop.service.unmute(shop.ask("x").unmute(dated=old.holds[0].resume_at))


class Unwritable:
    """Nothing can be written down, not even that an order was missed."""

    async def carry_out(self, _: Redaction) -> None:
        raise StoreUnavailable


async def test_a_dated_order_that_cannot_be_written_does_not_end_the_care(store: RedisStore) -> None:
    """Its time has come and passes: the recorder that somebody else resumed is muted again all the same."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=1))
        shop.clock.move(1_000)
        dated: Any = Unwritable()
        async with Reconciler(shop.tools, store, dated, node="n").working(), asyncio.timeout(15):
            recorder.calls["x"] = Parties.NONE
            while recorder.silent("x") is not Parties.BOTH:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
