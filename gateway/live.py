"""Who waits for a call to change, on this pod; and word of changes from every pod, through the store.

Word may get lost (the store was away): so whoever waits also looks by itself every second, which is needed
anyway, since protection ends when evidence grows old and nothing is written then.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from gateway.beside import beside
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model import CallKey
    from gateway.store.contract import Store, Word

_log = structlog.stdlib.get_logger("live")

LISTENERS = 1_000
AGAIN_SECONDS = 0.25  # who does not hear what others let go is the more often wrong about it


class Live:
    """`full` once `most` listeners are there: then nobody more is taken. `told` gets every word."""

    def __init__(self, *, most: int = LISTENERS, told: Callable[[Word | None], None] = lambda _: None) -> None:
        self._told = told
        self._most = most
        self._waiting: defaultdict[CallKey, set[asyncio.Event]] = defaultdict(set)
        self._count = 0
        self.over = False

    @property
    def full(self) -> bool:
        return self._count >= self._most

    @asynccontextmanager
    async def hearing(self, store: Store) -> AsyncIterator[None]:
        """Take word from the store while the block runs; at its end every listener is sent home."""
        async with beside(self._hear(store)):
            try:
                yield
            finally:
                self.end()

    def changed(self, key: CallKey) -> None:
        """Whoever waits for this call wakes up."""
        for event in self._waiting.get(key, ()):
            event.set()

    def end(self) -> None:
        """No more changes will come: wake everybody up to see it."""
        self.over = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    @asynccontextmanager
    async def listening(self, key: CallKey) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the call may have changed; the listener clears it."""
        event = asyncio.Event()
        self._waiting[key].add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _hear(self, store: Store) -> None:
        lost = False
        while True:
            try:
                async for word in store.changes():
                    lost = False
                    self._told(word)
                    if word is not None:
                        self.changed(word.key)
            except StoreUnavailable:
                if not lost:
                    _log.warning("changes.lost")
                lost = True
            except Exception:  # noqa: BLE001 -- what one word trips over must not make this pod deaf
                _log.exception("changes.failed")
            await asyncio.sleep(AGAIN_SECONDS)
