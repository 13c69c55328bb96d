"""What the store's state becomes when it gets what it missed: pure. It can only become tighter.

A call that went its own way meanwhile gets the holds that only we know of, by the same decision as any mute, also
when others, who could not know of them, let go all of theirs; a hold that its own client has let go, an unmute, the
end of a call are never carried over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway import decide
from gateway.decide import MuteAsked

if TYPE_CHECKING:
    from gateway.model import HoldKey, Recorder, Redaction

SKEW_MS = 2_000  # nodes' clocks differ by less
# A call that was closed longer than this after what was missed is over: its extension may have another one by now.
CALL_MS = 15 * 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What the store does not know of a call: the `newest` redaction, the holds taken since it was last heard of,
    and the states on the way there. `at` (ms) is when the last of it happened."""

    newest: Redaction
    held: frozenset[HoldKey]
    ours: tuple[Redaction, ...]
    at: int


def mended(current: Redaction | None, missed: Missed) -> Redaction:
    """The state to write. An order under way in what was missed counts for nothing: nobody is left to settle it."""
    newest = replace(missed.newest, order=None)
    if current is None:
        return replace(newest, revision=max(1, newest.revision))
    if current.closed_at is not None and current.closed_at > missed.at + CALL_MS:
        return current
    if current in missed.ours and tightens(current, newest):
        return newest
    return _tightened(current, newest, missed)


def regained(redaction: Redaction, lost: Redaction, held: frozenset[HoldKey], *, at: int) -> Redaction:
    """A redaction that went on from a store which had lost something, with those of the holds `held` that it had lost:
    `lost` is the state that it should have had, `at` (ms) is when the last of it happened."""
    return _tightened(redaction, lost, Missed(newest=lost, held=held, ours=(), at=at))


def tightens(before: Redaction, after: Redaction) -> bool:
    """Nobody is let go: every hold of before is there, and no order."""
    return (
        after.order is None
        and after.loose_before >= before.loose_before
        and all(decide.covered(after, hold) for hold in before.holds)
    )


def _tightened(current: Redaction, newest: Redaction, missed: Missed) -> Redaction:
    for hold in newest.holds:
        if hold.key in missed.held and not decide.covered(current, hold):
            event = MuteAsked(
                at=missed.at, received_at=newest.requested_at, hold=hold, recorders=_unseen(newest.recorders)
            )
            current = decide.loosened(decide.mute(current, event), before=newest.loose_before)
    return current


def _unseen(recorders: tuple[Recorder, ...]) -> tuple[Recorder, ...]:
    return tuple(replace(recorder, seen=None, fault=None) for recorder in recorders)
