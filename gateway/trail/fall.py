"""A bucket that lost what was sealed (a failover to a replica that was behind): up to where do its seals stand?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit import row, seal
from gateway.audit.seal import Head
from gateway.trail.rows import PAGE_SECONDS, rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.store.seals import SealStore

PAGE = 200
LOOKS = 10_000  # checkpoints that are looked back: hours, where a failover loses seconds


async def standing(store: SealStore, number: int, newest: int) -> Head:
    """The newest sealed head of the bucket whose entries are still those that were sealed; the empty one, when
    none is found: then everything is sealed anew."""
    later: Head | None = None
    async for head in _sealed(store, number):
        if later is not None and later.seq <= newest and await _holds(store, number, head, later):
            return later
        later = head
    return Head()


async def _sealed(store: SealStore, number: int) -> AsyncIterator[Head]:
    """The bucket's heads, newest first, without those that did not stand; at the end where the trail begins."""
    until, limit = 2**62, 2**62
    for _ in range(LOOKS // PAGE):
        found = await store.checkpoints_back(until=until, most=PAGE, within=PAGE_SECONDS)
        for one in found:
            checkpoint = seal.read(one.line)
            head = checkpoint.heads.get(number)
            if head is not None and head.seq <= limit:
                yield head
            lost = checkpoint.lost.get(number)
            limit = min(limit, lost.kept) if lost is not None else limit
        if len(found) < PAGE:
            break
        until = found[-1].number - 1
    yield Head()


async def _holds(store: SealStore, number: int, head: Head, later: Head) -> bool:
    lines = [row.line(entry) async for entry in rows(store, number, since=head.seq + 1, until=later.seq)]
    return seal.extended(head, lines, later.seq) == later
