"""The trail as lines, bucket after bucket, with bounded memory; and what they are to be held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.audit import row
from gateway.audit.export import Ended, Seals, Selection
from gateway.store.contract import BUCKETS
from gateway.store.seals import SYSTEM
from gateway.trail import heads as kept_heads
from gateway.trail.rows import PAGE, PAGE_SECONDS, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.audit.keyring import Keyring
    from gateway.store.seals import NewestSeal, SealRow, SealStore

LOST = b'"lost":{'
_MOMENTS = 20  # no store is sealed so fast that none of these is without a new checkpoint


@dataclass(kw_only=True)
class Export:
    """One export, from the state of the trail at `begin`. While the lines are read `heads` grows: by bucket the
    newest number that was given, and the link of its entry; and `beside`: where a row holds more than an entry."""

    store: SealStore
    selection: Selection
    seals: Seals
    numbers: dict[int, int]
    begun: int
    heads: dict[int, tuple[int, str]] = field(default_factory=dict)
    entries: int = 0
    beside: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    async def begin(cls, store: SealStore, selection: Selection | None = None) -> Export:
        """Raises `StoreUnavailable`, as everything here."""
        begun = await store.now(SYSTEM, within=PAGE_SECONDS)
        newest, numbers = await _now(store)
        seals = await _seals(store, newest)
        return cls(store=store, selection=selection or Selection(), seals=seals, numbers=numbers, begun=begun)

    async def blocks(self) -> AsyncIterator[bytes]:
        """Whole lines of entries."""
        for number in range(BUCKETS):
            newest, self.heads[number] = self.numbers[number], (self.numbers[number], "")
            async for page in pages(self.store, number, since=0, until=newest):
                if page[-1].seq == newest:
                    self.heads[number] = (newest, page[-1].link)
                self.beside += [(number, one.seq) for one in page if one.beside]
                everything, takes = self.selection.everything, self.selection.takes
                lines = [row.line(one) for one in page if everything or takes(one)]
                self.entries += len(lines)
                if lines:
                    yield b"".join(lines)

    async def signed(self, keyring: Keyring, ms: Callable[[], int]) -> AsyncIterator[bytes]:
        """The blocks, and the signed last line."""
        digest = sha256()
        async for block in self.blocks():
            digest.update(block)
            yield block
        ended = Ended(
            at=ms(),
            entries=self.entries,
            digest=digest.hexdigest(),
            heads=self.heads,
            key=keyring.signer.id,
            selection=self.selection,
            seals=self.seals,
            begun=self.begun,
        )
        yield keyring.signer.line(ended.body()) + b"\n"


async def _now(store: SealStore) -> tuple[NewestSeal, dict[int, int]]:
    """The newest checkpoint and numbers of one moment: an entry may speak of a checkpoint that was made before it."""
    after = await store.newest(within=PAGE_SECONDS)
    for _ in range(_MOMENTS):
        before, numbers = after, await store.newest_numbers(within=PAGE_SECONDS)
        after = await store.newest(within=PAGE_SECONDS)
        if before.number == after.number:
            break
    return before, numbers


async def _seals(store: SealStore, newest: NewestSeal) -> Seals:
    """As the store has them: whether they hold is for the verification to say."""
    line = await _line(store, newest.number)
    try:
        heads = {number: kept.head for number, kept in kept_heads.read(newest.heads).items()}
    except ValueError:
        heads = {}
    trimmed = await _line(store, newest.trimmed)
    lost = [one async for one in checkpoint_lines(store) if LOST in one]
    return Seals(newest=line, heads=heads, trimmed=trimmed, lost=tuple(lost))


async def _line(store: SealStore, number: int) -> bytes | None:
    """A checkpoint that should be there and is not is one that is signed by nobody."""
    if not number:
        return None
    return await store.checkpoint(number, within=PAGE_SECONDS) or b""


async def checkpoint_lines(store: SealStore, *, since: int = 1) -> AsyncIterator[bytes]:
    """All checkpoints from number `since` on, oldest first."""
    async for one in checkpoint_rows(store, since=since):
        yield one.line


async def checkpoint_rows(store: SealStore, *, since: int = 1) -> AsyncIterator[SealRow]:
    """As `checkpoint_lines`."""
    while True:
        found = await store.checkpoints(since=since, most=PAGE, within=PAGE_SECONDS)
        for one in found:
            yield one
        if len(found) < PAGE:
            return
        since = found[-1].number + 1
