"""Which call of a recorder a redaction means, and when there is none (any more): pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.evidence import NEXT_CALL_MS
from gateway.model import CallStatus, Fault

if TYPE_CHECKING:
    from gateway.model import Recorder, Redaction, Result


def merged(known: tuple[Recorder, ...], said: tuple[Recorder, ...], *, retarget: bool) -> tuple[Recorder, ...]:
    """Recorders already known keep what was seen of them unless the request points them elsewhere."""
    asked = {recorder.backend: recorder for recorder in said if retarget}
    kept = tuple(_kept(old, asked[old.backend]) if old.backend in asked else old for old in known)
    names = {old.backend for old in known}
    return (*kept, *(new for new in said if new.backend not in names))


def _kept(old: Recorder, new: Recorder) -> Recorder:
    if _elsewhere(old, new):
        return new
    return _widened(old) if old.target.excluded and new.target.call_status != (CallStatus.NEXT,) else old


def _widened(old: Recorder) -> Recorder:
    """Somebody means the calls that are there, too, which so far were not meant."""
    statuses = (CallStatus.ONGOING, *(status for status in old.target.call_status if status is CallStatus.NEXT))
    return replace(old, target=replace(old.target, excluded=frozenset(), call_status=statuses), seen=None, fault=None)


def leaves(redaction: Redaction, said: tuple[Recorder, ...], *, retarget: bool) -> bool:
    """What a mute says would point a recorder away from a call that is there, and that a hold means."""
    asked = {recorder.backend: recorder for recorder in said if retarget and redaction.open}
    return any(
        old.seen is not None
        and old.fault is not Fault.NO_SUCH_CALL
        and _elsewhere(old, asked[old.backend])
        and asked[old.backend].target.call_id not in old.calls
        for old in redaction.recorders
        if old.backend in asked
    )


def _elsewhere(old: Recorder, new: Recorder) -> bool:
    """The request points to another call. Whoever still waits for the extension's next call, or has found it, goes on
    with that: a second holder that finds none there now must not end that."""
    waits = CallStatus.NEXT in old.target.call_status + new.target.call_status or bool(old.target.excluded)
    same = replace(new.target, call_status=old.target.call_status, excluded=old.target.excluded) == old.target
    return new.target != old.target and not (waits and same)


def found(recorder: Recorder, result: Result) -> Recorder:
    """The next call is an ongoing one once it is there: seen silent as it was asked to be, or where there was none.
    From then on it is meant, and no later one."""
    begun = result.seen is not None and (bool(result.seen.muted) or recorder.fault is Fault.NO_SUCH_CALL)
    if CallStatus.NEXT not in recorder.target.call_status or not begun or result.fault is not None:
        return recorder
    left = tuple(status for status in recorder.target.call_status if status is not CallStatus.NEXT)
    return replace(recorder, target=replace(recorder.target, call_status=left or (CallStatus.ONGOING,)))


def over(redaction: Redaction, at: int) -> bool:
    return (
        bool(redaction.recorders)
        and all(recorder.fault is Fault.NO_SUCH_CALL for recorder in redaction.recorders)
        and not (
            at < redaction.requested_at + NEXT_CALL_MS
            and any(CallStatus.NEXT in recorder.target.call_status for recorder in redaction.recorders)
        )
    )
