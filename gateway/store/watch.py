"""Is the store there? Asked every second, so that health does not depend on traffic, and at once when somebody
had trouble with it; while it is away, ten times a second.

Healthy is a store that gives back what was just written. A store that was away may have been replaced: before it
counts as up again it is checked anew. One that no longer has what was written the last time has lost something.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from gateway.beside import beside
from gateway.clock import new_id
from gateway.model import Device
from gateway.store.contract import StoreError, StoreUnavailable
from gateway.store.guard import GuardedStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.metrics import Metrics
    from gateway.store.contract import Store, WatchedStore

_log = structlog.stdlib.get_logger("store")

EVERY_SECONDS = 1.0
AWAY_SECONDS = 0.1
PROBE_SECONDS = 0.15
OPENING_SECONDS = 5.0  # nobody waits for an answer yet: better late than served without a store


class StoreWatch:
    """`node` names the probe's key. `reached` is called whenever the store is there again, and when it has lost
    something meanwhile: whoever set it looks what is missing, and while it looks the store is not `verified`: no
    order is given that lets a party be recorded. `changed` is told whenever it comes up or goes down: why, or for how
    long it was away, in ms."""

    def __init__(
        self, store: WatchedStore, *, node: str, metrics: Metrics, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self.raw = store
        self.store: Store = GuardedStore(store, self)
        self.reached: Callable[[], None] = _nobody
        self.changed: Callable[[bool, str | None, int | None], None] = _unheard
        self.up = False
        self.verified = True
        self._node = node
        self._metrics = metrics
        self._every = every_seconds
        self._certain = asyncio.Event()
        self._certain.set()
        self._wake = asyncio.Event()
        self._word = ""
        self._lost_at: float | None = None  # on the loop's clock

    @property
    def doubted(self) -> bool:
        return not self._certain.is_set()

    def doubt(self) -> None:
        """Somebody had trouble: ask now."""
        if self.up:
            self._certain.clear()
            self._wake.set()

    def took(self, seconds: float) -> None:
        self._metrics.store_request(seconds)

    async def verdict(self) -> None:
        await self._certain.wait()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Open the store, then keep asking. `StoreUnfit` at the start is the caller's; a store that is merely
        away is not: muting works without it."""
        try:
            await self.raw.open()
            self._say(up=True)
            await self._probe(within=OPENING_SECONDS)
        except StoreUnavailable as error:
            self._say(up=False, error=error)
        async with beside(self._ask()):
            yield

    async def _ask(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every if self.up else AWAY_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._probe()
            except StoreError as error:
                self._say(up=False, error=error)
            self._certain.set()

    async def _probe(self, *, within: float = PROBE_SECONDS) -> None:
        """Written and read back; checked anew where it was away, and said where it forgot."""
        word, expected = new_id(), self._word
        found = await self.raw.probe(self._node, word=word, within=within)
        self._word = word
        if not self.up:
            await self.raw.open()
        elif found != expected:
            _log.error("store.rolled_back")
            self.reached()
        self._say(up=True)

    def _say(self, *, up: bool, error: StoreError | None = None) -> None:
        self._metrics.store(is_up=up)
        self._metrics.device(Device.STORE, is_up=up)
        before, self.up = self.up, up
        if up and not before:
            away = self._away()
            _log.info("store.reached", away_seconds=away)
            self.changed(True, None, None if away is None else int(1000 * away))
            self.reached()
        if not up and before:
            self._lost_at = asyncio.get_running_loop().time()
            _log.error("store.lost", reason=str(error))
            self.changed(False, type(error and (error.__cause__ or error)).__name__, None)

    def _away(self) -> float | None:
        return None if self._lost_at is None else round(asyncio.get_running_loop().time() - self._lost_at, 3)


def _nobody() -> None:
    """Nobody asked to be called."""


def _unheard(_up: bool, _reason: str | None, _away_ms: int | None) -> None:  # noqa: FBT001 -- the event's own words
    """Nobody asked to be told."""
