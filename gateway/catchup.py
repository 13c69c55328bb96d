"""The store gets what it missed of a call: every entry once, marked as healed, and the tighter state.

An entry that is there already (its answer was lost, or another try was faster) is known by its bytes, and by the
operation's name where the store still remembers it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import structlog

from gateway.audit.chain import GENESIS, link
from gateway.audit.entry import EntryType, healed
from gateway.audit.note import Ack
from gateway.clock import new_id
from gateway.decide import loosened
from gateway.mend import SKEW_MS, mended
from gateway.metrics import Written
from gateway.model import CallKey, Device, HoldKey
from gateway.step import CALLED_OFF
from gateway.store.contract import Change, Committed, StoreUnavailable, TrailEntry, bucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from gateway.audit.device import Trail
    from gateway.audit.note import Note
    from gateway.clock import Clock
    from gateway.local import Local, LocalCalls, Pending
    from gateway.metrics import Metrics
    from gateway.model import Redaction
    from gateway.store.contract import Store, Stored

_log = structlog.stdlib.get_logger("catchup")
_audit = structlog.stdlib.get_logger("audit")

# How many entries that one device lacks are kept in memory, at some 4 KiB each. The journal on disk has those beyond
# of the first kind, the store those of the second.
MISSED = 50_000
LATE = 10_000
NOTES_AT_ONCE = 64  # one sync for so many
_LET_GO = {EntryType.UNMUTE_UNCHANGED, EntryType.HOLD_DROPPED, EntryType.UNMUTE_CONFIRMED}
ROUNDS = 16  # how often a call is tried anew because somebody else was faster


class Catchup:
    """`claim` is asked before an open redaction is healed: it claims the targets that were muted without asking,
    and gives until when (ms) somebody else's command may land there."""

    def __init__(
        self,
        store: Store,
        journal: Trail,
        local: LocalCalls,
        *,
        hmac_key: bytes,
        keep_ms: int,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._late: deque[tuple[Note, Ack]] = deque()
        self._overrun = False
        self.claim: Callable[[Redaction], Awaitable[int]] = _unclaimed
        self._store = store
        self._journal = journal
        self._local = local
        self._key = hmac_key
        self._keep_ms = keep_ms
        self._clock = clock
        self._metrics = metrics

    async def heal(self, key: CallKey, *, within: float) -> None:
        """Nothing is missing of the call when this returns. Raises `StoreUnavailable`: something still is."""
        local = self._local.get(key)
        if local is None or not local.adrift:
            return
        try:
            async with asyncio.timeout(within), local.healing:
                await self.unspill((key,))
                await self._heal_all(key, local, within)
        except TimeoutError:
            raise StoreUnavailable("not healed in time") from None
        finally:
            self.publish()

    def publish(self) -> None:
        """How many entries one device has and the other lacks."""
        self._metrics.gap(self._local.gap() + len(self._late))

    def spill(self) -> None:
        """Keep in memory no more than may be; what is let go of the journal has."""
        spilled, dropped = self._local.spill(MISSED)
        if spilled:
            _log.error("entries.spilled", count=spilled, gap=self._local.gap())
        if dropped:
            _log.error("entries.dropped", count=dropped)

    async def unspill(self, keys: Iterable[CallKey]) -> None:
        """Bring back what was let go of these calls. `StoreUnavailable`: it cannot be read."""
        spilled = {key: local for key in keys if (local := self._local.get(key)) is not None and local.spilled}
        if not spilled:
            return
        try:
            notes = await self._journal.missing(frozenset((key.tenant, key.call_id) for key in spilled))
        except OSError as error:
            raise StoreUnavailable("what is missing cannot be read") from error
        found: dict[CallKey, list[Note]] = {key: [] for key in spilled}
        for note in notes:
            found[CallKey(tenant=note.tenant, call_id=note.call_id)].append(note)
        lost = sum(local.unspill(found[key]) for key, local in spilled.items())
        if lost:
            _log.error("entries.lost", count=lost)

    def found(self, entries: Iterable[TrailEntry]) -> None:
        """These are in the store: whichever of them was missing is not."""
        have = {entry.entry: entry for entry in entries}
        for _, local in self._local.adrift():
            for pending in [one for one in local.pending if self._there(one.note, have)]:
                local.done(pending)

    def late(self, note: Note, ack: Ack) -> None:
        """The store has it and the journal does not: it is to come, for the day on which the store forgets it.

        Until then the store alone has it; so it stays when this process is killed, or when there are too many.
        """
        if len(self._late) >= LATE:
            self._late.popleft()
            if not self._overrun:
                _log.error("journal.overrun", kept=LATE)
            self._overrun = True
        self._late.append((note, ack))
        self.publish()

    async def rejournal(self) -> None:
        """Write to the journal what neither device has, and what only the store has."""
        while self._late and await self._write_some():
            self.publish()
        self._overrun = self._overrun and bool(self._late)
        for _, local in self._local.adrift():
            for pending in [one for one in local.pending if not one.journaled]:
                pending.journaled = await self._journal.write(pending.note)
            local.journaled = all(pending.journaled for pending in local.pending)

    async def _write_some(self) -> bool:
        """The oldest of what the journal lacks; False when it does not take all of them."""
        some = [self._late.popleft() for _ in range(min(NOTES_AT_ONCE, len(self._late)))]
        written = await asyncio.gather(*(self._journal.write(note) for note, _ in some))
        for (_, ack), taken in zip(some, written, strict=True):
            if taken:
                self._journal.tell(ack)
        self._late.extendleft(reversed([one for one, taken in zip(some, written, strict=True) if not taken]))
        return all(written)

    async def _heal_all(self, key: CallKey, local: Local, within: float) -> None:
        known = await self._store.entries(key, within=within) if local.pending else ()
        have = {entry.entry: entry for entry in known}
        local.held -= _let_go(known, local)
        while local.pending:
            first = local.pending[0]
            if not self._there(first.note, have):
                await self._heal(key, local, first, within)
            local.done(first)
        if local.unclaimed and local.redaction.open:
            await self._claim(key, local, within)
        stored = await self._store.load(key, within=within)
        if stored is not None and not local.pending:
            local.settled(stored.redaction)
        if not local.redaction.open:
            self._local.forget(key)

    def _there(self, note: Note, have: dict[bytes, TrailEntry]) -> bool:
        found = have.get(note.entry) or have.get(healed(note.entry))
        if found is not None:
            self._acknowledged(note, found.seq, found.link, found.at)
            _audit.info("entry.found", **found.told())
        return found is not None

    async def _heal(self, key: CallKey, local: Local, pending: Pending, within: float) -> None:
        """Ends also when it was seen meanwhile that the store has it."""
        claims = local.redaction.open and not local.mended
        loose_before = await self.claim(local.redaction) if claims else 0
        for _ in range(ROUNDS):
            stored = await self._store.load(key, within=within)
            if pending not in local.pending:
                return
            newest, finds = local.redaction, local.finds
            change = self._change(stored, local, pending, loose_before)
            done = await self._store.commit(change, within=within)
            if isinstance(done, Committed):
                # Unless more was found missing meanwhile, the state has all that is known.
                if self._healed(change, done, pending.note) and local.finds == finds:
                    local.mended = local.redaction is newest
                    local.unclaimed = local.unclaimed and not claims
                return
        raise StoreUnavailable("the call changes faster than it can be healed")

    async def _claim(self, key: CallKey, local: Local, within: float) -> None:
        """All its entries are there, late, and with them a state that was proven before its claims stood."""
        loose_before = await self.claim(local.redaction)
        for _ in range(ROUNDS):
            stored = await self._store.load(key, within=within)
            if stored is None or not stored.redaction.open or loose_before <= stored.redaction.loose_before:
                break
            if isinstance(await self._store.commit(self._loosening(stored, loose_before), within=within), Committed):
                break
        else:
            raise StoreUnavailable("the call changes faster than it can be claimed")
        local.unclaimed = False

    def _loosening(self, stored: Stored, loose_before: int) -> Change:
        """Nothing that anybody need hear of: whoever looks after the call proves it anew."""
        after = loosened(stored.redaction, before=loose_before)
        return Change(
            op=new_id(),
            before=stored,
            after=replace(after, revision=after.revision + 1),
            entry=b"",
            link=stored.head,
            due_at=self._clock.ms(),
            keep_ms=None,
        )

    def _change(self, stored: Stored | None, local: Local, pending: Pending, loose_before: int) -> Change:
        after = self._state(stored.redaction if stored else None, local, loose_before)
        head, entry = stored.head if stored else GENESIS, healed(pending.note.entry)
        alive = after.open or after.order is not None
        return Change(
            op=pending.op,
            before=stored,
            after=after,
            entry=entry,
            link=link(self._key, head, entry),
            due_at=self._clock.ms() if alive else None,
            keep_ms=None if alive else self._keep_ms,
        )

    def _state(self, current: Redaction | None, local: Local, loose_before: int) -> Redaction:
        """Mended once: after that whoever changes the call does so knowing of it."""
        if current is not None and local.mended:
            return current
        after = mended(current, local.missed())
        if loose_before <= after.loose_before:
            return after
        return replace(loosened(after, before=loose_before), revision=after.revision + 1)

    def _healed(self, change: Change, committed: Committed, note: Note) -> bool:
        """False: the answer is to an earlier try of the same step, whose entry was there before."""
        self._acknowledged(note, committed.seq, committed.link, committed.at)
        if committed.link != change.link:
            return False
        self._metrics.entries(Device.STORE, Written.HEALED)
        place = bucket(change.after.key)
        entry = TrailEntry(bucket=place, seq=committed.seq, at=committed.at, link=committed.link, entry=change.entry)
        _audit.info("entry.healed", **entry.told())
        return True

    def _acknowledged(self, note: Note, seq: int, hash_: str, at: int) -> None:
        self._journal.tell(Ack(op=note.op, bucket=note.bucket, seq=seq, link=hash_, at=at))


def _let_go(entries: Iterable[TrailEntry], local: Local) -> set[HoldKey]:
    """Holds that their clients ended at others, who did not know of them, after all that was missed here: by when it
    happened, for what is healed gets into the store long after that."""
    if not local.pending:
        return set()
    since = local.missed().at + SKEW_MS
    later = (orjson.loads(entry.entry) for entry in entries if entry.at > since)
    ended = [one for one in later if one["type"] in _LET_GO and one["node_ms"] > since]
    unchanged = {_hold(one) for one in ended if one["type"] == EntryType.UNMUTE_UNCHANGED}
    return {_hold(one) for one in ended} - (unchanged & _called_off(local))


def _called_off(local: Local) -> set[HoldKey]:
    """Holds whose unmute was called off here, and whose recorders were muted again: that others found no such hold
    let nobody go."""
    notes = (pending.note for pending in local.pending if pending.note.op.endswith(f".{CALLED_OFF}"))
    return {HoldKey(client=client, name=name) for note in notes for client, name in note.held}


def _hold(entry: Mapping[str, str]) -> HoldKey:
    return HoldKey(client=entry["client"], name=entry["hold"])


async def _unclaimed(_: Redaction) -> int:
    return 0
