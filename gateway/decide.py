"""What happens next: plain functions from a redaction and an event to the next redaction.

No I/O, no clock, no randomness: every time and id comes in with the event. The rules they keep:

- Muted is the safe side: `mute` always wins over an order under way, and only a settled order drops a hold.
- What was asked for before the last loosening order was known (`loose_revision`) is old news and dropped.
- Every change is a revision, every change that a reader can see is a version.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.evidence import knowing, protected
from gateway.frozen import quick, replace
from gateway.landing import is_over, landed
from gateway.meant import awaited, merged, over, told
from gateway.model import BLAME, Blame, Fault, Order, OrderKind, Parties, Result, union
from gateway.revision import revised

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.evidence import Policy
    from gateway.model import Hold, HoldKey, Observation, Recorder, Redaction


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class MuteAsked:
    """A holder wants silence. `recorders` are the routed ones with their targets, without knowledge; `extension` is
    what the request said for all of them; `retarget`: it said where to find the call."""

    at: int
    received_at: int
    hold: Hold
    recorders: tuple[Recorder, ...]
    retarget: bool = False
    extension: str | None = None


def mute(redaction: Redaction, event: MuteAsked) -> Redaction:
    """The hold is there (again), its recorders are part of the call, and an unmute under way has lost."""
    if not redaction.open:
        redaction = _reopened(redaction, event)
    recorders = meant(redaction, event)
    return revised(
        redaction,
        replace(
            redaction,
            holds=_held(redaction.holds, event.hold),
            recorders=recorders,
            void=redaction.void and not any(recorder.waiting for recorder in recorders),
            order=None,
            extension=event.extension or redaction.extension,
        ),
        event.at,
    )


def meant(redaction: Redaction, event: MuteAsked) -> tuple[Recorder, ...]:
    """The recorders of the redaction once it is muted so."""
    known = redaction.recorders if redaction.open else ()
    return awaited(merged(known, event.recorders, retarget=event.retarget), event.at)


def _reopened(redaction: Redaction, event: MuteAsked) -> Redaction:
    return replace(
        redaction,
        recorders=(),
        requested_at=event.received_at,
        exposure_ms=None,
        closed_at=None,
        void=True,
        extension=None,
    )


def _held(holds: tuple[Hold, ...], hold: Hold) -> tuple[Hold, ...]:
    """A renewed hold takes the new order's word for everything but parties: a mute never lets go of anybody."""
    if not any(old.key == hold.key for old in holds):
        return (*holds, hold)
    return tuple(replace(hold, parties=old.parties | hold.parties) if old.key == hold.key else old for old in holds)


class Step(enum.StrEnum):
    """What dropping a hold needs."""

    UNCHANGED = "unchanged"  # there is no such hold
    DROPPED = "dropped"  # others hold the same parties: nothing to send
    ORDERED = "ordered"  # somebody may be recorded again: send, then settle


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class UnmuteAsked:
    """A client's own fresh order. What is sent for it has landed or died by `lands_before`."""

    at: int
    op: str
    hold: HoldKey
    lands_before: int
    force: bool = False


def unmute(redaction: Redaction, event: UnmuteAsked) -> tuple[Redaction, Step]:
    """The order is on record, the hold still stands: only `settle` of this very order drops it."""
    drops = tuple(h.key for h in redaction.holds if event.force or h.key == event.hold)
    if not drops:
        return redaction, Step.UNCHANGED
    left = tuple(hold for hold in redaction.holds if hold.key not in drops)
    if left and union(left) == redaction.wanted:
        return revised(redaction, replace(redaction, holds=left), event.at), Step.DROPPED
    order = Order(op=event.op, kind=_kind(event, left), drops=drops, lands_before=event.lands_before)
    return _ordered(redaction, order, event.at), Step.ORDERED


def _kind(event: UnmuteAsked, left: tuple[Hold, ...]) -> OrderKind:
    if event.force:
        return OrderKind.FORCE
    return OrderKind.NARROW if left else OrderKind.RESUME


def _ordered(redaction: Redaction, order: Order, at: int) -> Redaction:
    after = replace(
        redaction,
        order=replace(order, at=at, earlier_before=redaction.loose_before),
        loose_before=max(redaction.loose_before, order.lands_before),
        loose_revision=redaction.revision + 1,
        ordered_at=max(redaction.ordered_at, at),
    )
    return revised(redaction, after, at)


def start(redaction: Redaction, *, op: str, at: int, lands_before: int) -> Redaction:
    """A one-shot start is on record: what a mute after it sees before `lands_before` proves nothing."""
    order = Order(op=op, kind=OrderKind.START, drops=(), lands_before=lands_before)
    return _ordered(redaction, order, at)


