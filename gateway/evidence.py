"""The evidence rules: when a redaction may be called protected. Pure; the heart of the product.

Evidence counts only when it shows silence for everybody wanted, in every call that the recorder has, is young
enough, and was asked for after the last order of ours that could let somebody be recorded had landed or died.
Unknown is not muted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from gateway.frozen import replace
from gateway.model import BLAME, Blame, CallStatus, Fault, Parties, RecorderState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.model import Observation, Recorder, Redaction, Result

RETRY_MS = 1_000  # a call whose mute is not proven is tried again at most this often
ORDER_GRACE_MS = 500  # an order is abandoned only so long after it can have landed
LATE_MS = 15_000  # how long a vendor may take to carry out what it has accepted
WARY_MS = 1_000  # how often a call is looked at for so long
LATER_CALL_MS = (
    2_000  # how often recorders are looked at where a call may begin later: it is silent within three seconds
)
CALLS_KNOWN = 32  # ids of calls that are kept of one recorder
NEXT_CALL_MS = 60_000  # how long a recorder waits for the "next" call (Verba's own figure, V)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`reassert_ms`: how often an open redaction is read back, or muted again; `deadline_ms`: one request."""

    reassert_ms: int
    deadline_ms: int

    @property
    def evidence_ms(self) -> int:
        """How old evidence may be and still prove."""
        return 2 * self.reassert_ms + self.deadline_ms


def covers(seen: Observation | None, wanted: Parties) -> bool:
    """Everybody in `wanted` was seen silent in every call that the recorder has."""
    if seen is None or seen.mixed:
        return False
    return seen.muted == wanted or seen.muted & wanted == wanted  # nearly always the same, and a flag's ``&`` is slow


def knowing(recorder: Recorder, results: Mapping[str, Result]) -> Recorder:
    """The recorder with the ids of the calls that were seen now, too; of many the newest, and all that are there."""
    result = results.get(recorder.backend)
    seen = result.seen if result else None
    if seen is None or seen.calls <= set(recorder.calls):
        return recorder
    older = (call for call in recorder.calls if call not in seen.calls)
    return replace(recorder, calls=(*older, *sorted(seen.calls))[-max(CALLS_KNOWN, len(seen.calls)) :])


def recorder_state(recorder: Recorder, wanted: Parties) -> RecorderState:
    """The one word for a recorder: muted only when all of `wanted` (anybody, when nobody is wanted) is."""
    seen = recorder.seen
    if recorder.fault is Fault.NO_SUCH_CALL and not (seen is None and CallStatus.NEXT in recorder.target.call_status):
        return RecorderState.ENDED
    if seen is None:
        return RecorderState.UNKNOWN
    if seen.mixed:
        return RecorderState.MIXED
    if seen.muted is Parties.NONE:
        return RecorderState.UNMUTED
    return RecorderState.MUTED if covers(seen, wanted) else RecorderState.MIXED


def state(redaction: Redaction) -> RecorderState:
    """All recorders in one word; an optional recorder without the call does not count beside others."""
    states = {recorder_state(recorder, redaction.wanted) for recorder in counted(redaction)}
    if not states or RecorderState.UNKNOWN in states:
        return RecorderState.UNKNOWN
    return states.pop() if len(states) == 1 else RecorderState.MIXED


def counted(redaction: Redaction) -> tuple[Recorder, ...]:
    """The recorders that must be proven: all but the optional ones that say they have no such call."""
    spared = [r for r in redaction.recorders if r.optional and r.fault is Fault.NO_SUCH_CALL]
    if not spared:
        return redaction.recorders
    needed = tuple(recorder for recorder in redaction.recorders if recorder not in spared)
    return needed or redaction.recorders


def proven(redaction: Redaction, recorder: Recorder, *, now: int, policy: Policy) -> bool:
    """This recorder was seen silent for everybody wanted, lately, and nothing of ours can have undone it."""
    seen = recorder.seen
    return (
        recorder.fault is None
        and not recorder.waiting
        and seen is not None
        and covers(seen, redaction.wanted)
        and seen.at >= redaction.loose_before
        and now - seen.at <= policy.evidence_ms
    )


def drifted(before: Redaction, after: Redaction) -> list[Recorder]:
    """Recorders that were seen silent and are now seen not to be, without an order of ours."""
    known = {recorder.backend: recorder for recorder in before.recorders}
    return [
        recorder
        for recorder in after.recorders
        if recorder.seen is not None
        and recorder.fault is None
        and recorder.backend in known
        and known[recorder.backend].fault is None
        and covers(known[recorder.backend].seen, before.wanted)
        and not covers(recorder.seen, after.wanted)
    ]


def protected(redaction: Redaction, *, now: int, policy: Policy) -> bool:
    """True only while every recorder of the call is proven muted."""
    return (
        redaction.open
        and redaction.order is None
        and bool(redaction.recorders)
        and all(proven(redaction, recorder, now=now, policy=policy) for recorder in counted(redaction))
    )


def pending(redaction: Redaction, *, now: int) -> bool:
    """The redaction waits for a call that has not begun, within its minute. At recorders where it has begun it is
    silent."""
    awaited = [_awaited(recorder, now) for recorder in redaction.recorders]
    silent = (r.fault is None and covers(r.seen, redaction.wanted) for r in redaction.recorders)
    return redaction.open and any(awaited) and all(one or other for one, other in zip(awaited, silent, strict=True))


def _awaited(recorder: Recorder, now: int) -> bool:
    """Asked for the next call only; or for the one that is there first, and there is none."""
    if CallStatus.NEXT not in recorder.target.call_status or now >= recorder.asked_at + NEXT_CALL_MS:
        return False
    return recorder.fault in (
        {None, Fault.NO_SUCH_CALL, Fault.NOT_PROVEN} if recorder.waiting else {Fault.NO_SUCH_CALL}
    )


def verdict(faults: Iterable[Fault]) -> Blame | None:
    """The worst for the caller among several recorders' faults; None where there is none."""
    blames = {BLAME[fault] for fault in faults}
    return next((blame for blame in Blame if blame in blames), None)


def due_at(redaction: Redaction, *, now: int, policy: Policy) -> int:
    """When somebody must look at an open redaction again, in ms."""
    if redaction.order is not None:
        return redaction.order.lands_before + ORDER_GRACE_MS
    settled = all(proven(redaction, recorder, now=now, policy=policy) for recorder in counted(redaction))
    look = now + (_calm_ms(redaction, now=now, policy=policy) if settled else RETRY_MS)
    return min([look, *(hold.resume_at for hold in redaction.holds if hold.resume_at is not None)])


def _calm_ms(redaction: Redaction, *, now: int, policy: Policy) -> int:
    """To the next look at a call that is proven silent: soon while an order may yet be carried out, or where another
    call may come."""
    calm = policy.reassert_ms - _early_ms(redaction, policy)
    if any(r.target.call_id is None or r.fault is Fault.NO_SUCH_CALL for r in redaction.recorders):
        calm = min(calm, LATER_CALL_MS)
    wary = redaction.ordered_at > 0 and now < redaction.ordered_at + LATE_MS
    return min(calm, WARY_MS) if wary else calm


def _early_ms(redaction: Redaction, policy: Policy) -> int:
    """Up to a fifth of the time, another part of it for each call and each time: calls that were muted all at once
    do not go on being looked at all at once."""
    name = f"{redaction.key.tenant}/{redaction.key.call_id}/{redaction.revision}"
    return crc32(name.encode()) % max(1, policy.reassert_ms // 5)
