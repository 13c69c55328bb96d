"""How far the node's clock and the store's are apart: an entry has the time of both, and an auditor compares them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.beside import beside
from gateway.store.contract import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.clock import Clock
    from gateway.metrics import Metrics
    from gateway.store.redis import RedisStore

EVERY_SECONDS = 10.0
AWAY_SECONDS = 0.2  # an answer that was longer on its way is asked for again: it leaves too much open
WITHIN_SECONDS = 1.0


class Skew:
    """Looks at the clock of every primary and tells the one that is farthest from ours."""

    def __init__(self, store: RedisStore, *, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        while True:
            await self._clock.sleep(EVERY_SECONDS if await self.look() else 1.0)

    async def look(self) -> bool:
        """Whether it could be told. Never raises."""
        began, asked_at = asyncio.get_running_loop().time(), self._clock.ms()
        try:
            theirs = await self._store.clocks(within=WITHIN_SECONDS)
        except StoreError:
            return False
        away = asyncio.get_running_loop().time() - began
        if away > AWAY_SECONDS:
            return False
        ours = asked_at + 1000 * away / 2
        self._metrics.store_clock(ahead_seconds=max((ours - one for one in theirs), key=abs) / 1000)
        return True
