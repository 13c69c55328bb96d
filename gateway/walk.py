"""Goes round the work queues of all buckets, twice a second, and says which calls are due.

While little is due, all that stand at one server are asked at once. Much would keep requests waiting if it were begun
in one turn of the loop: then they are asked some at a time, spread over the round. No bucket waits longer for its
turn by either way, nor when one follows the other.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from gateway.beside import to_the_end
from gateway.leases import LEASE_MS, Leases
from gateway.store.contract import BUCKETS, Asked, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.clock import Clock
    from gateway.model import CallKey
    from gateway.store.contract import Store

TICK_SECONDS = 0.5
STORE_SECONDS = 1.0
PARTS = 8  # of a round, when the buckets are asked some at a time
CALLS_A_BUCKET = 256
LITTLE = 8  # calls that are begun in one turn of the loop without keeping requests waiting


class Walk:
    """`owner` names the pod; `begin` is told each call that is due, whenever it is found so. The next round is to begin
    `rest_seconds` after one has ended."""

    def __init__(self, store: Store, clock: Clock, *, owner: str, begin: Callable[[CallKey], None]) -> None:
        self.leases = Leases()
        self.rest_seconds = 0.0
        self._store = store
        self._clock = clock
        self._owner = owner
        self._begin = begin
        self._all = range(BUCKETS)
        self._is_little = False
        self._found = 0
        self._unreadable = False

    async def round(self) -> None:
        """Ask every bucket once. Raises `StoreUnavailable` for one that could not be, when all others have been."""
        pause = TICK_SECONDS * random.uniform(0.8, 1.2) / PARTS  # noqa: S311 -- only to spread pods
        self._found, self._unreadable = 0, False
        if self._is_little and len(self._store.together(self._all)) == 1:
            await self._at_once(pause)
        else:
            self.rest_seconds = pause
            await self._spread(self._all, pause)
            self._is_little = self._found <= LITTLE // 2
        if self._unreadable:
            raise StoreUnavailable("a bucket cannot be read")

    async def _at_once(self, pause: float) -> None:
        """Where more is due than little, the rest is asked for in what this round is shorter than the others."""
        self.rest_seconds = (PARTS - 1) * pause
        left = await self._asked(self._all, most=LITTLE, enough=LITTLE)
        self._is_little = not left
        if left:
            self.rest_seconds = 0.0
            await self._spread(left, pause / PARTS)

    async def _spread(self, numbers: Sequence[int], pause: float) -> None:
        """Some at a time, each part when it is its turn, however long another one takes."""
        size = math.ceil(len(self._all) / PARTS)
        parts = [numbers[at : at + size] for at in range(0, len(numbers), size)]
        await to_the_end(self._part(part, place * pause) for place, part in enumerate(parts))

    async def _part(self, numbers: Sequence[int], after_seconds: float) -> None:
        await self._clock.sleep(after_seconds)
        await to_the_end(self._ask(some) for some in self._store.together(numbers))

    async def _ask(self, numbers: Sequence[int]) -> None:
        await self._asked(numbers, most=CALLS_A_BUCKET, enough=CALLS_A_BUCKET * BUCKETS)

    async def _asked(self, numbers: Sequence[int], *, most: int, enough: int) -> list[int]:
        """Begin what is due in these buckets; gives those where more may be."""
        asked_at = asyncio.get_running_loop().time()
        asked = Asked(
            owner=self._owner,
            to_take=self.leases.lacking(numbers),
            lease_ms=LEASE_MS,
            until=self._clock.ms(),
            most=most,
            enough=enough,
        )
        queues = await self._store.queues(numbers, asked, within=STORE_SECONDS)
        for number in asked.to_take:
            self.leases.learned(number, ours=number in queues and queues[number].ours, asked_at=asked_at)
        for queue in queues.values():
            self._found += len(queue.keys)
            for key in queue.keys:
                self._begin(key)
        self._unreadable = self._unreadable or len(queues) < len(numbers)
        return [number for number, queue in queues.items() if not queue.whole]
