"""Which buckets' queues are this pod's to work: leases in the store, given up early rather than late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEASE_MS = 2_000  # what a dead pod leaves behind is muted again within three seconds


class Leases:
    """A lease is good for half of what the store was told, counted from before it was asked."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}  # by bucket, on the loop's clock

    def has(self, number: int) -> bool:
        return self._until.get(number, 0.0) > asyncio.get_running_loop().time()

    def lacking(self, numbers: Iterable[int]) -> frozenset[int]:
        """Those of the buckets that have to be taken before they are worked on."""
        return frozenset(number for number in numbers if not self.has(number))

    def learned(self, number: int, *, ours: bool, asked_at: float) -> None:
        """What came of taking the bucket; it was asked at that time of the loop."""
        if ours:
            self._until[number] = asked_at + LEASE_MS / 2000
        else:
            self._until.pop(number, None)

    def give_up(self) -> None:
        """None of them is sure any more."""
        self._until.clear()
