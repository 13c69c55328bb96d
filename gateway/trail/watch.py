"""Every minute: is what was sealed since the last look what stands in the store, and is nothing gone?

It looks at what is new, not at everything: that is `audit verify`'s work. What was found wrong stays an alarm until
this process ends: somebody has to look.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway.audit import row
from gateway.audit.buckets import Bucket, Chains
from gateway.audit.entry import EntryType
from gateway.audit.findings import Findings, Kind
from gateway.audit.notice import notice
from gateway.audit.seal import Head
from gateway.audit.sealchain import SealChain
from gateway.beside import beside
from gateway.store.contract import BUCKETS, StoreUnavailable
from gateway.store.seals import Unreadable
from gateway.trail import heads as kept_heads
from gateway.trail.export import checkpoint_lines
from gateway.trail.floor import floor
from gateway.trail.rows import BESIDE, PAGE_SECONDS, rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.audit.entry import Entry
    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Checkpoint
    from gateway.clock import Clock
    from gateway.metrics import Metrics
    from gateway.store.seals import SealStore
    from gateway.trail.register import Register

_log = structlog.stdlib.get_logger("verification")

EVERY_SECONDS = 60.0
REMEMBERED = 100_000  # calls whose newest link is kept
TOLD = 20


class Watch:
    """`node` names this process in the entry."""

    def __init__(
        self,
        store: SealStore,
        keyring: Keyring,
        register: Register,
        *,
        node: str,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._register = register
        self._node = node
        self._clock = clock
        self._metrics = metrics
        self._findings = Findings(most=TOLD)
        self._told = 0
        self._entered = False
        self._seals: SealChain | None = None
        self._chains = self._unknown()
        self._heads: dict[int, Head] = {}
        self._emptied: set[int] = set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        while True:
            await self.turn()
            await self._clock.sleep(EVERY_SECONDS)

    async def turn(self) -> None:
        """Look once. Never raises."""
        try:
            await self._look()
        except StoreUnavailable as error:
            _log.warning("verification.missed", reason=str(error))
            return
        except Unreadable as error:
            self._findings.add(Kind.UNREADABLE, str(error), bucket=error.bucket)
        except Exception as error:  # noqa: BLE001 -- what cannot be read is what an alarm is for
            self._findings.add(Kind.UNREADABLE, type(error).__name__)
        await self._tell()

    def found(self, kind: Kind, text: str) -> None:
        """Somebody else has found this; an alarm at once, an entry with the next look."""
        self._findings.add(kind, text)
        self._say()

    async def _tell(self) -> None:
        self._say()
        if self._findings.wrong and not self._entered:
            self._entered = True
            await self._register.write(self._entry())

    def _say(self) -> None:
        self._metrics.verified(whole=not self._findings.wrong)
        for finding in self._findings.kept[self._told :]:
            _log.error("verification.failed", finding=finding.text())
        self._told = len(self._findings.kept)

    async def _look(self) -> None:
        if self._seals is None:
            await self._begin()
            return
        newest = await self._store.newest(within=PAGE_SECONDS)
        if newest.number < self._seals.number:
            text = f"there was a checkpoint {self._seals.number}, and the newest is {newest.number}"
            self._findings.add(Kind.ROLLED_BACK, text)
            await self._begin()
            return
        for number, head in (await self._new_heads(self._seals)).items():
            await self._bucket(number, head)
        if self._chains.calls() > REMEMBERED:
            self._chains = self._unknown()
        await self._counts()

    async def _begin(self) -> None:
        """From the newest checkpoint on."""
        newest = await self._store.newest(within=PAGE_SECONDS)
        self._seals = SealChain(self._keyring, self._findings, number=newest.number, hash_=newest.hash)
        self._heads = {number: kept.head for number, kept in kept_heads.read(newest.heads).items()}
        self._seals.based_on(self._heads)
        await self._counts()

    def _unknown(self) -> Chains:
        return Chains(self._keyring.chains, self._findings, whole=False)

    # ── what is new ──

    async def _new_heads(self, seals: SealChain) -> dict[int, Head]:
        found: dict[int, Head] = {}
        async for line in checkpoint_lines(self._store, since=seals.number + 1):
            checkpoint = seals.feed(line)
            if checkpoint is not None:
                found |= dict(checkpoint.heads)
                self._adopt(checkpoint)
        return {number: head for number, head in found.items() if self._heads.get(number) != head}

    def _adopt(self, checkpoint: Checkpoint) -> None:
        """A loss that the sealer has told of is not ours to tell again; from there on it counts what was sealed."""
        for number in checkpoint.lost:
            self._heads[number] = checkpoint.heads[number]

    async def _bucket(self, number: int, head: Head) -> None:
        base = self._heads.get(number, Head())
        bucket = Bucket(number, self._findings, base=base, points={head.seq: head.digest}, whole=True)
        async for one in rows(self._store, number, since=base.seq + 1, until=head.seq):
            link = one.link.encode()
            bucket.takes(one.seq, link, row.line(one))
            self._chains.follows(number, one.seq, one.at, link, one.entry)
            if one.beside:
                self._findings.add(Kind.EDITED, BESIDE, bucket=number, seq=one.seq)
        bucket.ended()
        self._heads[number] = head

    # ── what is old ──

    async def _counts(self) -> None:
        """As many entries as there have to be: one that was taken away anywhere is missed."""
        base = await floor(self._store)
        newest = await self._store.newest_numbers(within=PAGE_SECONDS)
        for number in range(BUCKETS):
            begins = base.heads[number].seq if number in base.heads else 0
            missing = newest[number] - begins - await self._store.size(number, within=PAGE_SECONDS)
            if missing > 0 and number not in self._emptied:
                self._emptied.add(number)
                self._findings.add(Kind.HOLE, f"{missing} entries are gone", bucket=number)

    def _entry(self) -> Entry:
        entry = notice(EntryType.VERIFICATION_FAILED, node=self._node, ms=self._clock.ms())
        return replace(entry, count=self._findings.wrong, checkpoint=self._seals.number if self._seals else None)
