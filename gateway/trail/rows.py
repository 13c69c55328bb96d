"""The rows of a bucket, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.store.contract import TrailEntry
    from gateway.store.seals import SealStore

PAGE = 1_000
PAGE_SECONDS = 10.0  # nobody waits for these but the one who asked for the whole trail

BESIDE = "something stands beside the entry that was not written with it"


async def rows(store: SealStore, number: int, *, since: int, until: int) -> AsyncIterator[TrailEntry]:
    """The entries of bucket `number` from `since` to `until`, both included, oldest first; those that are there."""
    while since <= until:
        page = await store.rows(number, since=since, most=PAGE, within=PAGE_SECONDS)
        for entry in page.entries:
            if entry.seq > until:
                return
            yield entry
        if len(page.entries) < PAGE:
            return
        since = page.entries[-1].seq + 1


async def unsealed(store: SealStore, *, within: float) -> tuple[int, int]:
    """How old the oldest entry is, in ms by the store's clock, and how many were written; 0 and 0 for none."""
    numbers = await store.newest_numbers(within=within)
    ages = []
    for number in (number for number, newest in numbers.items() if newest):
        page = await store.rows(number, since=0, most=1, within=within)
        ages += [await store.now(number, within=within) - entry.at for entry in page.entries]
    return max(ages, default=0), sum(numbers.values())
