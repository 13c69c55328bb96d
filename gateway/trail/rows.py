"""The rows of a bucket, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.store.contract import TrailEntry
    from gateway.store.seals import SealStore

PAGE = 1_000
PAGE_SECONDS = 10.0  # nobody waits for these but the one who asked for the whole trail


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
