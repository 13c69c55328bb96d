"""The store as everybody else sees it: when it is known to be away, the answer comes at once.

Only the first to meet the trouble waits for it. Whoever is in a hurry (a mute) is then told at once; whoever has
time (anything that needs the store) waits for the verdict of the watch, which takes a moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from gateway.store.contract import StoreAway, StoreUnavailable, StoreUnsettled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from gateway.model import CallKey
    from gateway.store.contract import (
        Asked,
        Change,
        Claim,
        Claims,
        Committed,
        Queue,
        Stale,
        Store,
        Stored,
        TrailEntry,
        Turn,
        Word,
    )

_T = TypeVar("_T")

HURRIED_SECONDS = 0.25  # who waits no longer than this for a command has no time for a verdict either


class Verdict(Protocol):
    """Whether the store is there, as far as is known."""

    @property
    def up(self) -> bool: ...

    @property
    def doubted(self) -> bool:
        """Something went wrong and it is being asked whether the store is there."""
        ...

    @property
    def verified(self) -> bool:
        """What the store may have lost is known here."""
        ...

    def doubt(self) -> None: ...

    def took(self, seconds: float) -> None:
        """So long for one command."""
        ...

    async def verdict(self) -> None:
        """Wait until there is no doubt."""
        ...


class GuardedStore:
    """`store` behind the verdict of its watch; the same promises."""

    def __init__(self, store: Store, watch: Verdict) -> None:
        self._store = store
        self._watch = watch

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def commit(self, change: Change, *, within: float) -> Committed | Stale:
        if change.loosens and not self._watch.verified:
            raise StoreUnsettled("what the store may have lost is not known yet")
        return await self._guarded(lambda: self._store.commit(change, within=within), within)

    async def load(self, key: CallKey, *, within: float) -> Stored | None:
        return await self._guarded(lambda: self._store.load(key, within=within), within)

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        return await self._guarded(lambda: self._store.entries(key, within=within), within)

    def together(self, numbers: Sequence[int]) -> Sequence[Sequence[int]]:
        return self._store.together(numbers)

    async def queues(self, numbers: Sequence[int], asked: Asked, *, within: float) -> Mapping[int, Queue]:
        return await self._guarded(lambda: self._store.queues(numbers, asked, within=within), within)

    async def claim(self, target: str, key: CallKey, *, within: float) -> Claims:
        return await self._guarded(lambda: self._store.claim(target, key, within=within), within)

    async def loosen(
        self, target: str, key: CallKey, *, lands_before: int, over: tuple[Claim, ...], within: float
    ) -> Claims:
        return await self._guarded(
            lambda: self._store.loosen(target, key, lands_before=lands_before, over=over, within=within), within
        )

    async def release(self, target: str, key: CallKey, *, own: str, landed: int | None, within: float) -> None:
        await self._guarded(lambda: self._store.release(target, key, own=own, landed=landed, within=within), within)

    async def once(
        self, name: str, fingerprint: str, *, runs_ms: int, keep_ms: int, again: bool, within: float
    ) -> Turn:
        return await self._guarded(
            lambda: self._store.once(name, fingerprint, runs_ms=runs_ms, keep_ms=keep_ms, again=again, within=within),
            within,
        )

    async def once_over(self, name: str, fingerprint: str, *, left: Turn, within: float) -> None:
        await self._guarded(lambda: self._store.once_over(name, fingerprint, left=left, within=within), within)

    def changes(self) -> AsyncIterator[Word | None]:
        return self._store.changes()

    async def ping(self, *, within: float) -> None:
        await self._store.ping(within=within)

    async def _guarded(self, work: Callable[[], Awaitable[_T]], within: float) -> _T:
        if self._watch.doubted or not self._watch.up:
            await self._admit(within)
        began = time.perf_counter()
        try:
            return await work()
        except StoreUnsettled:  # it is there and says so: no doubt about that
            raise
        except StoreUnavailable:
            self._watch.doubt()
            raise
        finally:
            self._watch.took(time.perf_counter() - began)

    async def _admit(self, within: float) -> None:
        if self._watch.doubted and within > HURRIED_SECONDS:
            await self._watch.verdict()
        if not self._watch.up:
            raise StoreAway("known to be away")
        if self._watch.doubted:
            raise StoreUnavailable("perhaps away")
