"""Which buckets' queues are this pod's to work: leases in the store, given up early rather than late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.store.contract import Store

LEASE_MS = 2_000  # what a dead pod leaves behind is muted again within three seconds


class Leases:
    """`owner` names the pod. A lease is good for half of what the store was told, counted from before it was asked."""

    def __init__(self, store: Store, *, owner: str, within: float) -> None:
        self._store = store
        self._owner = owner
        self._within = within
        self._until: dict[int, float] = {}  # by bucket, on the loop's clock

    def has(self, number: int) -> bool:
        return self._until.get(number, 0.0) > asyncio.get_running_loop().time()

    async def taken(self, number: int) -> bool:
        """The bucket is ours, for now. Raises `StoreUnavailable`."""
        if self.has(number):
            return True
        asked = asyncio.get_running_loop().time()
        if not await self._store.lease(number, owner=self._owner, ms=LEASE_MS, within=self._within):
            self._until.pop(number, None)
            return False
        self._until[number] = asked + LEASE_MS / 2000
        return True

    def give_up(self) -> None:
        """None of them is sure any more."""
        self._until.clear()
