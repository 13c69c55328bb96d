"""Steps of one call, one after the other: those of one process need not be in each other's way at the store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.model import CallKey


class Turns:
    def __init__(self) -> None:
        self._queues: WeakValueDictionary[CallKey, _Queue] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: CallKey, *, within: float) -> AsyncIterator[None]:
        """While the block runs it is this one's turn. `StoreUnavailable` when it was not within so many seconds."""
        queue = self._queues.setdefault(key, _Queue())
        queue.length += 1
        try:
            if queue.length > 1:
                await _patiently(queue.lock, within)
            else:
                await queue.lock.acquire()  # at once: nobody is before it
            try:
                yield
            finally:
                queue.lock.release()
        finally:
            queue.length -= 1


class _Queue:
    """`length` counts who has the turn, who has just been told that it is theirs, and who waits for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0


async def _patiently(lock: asyncio.Lock, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await lock.acquire()
    except TimeoutError:
        raise StoreUnavailable("others were before it for too long") from None
