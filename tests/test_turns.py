"""Steps of one call take turns, and nobody waits longer for theirs than they said."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model import CallKey
from gateway.store.contract import StoreUnavailable
from gateway.turns import Turns

KEY = CallKey(tenant="acme", call_id="x")
LONG = 30.0


async def test_who_has_no_more_time_is_told_so() -> None:
    """Also in the moment in which the turn is free, and already another one's."""
    turns, done = Turns(), asyncio.Event()

    async def slow() -> None:
        async with turns.of(KEY, within=LONG):
            await done.wait()

    async with turns.of(KEY, within=LONG):
        with pytest.raises(StoreUnavailable):
            async with turns.of(KEY, within=0.01):
                pytest.fail("two at once")
        second = asyncio.create_task(slow())
        await asyncio.sleep(0)
    async with asyncio.timeout(LONG):
        with pytest.raises(StoreUnavailable):
            async with turns.of(KEY, within=0.01):
                pytest.fail("before its turn")
    done.set()
    await second
    async with turns.of(KEY, within=0.01):
        assert len(turns._queues) == 1
    assert len(turns._queues) == 0
