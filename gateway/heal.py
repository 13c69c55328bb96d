"""Sees to it that nothing stays missing: whenever the store is there again, what it lacks is given to it.

A store that comes back may have lost what it had acknowledged (a failover to a replica that was behind, a wipe).
The journal knows the newest entry that each bucket confirmed; when it is not there any more, everything confirmed
from where it broke counts as missing, and so does every open redaction that the store has forgotten.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.audit.entry import EntryType
from gateway.audit.note import Note
from gateway.beside import beside
from gateway.clock import new_id
from gateway.describe import Act
from gateway.model import Origin, Principal
from gateway.store.codec import decode, encode
from gateway.store.contract import StoreUnavailable, bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from gateway.audit.journal import Journal
    from gateway.audit.note import Ack, Kept
    from gateway.describe import Scribe
    from gateway.ledger import Ledger
    from gateway.model import CallKey, Redaction
    from gateway.store.contract import TrailEntry, WatchedStore
    from gateway.store.watch import StoreWatch

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("heal")

AGAIN_SECONDS = 0.5
LOOKS = 2  # the second time at what was confirmed just before the first, and told only after it
STORE_SECONDS = 1.0
CALL_SECONDS = 30.0  # one call can have missed many entries
CALLS_AT_ONCE = 16
CALLS_A_PASS = 256  # one reading of the journal for so many
PAGE = 1_000
SURELY_THERE = 4  # so many of what was confirmed first are there: nothing before them is missing
NOTES_AT_ONCE = 64  # one sync for so many
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
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._watch = watch
        self._store = store
        self._scribe = scribe
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
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        while True:
            try:
                await self._ledger.catchup.rejournal()
                self._ledger.catchup.spill()
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
                await self._verify(self._journal.acked())
            except BaseException:
                self._looks = LOOKS
                raise
            self._looks = self._looks or looks - 1
            self._watch.verified = self._looks < LOOKS
        await self._bring()
        self._ledger.catchup.publish()

    async def _verify(self, acked: Mapping[int, tuple[Ack, ...]]) -> None:
        """Whatever was confirmed is there. A step whose answer was lost may stand there as well.

        Calls of buckets that lost nothing need not wait until it is known what the others lost: another gateway may
        be about to let go what was muted here without the store.
        """
        since = [(number, min(ack.seq for ack in acks)) for number, acks in acked.items()]
        tails = dict(zip(acked, await asyncio.gather(*(self._tail(*place) for place in since)), strict=True))
        for tail in tails.values():
            self._ledger.catchup.found(tail.entries)
        lost = frozenset(number for number, acks in acked.items() if any(tails[number].lacks(ack) for ack in acks))
        await self._bring(without=lost)
        if lost:
            _log.error("store.tail_lost", buckets=sorted(lost))
            await self._lose(lost, tails)

    async def _bring(self, *, without: frozenset[int] = frozenset()) -> None:
        """Every call that the store lacks something of, some at a time. Raises the first one's trouble."""
        places = asyncio.Semaphore(CALLS_AT_ONCE)

        async def bring(key: CallKey) -> None:
            async with places:
                await self._ledger.catchup.heal(key, within=CALL_SECONDS)

        adrift = [key for key, _ in self._ledger.local.adrift() if bucket(key) not in without]
        for some in _chunks(adrift, CALLS_A_PASS):
            await self._ledger.catchup.unspill(some)
            for trouble in await asyncio.gather(*map(bring, some), return_exceptions=True):
                if trouble is not None:
                    raise trouble

    async def _lose(self, numbers: frozenset[int], tails: Mapping[int, _Tail]) -> None:
        """What these buckets have lost is missing from now on. Most losses are the last few seconds', whose notes are
        in memory; only for one that may reach further back the files are read, which takes a while."""
        near = {number: self._near(number, tails[number]) for number in numbers}
        far = frozenset(number for number, lost in near.items() if not lost)
        for number, lost in near.items():
            await self._lack(number, lost)
        await self._bring(without=far)
        for number, confirmed in (await self._journal.confirmed(far)).items() if far else ():
            tail = await self._tail(number, min((ack.seq for _, ack in confirmed), default=0))
            await self._lack(number, [note for note, ack in confirmed if tail.lacks(ack)])
            self._journal.disown(number, {ack.op for ack in self._journal.acked().get(number, ())})
            for kept in self._journal.states(number):
                await self._restore(kept)

    def _near(self, number: int, tail: _Tail) -> list[Note]:
        """What the bucket has lost; nothing when it may have lost more than is remembered."""
        steps = self._journal.remembered(number)
        first = next((index for index, (_, ack) in enumerate(steps) if tail.lacks(ack)), 0)
        whole = first >= SURELY_THERE and len(steps) == len(self._journal.acked().get(number, ()))
        return [note for note, ack in steps[first:] if tail.lacks(ack)] if whole else []

    async def _lack(self, number: int, lost: list[Note]) -> None:
        """In the journal too: a crash now changes nothing."""
        notes = [replace(note, needed=False) for note in lost]
        for some in _chunks(notes, NOTES_AT_ONCE):
            await asyncio.gather(*(self._journal.write(note) for note in some))
        self._journal.disown(number, {note.op for note in notes})
        self._ledger.local.lack(notes, lost=True)

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
        missing = known is not None and known.lacking
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


def _chunks(things: list[_T], size: int) -> Iterator[list[_T]]:
    return (things[at : at + size] for at in range(0, len(things), size))
