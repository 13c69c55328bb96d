"""What went wrong at the recorders, as the one problem that a caller is told: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.asks import Code, Failure
from gateway.evidence import verdict
from gateway.model import Action, Blame, Fault, Parties
from gateway.view import recorder_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.asks import Control
    from gateway.model import Recorder, Redaction, Result
    from gateway.view import ControlWord, Document, Outcome, RecorderView

_PROBLEMS: dict[Blame, tuple[Code, str]] = {
    Blame.UNCONFIRMED: (Code.RECORDER_UNCONFIRMED, "Not proven in time: treat the call as being recorded."),
    Blame.REFUSED: (Code.RECORDER_REFUSED, "A recorder said no; the others keep what they did."),
    Blame.AMBIGUOUS: (Code.AMBIGUOUS_CALL, "The extension has more than one call and they cannot be listed."),
    Blame.NOT_FOUND: (Code.CALL_NOT_FOUND, "No recorder has such a call."),
    Blame.UNAVAILABLE: (Code.RECORDER_UNAVAILABLE, "A recorder cannot be reached; nothing was sent to it."),
}


def blame(recorders: Sequence[Recorder]) -> Blame:
    """Not found only when every recorder says so; when just some do, it is a no like any other."""
    faults = [recorder.fault for recorder in recorders]
    if recorders and all(fault is Fault.NO_SUCH_CALL for fault in faults):
        return Blame.NOT_FOUND
    needed = [r.fault for r in recorders if r.fault and not (r.optional and r.fault is Fault.NO_SUCH_CALL)]
    worst = verdict(needed) or Blame.UNCONFIRMED
    return Blame.REFUSED if worst is Blame.NOT_FOUND else worst


def with_results(recorders: Iterable[Recorder], results: Mapping[str, Result]) -> tuple[Recorder, ...]:
    return tuple(
        replace(recorder, seen=result.seen or recorder.seen, fault=result.fault)
        if (result := results.get(recorder.backend))
        else recorder
        for recorder in recorders
    )


def control_view(ask: Control, recorder: Recorder, result: Result, wanted: Parties) -> RecorderView:
    known = replace(recorder, seen=result.seen or recorder.seen, fault=result.fault)
    return recorder_view(known, wanted, action=CONTROL_WORDS[ask.action], outcome=control_outcome(result))


def control_outcome(result: Result) -> Outcome:
    return "failed" if result.fault else "done" if result.seen else "accepted"


CONTROL_WORDS: dict[Action, ControlWord] = {
    Action.KEEP: "keep",
    Action.DISCARD: "discard",
    Action.START: "start",
    Action.STOP: "stop",
}


def unable_view(recorder: Recorder, unable: set[str], action: Action) -> RecorderView:
    lacking = recorder.backend in unable
    shown = replace(recorder, fault=Fault.UNSUPPORTED if lacking else None)
    word = CONTROL_WORDS.get(action)
    return recorder_view(shown, Parties.NONE, action=word, outcome="unsupported" if word and lacking else None)


def held_view(recorder: Recorder, held: AbstractSet[str]) -> RecorderView:
    """Nothing was sent to it, or to any beside it."""
    return recorder_view(replace(recorder, fault=Fault.HELD if recorder.backend in held else None), Parties.NONE)


def require_known(redaction: Redaction) -> None:
    """A call without a redaction is not found; one whose redaction is over stays readable."""
    if redaction.version == 0 or (redaction.void and not redaction.open):
        raise not_found()


def not_found() -> Failure:
    return Failure(Code.CALL_NOT_FOUND, "There is no redaction of this call.")


def failure(
    redaction: Redaction,
    recorders: Iterable[Recorder],
    view: Document | None,
    *,
    views: tuple[RecorderView, ...] = (),
    detail: str | None = None,
) -> Failure:
    """The worst for the caller among what the recorders said; `detail` where the usual words do not fit."""
    failed = tuple(recorders)
    code, usual = _PROBLEMS[blame(failed)]
    shown = views or tuple(recorder_view(recorder, redaction.wanted) for recorder in failed)
    return Failure(code, detail or usual, recorders=shown, document=view)
