"""What this process knows by itself of the calls that it muted, for as long as the store cannot be asked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.decide import loosened
from gateway.mend import Missed, regained
from gateway.model import CallKey, HoldKey
from gateway.store.codec import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.audit.device import Recalled
    from gateway.audit.note import Note
    from gateway.model import Redaction

STATES = 8  # states on the way that are told apart from another pod's
HEARD = 1_000  # calls of which word is remembered, for those that are muted here right after it


@dataclass(slots=True)
class Pending:
    """A step whose entry the store lacks. `journaled`: it is on disk here. `lost`: the store had it, and has confirmed
    it."""

    note: Note
    journaled: bool
    lost: bool = False

    @property
    def op(self) -> str:
        """What it is given to the store by. A step that was confirmed is not tried any more: what the store knows by
        its name now is a try that was given up, with an entry of its own."""
        return f"{self.note.op}.lost" if self.lost else self.note.op


@dataclass(slots=True)
class Gap:
    """What the store lacks of all calls: how many `steps`, which is told with each of them, and whose. `calls` has
    every call that it lacks something of and may have others: what is asked twice a second must not look at all."""

    steps: int = 0
    calls: dict[CallKey, Local] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Local:
    """One call: its newest redaction, when to look at it again (ms), and what the store lacks of it."""

    redaction: Redaction
    due_at: int = 0
    journaled: bool = False
    pending: list[Pending] = field(default_factory=list)
    ours: deque[Redaction] = field(default_factory=lambda: deque(maxlen=STATES))
    held: set[HoldKey] = field(default_factory=set)
    healing: asyncio.Lock = field(default_factory=asyncio.Lock)
    mended: bool = False
    finds: int = 0  # how often more was found missing
    spilled: int = 0  # older steps that the store lacks, in the journal alone
    unclaimed: bool = False  # nobody was asked who else means its recorders
    doubts: int = 0  # words that others may have let go, since it was looked up
    loose_before: int = 0  # what they may have sent has landed by then (ms): older evidence is none
    alone: bool = False  # its redaction went on without the store
    gap: Gap = field(default_factory=Gap)  # all that are kept together have the same

    @property
    def lacking(self) -> bool:
        """The store lacks something of it."""
        return bool(self.pending or self.spilled)

    @property
    def adrift(self) -> bool:
        return self.lacking or (self.unclaimed and self.redaction.open)

    @property
    def believed(self) -> Redaction:
        """Its redaction, with what was heard of others."""
        return loosened(self.redaction, before=self.loose_before)

    @property
    def doubtful(self) -> bool:
        """Others may have ended it; what the store lacks of it they did not know."""
        return self.doubts > 0 and not self.lacking

    def missed(self) -> Missed:
        at = max(pending.note.at for pending in self.pending)
        return Missed(newest=self.redaction, held=frozenset(self.held), ours=tuple(self.ours), at=at)

    def add(self, note: Note, after: Redaction) -> Pending:
        """One more step that the store lacks; not on disk yet."""
        pending = Pending(note, journaled=False)
        self.ours.append(self.redaction)
        self.redaction = after
        self._found()
        self.pending.append(pending)
        self.gap.steps += 1
        self.held |= _holds((note,))
        return pending

    def lack(self, notes: Sequence[Note], *, lost: bool) -> None:
        """Older steps that the store turns out to lack, in the order in which they happened; `lost` as in `Pending`."""
        states, held = [decode(note.state) for note in notes], _holds(notes)
        self.redaction = regained(self.redaction, states[-1], held, at=notes[-1].at) if self.lacking else states[-1]
        self.ours.extend(states[-STATES:])
        self._found()
        self.pending[:0] = [Pending(note, journaled=True, lost=lost) for note in notes]
        self.gap.steps += len(notes)
        self.held |= held
        self.journaled = True

    def _found(self) -> None:
        self.mended = False
        self.finds += 1
        self.unclaimed = True
        self.gap.calls[self.redaction.key] = self

    def follows(self, redaction: Redaction) -> bool:
        """This is what the store has. False where that is old, or lacks what is known here."""
        if self.lacking or (redaction.revision < self.redaction.revision and not self.alone):
            return False
        self.redaction, self.alone = redaction, False
        return True

    def spill(self) -> tuple[int, int]:
        """Keep only the newest step, which has the state; gives how many of the others the journal has, and how many
        nobody."""
        let_go, self.pending[:-1] = self.pending[:-1], []
        journaled = sum(1 for pending in let_go if pending.journaled)
        self.spilled += journaled
        self.gap.steps -= len(let_go) - journaled
        return journaled, len(let_go) - journaled

    def unspill(self, notes: Iterable[Note]) -> int:
        """The store lacks these as well, oldest first; gives how many of those let go did not come back."""
        have = {pending.note.op for pending in self.pending}
        back = [Pending(note, journaled=True) for note in notes if note.op not in have]
        self.gap.steps += len(back) - self.spilled
        lost, self.spilled = max(0, self.spilled - len(back)), 0
        self.pending[:0] = back
        return lost

    def done(self, pending: Pending) -> None:
        """The store has it, whoever saw to that."""
        if pending in self.pending:
            self.pending.remove(pending)
            self.gap.steps -= 1

    def settled(self, redaction: Redaction) -> None:
        """The store has everything; this is what it says."""
        self.redaction = redaction
        self.ours.clear()
        self.held.clear()
        self.mended = False


class LocalCalls:
    """By call; `most` of those that the store lacks nothing of are remembered, and all of the others."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._calls: dict[CallKey, Local] = {}
        self._heard: OrderedDict[CallKey, int] = OrderedDict()
        self.to_look_up: set[CallKey] = set()
        self._gap = Gap()

    def get(self, key: CallKey) -> Local | None:
        return self._calls.get(key)

    def made(self, key: CallKey, redaction: Redaction) -> Local:
        """The call's, made now if there is none."""
        local = self._calls.get(key)
        if local is None:
            self._shrink()
            local = Local(redaction=redaction, loose_before=self._heard.get(key, 0), gap=self._gap)
            self._calls[key] = local
        return local

    def heard(self, key: CallKey, *, loose_before: int) -> bool:
        """Others let somebody go; what they send may land until `loose_before` (ms). False: the call is not one that
        was muted here, so far."""
        self._heard[key] = loose_before
        self._heard.move_to_end(key)
        if len(self._heard) > HEARD:
            self._heard.popitem(last=False)
        if (local := self._calls.get(key)) is None:
            return False
        local.doubts += 1
        local.loose_before = max(local.loose_before, loose_before)
        self.to_look_up.add(key)
        return True

    def unheard(self, *, loose_before: int) -> None:
        """There may have been word that did not come. Who cannot look that up goes on looking after what was muted
        here, and calls it silent only by what is seen after `loose_before` (ms)."""
        for key, local in self.open():
            local.loose_before = max(local.loose_before, loose_before)
            self.to_look_up.add(key)

    def doubted(self, redaction: Redaction, local: Local | None) -> Redaction:
        """It, with what was heard of others lately, or might have been."""
        known = 0 if local is None else local.loose_before
        return loosened(redaction, before=max(known, self._heard.get(redaction.key, 0)))

    def adrift(self) -> tuple[tuple[CallKey, Local], ...]:
        """Calls that the store lacks something of, were it only who means their recorders."""
        return tuple((key, local) for key, local in self._astray() if local.adrift)

    def spill(self, most: int) -> tuple[int, int]:
        """Keep `most` steps, and one of each call, in memory: those of the oldest calls go. Gives how many went that
        the journal has, and how many that nobody has."""
        astray = [local for _, local in self._astray()]
        excess, spilled, dropped = sum(len(local.pending) for local in astray) - most, 0, 0
        for local in astray if excess > 0 else ():
            if not local.healing.locked():
                counts = local.spill()
                spilled, dropped = spilled + counts[0], dropped + counts[1]
            if spilled + dropped >= excess:
                break
        return spilled, dropped

    def open(self) -> Iterator[tuple[CallKey, Local]]:
        return ((key, local) for key, local in self._calls.items() if local.redaction.open)

    def gap(self) -> int:
        return self._gap.steps

    def forget(self, key: CallKey) -> None:
        """Nothing more need be known, unless the store lacks something."""
        if (local := self._calls.get(key)) is not None and not local.lacking:
            del self._calls[key]

    def recall(self, recalled: Recalled, *, lands_before: int) -> None:
        """What a process before this one left behind. Until `lands_before` (ms) a command of that time may land that
        nobody here knows of: what was seen before proves nothing."""
        for state in recalled.states:
            redaction = decode(state.state)
            self.made(redaction.key, redaction).journaled = True
        self.lack(note for note in recalled.notes if not note.needed)
        kept = {CallKey(tenant=state.tenant, call_id=state.call_id) for state in recalled.states}
        noted = {CallKey(tenant=note.tenant, call_id=note.call_id) for note in recalled.notes}
        for key in kept | noted:
            if (local := self._calls.get(key)) is not None:
                local.redaction = loosened(local.redaction, before=lands_before)

    def lack(self, notes: Iterable[Note], *, lost: bool = False) -> None:
        """The store does not have these, or has them no more (`lost`): they come before whatever else it lacks, in the
        order in which they happened. That need not be the one in which they are in the journal, where what was lost is
        written again."""
        lacking: dict[CallKey, list[Note]] = {}
        known = {pending.note.op for _, local in self._astray() for pending in local.pending}
        for note in sorted(notes, key=lambda note: note.at):
            if note.op in known:
                continue
            lacking.setdefault(CallKey(tenant=note.tenant, call_id=note.call_id), []).append(note)
        for key, some in lacking.items():
            self.made(key, decode(some[-1].state)).lack(some, lost=lost)

    def _astray(self) -> list[tuple[CallKey, Local]]:
        """Those that may be adrift, the longest so first. A call that was claimed and is whole again is none; it comes
        back with the next step that the store lacks, and not before."""
        calls = self._gap.calls
        whole = [
            key
            for key, local in calls.items()
            if self._calls.get(key) is not local or not (local.lacking or local.unclaimed)
        ]
        for key in whole:
            del calls[key]
        return list(calls.items())

    def _shrink(self) -> None:
        spare = (key for key, local in self._calls.items() if not local.lacking)
        if len(self._calls) >= self._most and (oldest := next(spare, None)) is not None:
            del self._calls[oldest]


def _holds(notes: Iterable[Note]) -> frozenset[HoldKey]:
    return frozenset(HoldKey(client=client, name=name) for note in notes for client, name in note.held)
