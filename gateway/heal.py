"""Sees to it that nothing stays missing: whenever the store is there again, what it lacks is given to it.

A store that comes back may have lost what it had acknowledged (a failover to a replica that was behind, a wipe).
The journal knows the newest entry that each bucket confirmed; when it is not there any more, everything confirmed
from where it broke counts as missing, and so does every open redaction that the store has forgotten.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from gateway.audit.entry import EntryType
from gateway.audit.note import Note
from gateway.clock import new_id
from gateway.describe import Act
from gateway.model import Origin, Principal
from gateway.store.codec import decode, encode
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.audit.journal import Journal
    from gateway.audit.note import Ack, Kept
    from gateway.describe import Scribe
    from gateway.ledger import Ledger
    from gateway.metrics import Metrics
    from gateway.model import Redaction
    from gateway.store.contract import TrailEntry, WatchedStore
    from gateway.store.watch import StoreWatch

_log = structlog.stdlib.get_logger("heal")

AGAIN_SECONDS = 0.5
LOOKS = 2  # the second time at what was confirmed just before the first, and told only after it
STORE_SECONDS = 1.0
CALL_SECONDS = 30.0  # one call can have missed many entries
PAGE = 1_000
GATEWAY = Principal(client="gateway", tenant="", kid="")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tail:
    """The newer end of a bucket's trail: `first` is the oldest number there is at all, `newest` the last given."""

    first: int | None
    newest: int
    entries: tuple[TrailEntry, ...]

    def lacks(self, ack: Ack) -> bool:
        """The entry is not there, and not because it was taken away at the old end, as exported ones are."""
        taken = self.newest >= ack.seq if self.first is None else self.first > ack.seq
        return not taken and not any(one.seq == ack.seq and one.link == ack.link for one in self.entries)


class Healer:
    """`wake` it when the store is there again."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        watch: StoreWatch,
        store: WatchedStore,
        *,
        scribe: Scribe,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._watch = watch
        self._store = store
        self._scribe = scribe
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._looks = LOOKS
        watch.verified = False

    def wake(self) -> None:
        """The store is there again: it may not be what it was."""
        self._looks = LOOKS
        self._watch.verified = False
        self._wake.set()

    @asynccontextmanager
    async def healing(self) -> AsyncIterator[None]:
        """Heal while the block runs."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _work(self) -> None:
        while True:
            try:
                await self._ledger.catchup.rejournal()
                if self._watch.up:
                    await self._heal()
            except (StoreUnavailable, OSError) as error:
                _log.warning("healing.interrupted", reason=type(error).__name__)
            except Exception:  # noqa: BLE001 -- what one entry trips over must not end the care for all others
                _log.exception("healing.failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def _heal(self) -> None:
        if self._looks:
            looks, self._looks = self._looks, 0
            try:
                for number, acks in self._journal.acked().items():
                    await self._verify(number, acks)
            except BaseException:
                self._looks = LOOKS
                raise
            self._looks = self._looks or looks - 1
            self._watch.verified = self._looks < LOOKS
        for key, _ in self._ledger.local.adrift():
            await self._ledger.catchup.heal(key, within=CALL_SECONDS)
        self._metrics.gap(self._ledger.local.gap())

    async def _verify(self, number: int, acks: tuple[Ack, ...]) -> None:
        """Whatever was confirmed is there. A step whose answer was lost may stand there as well."""
        tail = await self._tail(number, min(ack.seq for ack in acks))
        self._ledger.catchup.found(tail.entries)
        if any(tail.lacks(ack) for ack in acks):
            _log.error("store.tail_lost", bucket=number, newest=tail.newest)
            await self._lose(number)

    async def _lose(self, number: int) -> None:
        """What the bucket has lost is missing from now on, in the journal too: a crash now changes nothing."""
        confirmed = await self._journal.confirmed(number)
        tail = await self._tail(number, min((ack.seq for _, ack in confirmed), default=0))
        lost = [replace(note, needed=False) for note, ack in confirmed if tail.lacks(ack)]
        for note in lost:
            await self._journal.write(note)
        self._journal.disown(number)
        self._ledger.local.lack(lost)
        for kept in self._journal.states(number):
            await self._restore(kept)

    async def _tail(self, number: int, since: int) -> _Tail:
        entries: list[TrailEntry] = []
        while True:
            page = await self._store.trail(number, since=since, most=PAGE, within=STORE_SECONDS)
            entries.extend(page.entries)
            if len(page.entries) < PAGE:
                return _Tail(first=page.first, newest=page.newest, entries=tuple(entries))
            since = entries[-1].seq + 1

    async def _restore(self, kept: Kept) -> None:
        """An open redaction whose entries are older than the journal: the store has it, or gets it back."""
        redaction = decode(kept.state)
        known = self._ledger.local.get(redaction.key)
        missing = known is not None and known.pending
        if not missing and await self._store.load(redaction.key, within=STORE_SECONDS) is None:
            note = self._restored(redaction, kept)
            await self._journal.write(note)
            self._ledger.local.lack([note])

    def _restored(self, redaction: Redaction, kept: Kept) -> Note:
        act = Act(op=new_id(), origin=Origin(principal=GATEWAY, request_id=""))
        entry = self._scribe.entry(EntryType.STATE_RESTORED, act, redaction, redaction)
        return Note(
            op=f"{act.op}.restored",
            tenant=kept.tenant,
            call_id=kept.call_id,
            bucket=kept.bucket,
            at=entry.node_ms,
            needed=False,
            open=redaction.open,
            held=tuple((hold.key.client, hold.key.name) for hold in redaction.holds),
            entry=entry.canonical(),
            state=encode(redaction),
        )
