"""Steps of one call, one after the other: those of one process need not be in each other's way at the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from gateway.model import CallKey


class Turns:
    def __init__(self) -> None:
        self._queues: dict[CallKey, _Queue] = {}

    def of(self, key: CallKey, *, within: float) -> _Turn:
        """While the block runs it is this one's turn. `StoreUnavailable` when it was not within so many seconds."""
        return _Turn(self._queues, key, within)


class _Queue:
    """`length` counts who has the turn, who has just been told that it is theirs, and who waits for it."""

    __slots__ = ("length", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0


class _Turn:
    """One that is waited for, had, and over."""

    __slots__ = ("_key", "_queue", "_queues", "_within")

    def __init__(self, queues: dict[CallKey, _Queue], key: CallKey, within: float) -> None:
        self._queues = queues
        self._key = key
        self._within = within

    async def __aenter__(self) -> None:
        queue = self._queues.get(self._key)
        if queue is None:
            queue = self._queues[self._key] = _Queue()
        self._queue = queue
        queue.length += 1
        try:
            if queue.length > 1:
                await _patiently(queue.lock, self._within)
            else:
                await queue.lock.acquire()  # at once: nobody is before it
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._queue.lock.release()
        self._leave()

    def _leave(self) -> None:
        self._queue.length -= 1
        if not self._queue.length:
            del self._queues[self._key]


async def _patiently(lock: asyncio.Lock, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await lock.acquire()
    except TimeoutError:
        raise StoreUnavailable("others were before it for too long") from None