def left_after(redaction: Redaction, order: Order) -> Parties:
    """Who stays silent once `order` is carried out."""
    return union(tuple(hold for hold in redaction.holds if hold.key not in order.drops))


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What recorders said. `asked_at_revision` is the newest revision known when they were asked."""

    at: int
    asked_at_revision: int
    results: Mapping[str, Result]


def learn(redaction: Redaction, event: Reported, *, policy: Policy) -> Redaction:
    """What was seen is written down; the first time all is proven ends the exposure; a call that no recorder
    has (any more) ends the redaction."""
    if not redaction.open:
        return redaction
    after = _learned(redaction, event)
    if after.exposure_ms is None and protected(after, now=event.at, policy=policy):
        after = replace(after, exposure_ms=max(0, event.at - after.requested_at))
    if over(after, event.at):
        after = replace(after, holds=(), order=None, closed_at=event.at)
    return revised(redaction, after, event.at)


def _learned(redaction: Redaction, event: Reported) -> Redaction:
    recorders = tuple(
        _told(redaction, recorder, event) if recorder.backend in event.results else recorder
        for recorder in redaction.recorders
    )
    known = any(result.seen is not None for result in event.results.values())
    recorders = tuple(recorder if recorder.waiting else knowing(recorder, event.results) for recorder in recorders)
    return replace(redaction, recorders=recorders, void=redaction.void and not known)


def _told(redaction: Redaction, recorder: Recorder, event: Reported) -> Recorder:
    """Old news is dropped: asked before the last loosening order was known, or older than what is known."""
    result = event.results[recorder.backend]
    if event.asked_at_revision < redaction.loose_revision:
        return recorder
    if result.seen is not None and recorder.seen is not None and result.seen.at < recorder.seen.at:
        return recorder
    return told(recorder, result)


class Settled(enum.StrEnum):
    DONE = "done"  # the holds are dropped
    FAILED = "failed"  # the holds stand: mute again whatever has resumed
    OVERTAKEN = "overtaken"  # a newer order or mute came in between; ours counts for nothing


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReported:
    """How the sending of one order went. `held` are backends left silent on purpose (another redaction's), `before` is
    what recorders were seen to do right before the command."""

    at: int
    op: str
    results: Mapping[str, Result]
    held: frozenset[str] = frozenset()
    before: Mapping[str, Observation] = field(default_factory=dict)


def settle(redaction: Redaction, event: OrderReported) -> tuple[Redaction, Settled]:
    """An order that is still the newest drops its holds when every recorder did it, or by force."""
    order = redaction.order
    if order is None or order.op != event.op:
        return redaction, Settled.OVERTAKEN
    done = order.kind is OrderKind.FORCE or _all_let_go(redaction, order, event)
    after = _reported(redaction, order, event)
    if done:
        left = tuple(hold for hold in after.holds if hold.key not in order.drops)
        after = replace(after, holds=left, closed_at=after.closed_at if left else event.at)
    return revised(redaction, after, event.at), Settled.DONE if done else Settled.FAILED


def _all_let_go(redaction: Redaction, order: Order, event: OrderReported) -> bool:
    left = left_after(redaction, order)
    return all(
        recorder.backend in event.held or let_go(event.results.get(recorder.backend, Result()), left)
        for recorder in redaction.recorders
    )


def let_go(result: Result, left: Parties) -> bool:
    """The recorder now silences `left` (nobody: records everybody), or has no such call any more."""
    if result.fault is Fault.NO_SUCH_CALL:
        return True
    seen = result.seen
    if result.fault is not None or seen is None or seen.mixed:
        return False
    return seen.muted == left


def _reported(redaction: Redaction, order: Order, event: OrderReported) -> Redaction:
    """Facts of the order. Of one that is over nothing can land later: whoever asks from now on knows this revision, and
    a gateway that went its own way meanwhile has not asked since."""
    definite = is_over(redaction, order, event)
    recorders = tuple(
        replace(knowing(recorder, event.results), seen=result.seen or _doubtful(recorder, result), fault=result.fault)
        if (result := event.results.get(recorder.backend)) is not None
        else recorder
        for recorder in redaction.recorders
    )
    return replace(
        redaction,
        recorders=recorders,
        order=None,
        loose_before=landed(redaction, order, event) if definite else redaction.loose_before,
        loose_revision=redaction.revision + 1,
    )


def _doubtful(recorder: Recorder, result: Result) -> Observation | None:
    """After an order whose answer was lost the old sighting is worth nothing."""
    doubtful = result.fault is not None and BLAME[result.fault] is Blame.UNCONFIRMED
    return None if doubtful else recorder.seen


def witnessed(redaction: Redaction, event: Reported) -> Redaction:
    """What recorders are seen to do after the end of a redaction: shown, and nothing follows from it."""
    if redaction.open or redaction.order is not None:
        return redaction
    return revised(redaction, _learned(redaction, event), event.at)


def overtaken(redaction: Redaction, event: Reported) -> Redaction:
    """A mute has landed where everybody had been let go meanwhile. The redaction stays closed, and says so."""
    if redaction.open or redaction.order is not None:
        return redaction
    after = replace(redaction, recorders=tuple(_silenced(recorder, event) for recorder in redaction.recorders))
    return redaction if after == redaction else revised(redaction, after, event.at)


def _silenced(recorder: Recorder, event: Reported) -> Recorder:
    """The recorder as it was seen last, if it was known to record everybody and was seen silent after that."""
    known, seen = recorder.seen, event.results.get(recorder.backend, Result()).seen
    late = known is not None and seen is not None and not known.muted and seen.muted and seen.at >= known.at
    return replace(recorder, seen=seen) if late else recorder


def undated(redaction: Redaction, *, hold: HoldKey, at: int) -> Redaction:
    """The holder's dated order is used up, whatever comes of it: it is never carried out twice, nor late."""
    holds = tuple(replace(other, resume_at=None) if other.key == hold else other for other in redaction.holds)
    return revised(redaction, replace(redaction, holds=holds), at)


def withdraw(redaction: Redaction, *, before: Redaction, hold: HoldKey, at: int) -> Redaction:
    """A mute that should not have been: its hold is again what it was `before`, and recorders that came with it go
    again. In a redaction that began with it they stay: somebody else asked for them, too."""
    had = tuple(other for other in before.holds if other.key == hold)
    others = tuple(other for other in redaction.holds if other.key != hold)
    left = (*others, *had)
    known = {recorder.backend for recorder in (before if before.open else redaction).recorders}
    recorders = tuple(recorder for recorder in redaction.recorders if recorder.backend in known or not left)
    after = replace(redaction, holds=left, recorders=recorders, closed_at=redaction.closed_at if left else at)
    return revised(redaction, after, at)


def stand(redaction: Redaction, *, before: Redaction, drops: Collection[HoldKey], op: str, at: int) -> Redaction:
    """The unmute `op`, of which nobody knows whether it was taken, is called off: holds that it `drops` stand as they
    did `before`, also where they are gone by now. Always a new revision: what is still on its way comes too late."""
    lost = tuple(hold for hold in before.holds if hold.key in drops and not covered(redaction, hold))
    ours = redaction.order is not None and redaction.order.op == op
    after = _returned(redaction, before, lost) if lost else redaction
    return revised(redaction, replace(after, order=None if lost or ours else redaction.order), at)


def _returned(redaction: Redaction, before: Redaction, lost: tuple[Hold, ...]) -> Redaction:
    """What was seen of recorders since proves nothing: they are muted again."""
    began, holds = redaction if redaction.open else before, redaction.holds
    for hold in lost:
        holds = _held(holds, hold)
    known = merged(redaction.recorders, before.recorders, retarget=False)
    return replace(
        redaction,
        holds=holds,
        recorders=tuple(replace(recorder, seen=None, fault=None) for recorder in known),
        requested_at=began.requested_at,
        exposure_ms=began.exposure_ms,
        closed_at=None,
        void=began.void,
    )


def covered(redaction: Redaction, hold: Hold) -> bool:
    """The hold is there, for everybody that it means."""
    known = redaction.hold(hold.key)
    return known is not None and known.parties & hold.parties == hold.parties


def loosened(redaction: Redaction, *, before: int, ordered_at: int = 0) -> Redaction:
    """Another redaction's command may land at this one's recorders until `before` (ms): older evidence is none.
    `ordered_at` as in `Redaction`, where there is such a command."""
    if before <= redaction.loose_before and ordered_at <= redaction.ordered_at:
        return redaction
    return replace(
        redaction,
        loose_before=max(redaction.loose_before, before),
        ordered_at=max(redaction.ordered_at, ordered_at),
    )


def abandon(redaction: Redaction, *, at: int) -> Redaction:
    """Nobody is left to settle the order: it counts for nothing, the holds stand."""
    return revised(redaction, replace(redaction, order=None), at)
