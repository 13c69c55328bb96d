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
        self._locks: WeakValueDictionary[CallKey, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: CallKey, *, within: float) -> AsyncIterator[None]:
        """While the block runs it is this one's turn. `StoreUnavailable` when it was not within so many seconds."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        if lock.locked():
            await _patiently(lock, within)
        else:
            await lock.acquire()  # at once: nobody is before it
        try:
            yield
        finally:
            lock.release()


async def _patiently(lock: asyncio.Lock, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await lock.acquire()
    except TimeoutError:
        raise StoreUnavailable("others were before it for too long") from None
