"""The rows of a bucket, page by page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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


async def unsealed(store: SealStore, *, within: float) -> tuple[int, int]:
    """How old the oldest entry is, in ms by the store's clock, and how many were written; 0 and 0 for none."""
    numbers = await store.newest_numbers(within=within)
    ages = []
    for number in (number for number, newest in numbers.items() if newest):
        page = await store.rows(number, since=0, most=1, within=within)
        ages += [await store.now(number, within=within) - entry.at for entry in page.entries]
    return max(ages, default=0), sum(numbers.values())
