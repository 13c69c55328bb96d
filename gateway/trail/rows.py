"""The rows of a bucket, page by page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.beginnings import written_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.store.contract import TrailEntry, TrailPage
    from gateway.store.seals import SealStore

PAGE = 1_000
PAGE_SECONDS = 10.0  # nobody waits for these but the one who asked for the whole trail

BESIDE = "something stands beside the entry that was not written with it"


async def rows(store: SealStore, number: int, *, since: int, until: int) -> AsyncIterator[TrailEntry]:
    """The entries of bucket `number` from `since` to `until`, both included, oldest first; those that are there."""
    async for page in pages(store, number, since=since, until=until):
        for entry in page:
            yield entry


async def pages(store: SealStore, number: int, *, since: int, until: int) -> AsyncIterator[Sequence[TrailEntry]]:
    """As `rows`, many at once. The next page is under way while one is looked at."""
    asked = _asked(store, number, since) if since <= until else None
    try:
        while asked is not None:
            found = (await asked).entries
            more = len(found) == PAGE and found[-1].seq < until
            asked = _asked(store, number, found[-1].seq + 1) if more else None
            if found:
                yield found if found[-1].seq <= until else [one for one in found if one.seq <= until]
    finally:
        if asked is not None and not asked.cancel() and not asked.cancelled():
            asked.exception()  # nobody asks for it any more


def _asked(store: SealStore, number: int, since: int) -> asyncio.Task[TrailPage]:
    return asyncio.create_task(store.rows(number, since=since, most=PAGE, within=PAGE_SECONDS))


@dataclass(slots=True, kw_only=True)
class Unsealed:
    """What stands there before the first checkpoint: when the oldest was written (ms), by the store's clock and by
    those of the nodes, 0 for none, and how many there are."""

    since: int = 0
    nodes_since: int = 0
    entries: int = 0

    def saw(self, one: TrailEntry) -> None:
        self.entries += 1
        self.since = min(self.since or one.at, one.at)
        if node_at := written_at(one.entry):
            self.nodes_since = min(self.nodes_since or node_at, node_at)


async def unsealed(store: SealStore, *, within: float) -> Unsealed:
    """Of a trail without any checkpoint. The store's owner can write down any time, and put entries in any order: every
    one is looked at."""
    found = Unsealed()
    for number, newest in (await store.newest_numbers(within=within)).items():
        async for one in rows(store, number, since=0, until=newest):
            found.saw(one)
    return found
