"""Which call of a recorder a redaction means, and when there is none (any more): pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence import NEXT_CALL_MS, knowing
from gateway.frozen import replace
from gateway.model import CallStatus, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.model import Observation, Recorder, Redaction, Result

NEXT_GRACE_MS = 5_000  # a command for the next call gets there so late at most


def merged(known: tuple[Recorder, ...], said: tuple[Recorder, ...], *, retarget: bool) -> tuple[Recorder, ...]:
    """Recorders already known keep what was seen of them unless the request points them elsewhere."""
    asked = {recorder.backend: recorder for recorder in said if retarget}
    kept = tuple(_kept(old, asked[old.backend]) if old.backend in asked else old for old in known)
    names = {old.backend for old in known}
    return (*kept, *(new for new in said if new.backend not in names))


def _kept(old: Recorder, new: Recorder) -> Recorder:
    if _elsewhere(old, new):
        return new
    return _widened(old) if (old.waiting or old.target.excluded) and not new.waiting else old


def _widened(old: Recorder) -> Recorder:
    """Somebody means the calls that are there, too, which so far were not meant."""
    statuses = (CallStatus.ONGOING, *(status for status in old.target.call_status if status is CallStatus.NEXT))
    return replace(old, target=replace(old.target, excluded=frozenset(), call_status=statuses), seen=None, fault=None)


def awaited(recorders: tuple[Recorder, ...], at: int) -> tuple[Recorder, ...]:
    """The minute of those that wait for a call begins anew."""
    return tuple(replace(r, asked_at=at) if CallStatus.NEXT in r.target.call_status else r for r in recorders)


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
    """The next call is an ongoing one once it is there. From then on it is meant, and no later one."""
    if CallStatus.NEXT not in recorder.target.call_status:
        return recorder
    if result.seen is None or not _begun(recorder, result.seen):
        return replace(recorder, free=recorder.free or result.fault is Fault.NO_SUCH_CALL)
    left = tuple(status for status in recorder.target.call_status if status is not CallStatus.NEXT)
    return replace(recorder, target=replace(recorder.target, call_status=left or (CallStatus.ONGOING,)))


def _begun(recorder: Recorder, seen: Observation) -> bool:
    """It is seen where before there was none that is not meant. Where the ongoing one was asked for first: it is
    silent. A recorder that never names its calls: the one that is there was live, and is silent as the next one was to
    be."""
    if recorder.free or not recorder.waiting:
        return recorder.free or bool(seen.muted)
    return recorder.seen is not None and not recorder.seen.muted and bool(seen.muted)


def told(recorder: Recorder, result: Result) -> Recorder:
    """What was seen is written down. After a fault what was seen before is kept to be shown, `fault` already says that
    it proves nothing; not while it is a call that is not meant."""
    after = found(recorder, result)
    kept = None if after.waiting and result.fault is Fault.NO_SUCH_CALL else recorder.seen
    return replace(after, seen=result.seen if result.fault is None else result.seen or kept, fault=result.fault)


def named(recorders: Iterable[Recorder], results: Mapping[str, Result]) -> tuple[Recorder, ...]:
    """The recorders with what they tell now of which calls they mean."""
    return tuple(_named(recorder, results) for recorder in recorders)


def _named(recorder: Recorder, results: Mapping[str, Result]) -> Recorder:
    result = results.get(recorder.backend)
    after = recorder if result is None else found(recorder, result)
    return after if after.waiting else knowing(after, results)


def over(redaction: Redaction, at: int) -> bool:
    return bool(redaction.recorders) and all(
        recorder.fault is Fault.NO_SUCH_CALL and not _awaits(recorder, at) for recorder in redaction.recorders
    )


def _awaits(recorder: Recorder, at: int) -> bool:
    """The vendor may still take the next call for it."""
    return CallStatus.NEXT in recorder.target.call_status and at < recorder.asked_at + NEXT_CALL_MS + NEXT_GRACE_MS
