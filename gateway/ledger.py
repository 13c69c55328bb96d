"""State and trail in one step: decide on what is known, write if that is still so, decide again if not.

Nobody else writes. A step is a pure transition plus the entry that describes it; both go to the store together
or not at all, and to the journal at the same time, each with a deadline of its own. The newest known state of a
call is remembered, so that the common step is one round trip.

Which device a step needs: one that may let a party be recorded needs the store, which has state and trail in one;
that the journal is down as well as up changes nothing there, as long as one of the two devices takes the entry
("unmute while state or audit cannot be written" is refused, an unmute whose entry stands in the store is not).
A mute needs neither. What the store missed is kept here and in the journal, and comes late.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.asks import Failure
from gateway.audit.chain import GENESIS, link
from gateway.audit.device import NoJournal
from gateway.audit.note import Ack, Note, Void
from gateway.catchup import Catchup
from gateway.evidence import due_at
from gateway.frozen import replace
from gateway.local import LocalCalls
from gateway.metrics import Written
from gateway.model import Action, CallKey, Device, Redaction
from gateway.step import Draft, Recorded, Step
from gateway.store.codec import encode
from gateway.store.contract import Change, Committed, Stored, StoreUnavailable, bucket
from gateway.turns import Turns
from gateway.view import TrailView

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.audit.device import Trail
    from gateway.audit.entry import Entry
    from gateway.clock import Clock
    from gateway.evidence import Policy
    from gateway.metrics import Metrics
    from gateway.model import HoldKey
    from gateway.store.contract import Store, TrailEntry

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("ledger")
_audit = structlog.stdlib.get_logger("audit")

__all__ = ["Ledger", "Recorded", "Step"]

REMEMBERED = 10_000  # calls whose newest state is kept in memory
_BLANK = Redaction(key=CallKey(tenant="", call_id=""))
ROUNDS = 16  # how often a step is decided anew because somebody else was faster


class Ledger:
    """`hmac_key` chains the entries; `keep_ms` is how long a closed redaction stays readable. `local` is what this
    process knows without the store, `catchup` what gives the store what it missed."""

    def __init__(
        self,
        store: Store,
        *,
        hmac_key: bytes,
        keep_ms: int,
        clock: Clock,
        policy: Policy,
        metrics: Metrics,
        journal: Trail | None = None,
    ) -> None:
        trail: Trail = NoJournal() if journal is None else journal
        self.local = LocalCalls(most=REMEMBERED)
        self.catchup = Catchup(
            store, trail, self.local, hmac_key=hmac_key, keep_ms=keep_ms, clock=clock, metrics=metrics
        )
        self._store = store
        self._key = hmac_key
        self._keep_ms = keep_ms
        self._clock = clock
        self._policy = policy
        self._metrics = metrics
        self._journal = trail
        self._known: OrderedDict[CallKey, Stored] = OrderedDict()
        self._turns = Turns()
        self._noted_at = 0

    # ── for whoever has something to write or to know ──

    async def step(self, key: CallKey, step: Step[_T]) -> Recorded[_T]:
        """Take the step. Raises the transition's `Failure`, and `StoreUnavailable` where the step is `needed`."""
        drafts: list[Draft[_T]] = []
        try:
            return await self._step(key, step, drafts)
        except Failure:
            self._void(drafts)
            raise
        except StoreUnavailable:
            if step.needed:
                self._void(drafts)
                raise
            return await self._undurable(key, step, drafts)

    async def load(self, key: CallKey, *, within: float) -> Stored | None:
        """What the store has, now; without it what this process knows of a call that it muted and nobody ended."""
        try:
            return await self.look_up(key, within=within)
        except StoreUnavailable:
            local = self.local.get(key)
            if local is None or local.doubtful:
                raise
            known = self._known.get(key)
            return Stored(
                redaction=local.believed, head=known.head if known else GENESIS, seq=known.seq if known else 0
            )

    async def look_up(self, key: CallKey, *, within: float) -> Stored | None:
        """What the store has, with all that it lacked, is what is known here. Raises `StoreUnavailable`."""
        await self.catchup.heal(key, within=within)
        return await self._load(key, within)

    async def read(self, key: CallKey, *, within: float) -> Recorded[None] | None:
        """What is known of a call and how durably. Raises `StoreUnavailable` when only memory knows."""
        try:
            stored = await self.look_up(key, within=within)
        except StoreUnavailable:
            local = self.local.get(key)
            if local is None or not local.journaled or local.doubtful:
                raise
            return Recorded(redaction=local.believed, outcome=None, durability="journal", audit=None)
        if stored is None:
            return None
        return Recorded(redaction=stored.redaction, outcome=None, durability="stored", audit=self.place(stored))

    def last_known(self, key: CallKey) -> Redaction:
        """The call as this process heard of it last, which may be long ago."""
        local, known = self.local.get(key), self._known.get(key)
        if local is not None:
            return local.redaction
        return known.redaction if known else replace(_BLANK, key=key)

    async def entries(self, key: CallKey, *, within: float) -> tuple[TrailEntry, ...]:
        return await self._store.entries(key, within=within)

    def place(self, stored: Stored) -> TrailView:
        """Where the newest entry of a call stands."""
        return TrailView(bucket=bucket(stored.redaction.key), seq=stored.seq, hash=stored.head)

    def orphans(self, *, now: int) -> tuple[CallKey, ...]:
        """Calls muted here that somebody must look at by `now` (ms), for when the store's queue cannot be read."""
        return tuple(key for key, local in self.local.open() if local.due_at <= now and not local.doubtful)

    # ── the store's way ──

    async def _step(self, key: CallKey, step: Step[_T], drafts: list[Draft[_T]]) -> Recorded[_T]:
        deadline = self._clock.deadline(step.within)
        await self.catchup.heal(key, within=step.within)
        async with self._turns.of(key, within=self._left(deadline)):
            return await self._taken(key, step, drafts, deadline)

    async def _taken(self, key: CallKey, step: Step[_T], drafts: list[Draft[_T]], deadline: float) -> Recorded[_T]:
        before, guessed = self._known.get(key), True
        for _ in range(ROUNDS):
            try:
                draft = self._draft(before, before.redaction if before else replace(_BLANK, key=key), step)
            except Failure:
                if not guessed:
                    raise
                before, guessed = await self._load(key, self._left(deadline)), False
                continue
            drafts.append(draft)
            done = await self._store.commit(draft.change, within=self._left(deadline))
            if isinstance(done, Committed):
                return await self._committed(draft, done)
            self._remember(key, done.now)
            before, guessed = done.now, False
        raise StoreUnavailable("the call changes faster than it can be written")

    def _left(self, deadline: float) -> float:
        """One step has one deadline, however often it is decided anew."""
        left = self._clock.left(deadline)
        if left <= 0:
            raise StoreUnavailable("no time left")
        return left

    def _draft(self, before: Stored | None, redaction: Redaction, step: Step[_T]) -> Draft[_T]:
        """Decide; the journal begins to write while the store is asked."""
        after, outcome = step.decide(redaction)
        described = step.describe(redaction, after, outcome)
        entry = described.canonical() if described else b""
        head = before.head if before else GENESIS
        alive = after.open or after.order is not None
        change = Change(
            op=step.op,
            before=before,
            after=after,
            entry=entry,
            link=link(self._key, head, entry) if entry else head,
            due_at=self._due(after, step.busy_ms) if alive else None,
            keep_ms=None if alive else self._keep_ms,
            state=encode(after),
        )
        held = _held(redaction, after, described, step.stands) if described else ()
        note = self._note(change, held, needed=step.needed) if entry else None
        return Draft(change=change, outcome=outcome, note=note, written=self._journal.write(note) if note else None)

    def _due(self, redaction: Redaction, busy_ms: int) -> int:
        now = self._clock.ms()
        return max(now + busy_ms, due_at(redaction, now=now, policy=self._policy))

    def _note(self, change: Change, held: tuple[tuple[str, str], ...], *, needed: bool) -> Note:
        key = change.after.key
        self._noted_at = max(self._noted_at, self._clock.ms())  # in order, though the clock be set back
        return Note(
            op=change.op,
            tenant=key.tenant,
            call_id=key.call_id,
            bucket=bucket(key),
            at=self._noted_at,
            needed=needed,
            open=change.after.open,
            held=held,
            entry=change.entry,
            state=change.state,
        )

    async def _committed(self, draft: Draft[_T], committed: Committed) -> Recorded[_T]:
        """The entry also goes to the log stream, where the store's owner cannot reach it."""
        change = draft.change
        key = change.after.key
        self._remember(key, Stored(redaction=change.after, head=committed.link, seq=committed.seq))
        number = bucket(key) if draft.note is None else draft.note.bucket
        trail = TrailView(bucket=number, seq=committed.seq, hash=committed.link)
        journaled = await draft.journaled()
        if draft.note is not None:
            self._metrics.entries(Device.STORE, Written.WRITTEN)
            note = draft.note
            at, hash_ = committed.at, committed.link
            ack = Ack(op=note.op, bucket=note.bucket, seq=committed.seq, link=hash_, at=at)
            self._journal.tell(ack)
            if not journaled:
                self.catchup.late(note, ack)
            entry = _text(change.entry)
            _audit.info("entry.written", bucket=trail.bucket, seq=trail.seq, at=at, hash=hash_, entry=entry)
        self._own(draft, journaled=journaled)
        return Recorded(redaction=change.after, outcome=draft.outcome, durability=committed.durability, audit=trail)

    def _own(self, draft: Draft[_T], *, journaled: bool) -> None:
        """A call that was muted here is looked after from here when the store is away."""
        after, key = draft.change.after, draft.change.after.key
        if not after.open:
            self.local.forget(key)
        elif (draft.note is not None and draft.note.held) or self.local.get(key) is not None:
            local = self.local.made(key, after)
            local.due_at = draft.change.due_at or 0
            if not local.lacking:
                local.redaction = after
                local.journaled = journaled or (draft.note is None and local.journaled)

    # ── without the store ──

    async def _undurable(self, key: CallKey, step: Step[_T], drafts: list[Draft[_T]]) -> Recorded[_T]:
        """Muting goes on without a store: on what is known here, in the journal if it can, said loudly if not."""
        if step.alone is not None:
            step, drafts = replace(step, decide=step.alone), []
        draft, before = self._local_draft(key, step, drafts)
        after = draft.change.after
        if draft.note is None:
            self._unheard(key, draft)
            return Recorded(redaction=after, outcome=draft.outcome, durability="none", audit=None)
        pending = self.local.made(key, before).add(draft.note, after)
        pending.journaled = journaled = await draft.journaled()
        self._without_store(key, draft, journaled=journaled)
        return Recorded(
            redaction=after, outcome=draft.outcome, durability="journal" if journaled else "none", audit=None
        )

    def _local_draft(self, key: CallKey, step: Step[_T], drafts: list[Draft[_T]]) -> tuple[Draft[_T], Redaction]:
        """The step decided on what is known here, which is what it was decided on unless others were faster."""
        local, known = self.local.get(key), self._known.get(key)
        before = known.redaction if known else replace(_BLANK, key=key)
        if local is not None and (local.lacking or local.redaction.revision > before.revision):
            return self._draft(known, local.believed, step), local.redaction
        heard = self.local.doubted(before, local)
        usable = drafts and drafts[-1].change.before == known and heard == before
        before = heard
        return drafts[-1] if usable else self._draft(known, before, step), before

    def _unheard(self, key: CallKey, draft: Draft[_T]) -> None:
        """A step that nobody need hear of is only remembered."""
        if (local := self.local.get(key)) is not None:
            local.redaction, local.alone = draft.change.after, True
            local.due_at = draft.change.due_at or 0

    def _without_store(self, key: CallKey, draft: Draft[_T], *, journaled: bool) -> None:
        local = self.local.made(key, draft.change.after)
        local.journaled = journaled
        local.due_at = draft.change.due_at or 0
        self._metrics.entries(Device.STORE, Written.FAILED)
        self.catchup.publish()
        if journaled:
            _audit.warning("entry.journaled", entry=_text(draft.change.entry))
        else:
            _log.error("step.undurable", op=draft.change.op)
            _audit.error("entry.unwritten", entry=_text(draft.change.entry))

    def _void(self, drafts: list[Draft[_T]]) -> None:
        if any(draft.note is not None for draft in drafts):
            self._journal.tell(Void(op=drafts[-1].change.op))

    # ── what is remembered ──

    async def _load(self, key: CallKey, within: float) -> Stored | None:
        stored = await self._store.load(key, within=within)
        self._remember(key, stored)
        return stored

    def _remember(self, key: CallKey, stored: Stored | None) -> None:
        self._known.pop(key, None)
        if stored is not None:
            self._known[key] = stored
            self._follow(key, stored.redaction)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _follow(self, key: CallKey, redaction: Redaction) -> None:
        """What others did to a call that was muted here."""
        local = self.local.get(key)
        if local is not None and local.follows(redaction) and not redaction.open:
            self.local.forget(key)
            self._journal.forget(key.tenant, key.call_id)


def _held(
    before: Redaction, after: Redaction, entry: Entry, stands: Collection[HoldKey]
) -> tuple[tuple[str, str], ...]:
    """The holds that a step took or asked for again, which changes nothing but means that it must be there."""
    asked = (entry.client, entry.hold) if entry.action is Action.MUTE else None
    names = ((hold, (hold.key.client, hold.key.name)) for hold in after.holds)
    return tuple(name for hold, name in names if hold not in before.holds or name == asked or hold.key in stands)


def _text(entry: bytes) -> str:
    return entry.decode()
