"""A one-shot command after it was given: what is remembered of it, and how the answer shows it. Pure.

A command can be for another call than the one that the redaction means at the same backend: what that one did says
nothing of the redaction, and is only shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.decide import OrderReported, Reported, learn, settle, witnessed
from gateway.model import Action, Fault, Result
from gateway.service.problems import CONTROL_WORDS, with_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.evidence import Policy
    from gateway.model import Observation, Recorder, Redaction, Target
    from gateway.view import Document, Outcome

_SEEN = frozenset({Action.START, Action.STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """To whom the command was given, after which revision of the redaction, and what came of it."""

    action: Action
    recorders: tuple[Recorder, ...]
    results: Mapping[str, Result]
    at_revision: int


def remembered(redaction: Redaction, given: Given, *, op: str, at: int, policy: Policy) -> Redaction:
    """The redaction as the command left its recorders. A start was ordered, whatever else is only seen; that it did
    not work says nothing against the silence that was there."""
    if given.action is Action.START:
        return settle(redaction, OrderReported(at=at, op=op, results=_of_the_order(redaction, given)))[0]
    results = news(redaction, given)
    if not results:
        return redaction
    report = Reported(at=at, asked_at_revision=given.at_revision, results=results)
    return learn(redaction, report, policy=policy) if redaction.open else witnessed(redaction, report)


def _of_the_order(redaction: Redaction, given: Given) -> dict[str, Result]:
    """Another call's recorder stays as it is known; as long as the answer is not known to be this one's, it may yet
    land."""
    strange = {r.backend: r for r in redaction.recorders if r.backend not in _own(redaction, given)}
    return {
        name: Result(seen=strange[name].seen, fault=strange[name].fault, lost=True) if name in strange else result
        for name, result in given.results.items()
    }


def news(redaction: Redaction, given: Given) -> dict[str, Result]:
    """What the redaction's own recorders were seen to do and was not known, whatever was said of the command."""
    own = {r.backend: (r, given.results[r.backend]) for r in redaction.recorders if r.backend in _own(redaction, given)}
    seen = {name: Result(seen=result.seen) for name, (known, result) in own.items() if _is_news(known, result.seen)}
    if redaction.open or given.action is not Action.STOP:
        return seen
    return seen | {name: result for name, (_, result) in own.items() if result.fault is Fault.NO_SUCH_CALL}


def _is_news(known: Recorder, seen: Observation | None) -> bool:
    """Of a recorder that waits for its next call nothing is: that a call is silent does not tell that it has begun."""
    if seen is None or known.waiting:
        return False
    same = known.seen is not None and (known.seen.muted, known.seen.mixed) == (seen.muted, seen.mixed)
    return known.fault is not None or not same


def shown(redaction: Redaction, given: Given) -> Redaction:
    """The redaction with the recorders of the answer: its own as they are remembered, and whoever else was asked."""
    own = _own(redaction, given)
    strange = {r.backend: r for r in with_results(given.recorders, given.results) if r.backend not in own}
    kept = tuple(strange.pop(recorder.backend, recorder) for recorder in redaction.recorders)
    return replace(redaction, recorders=(*kept, *strange.values()))


def with_outcomes(document: Document, action: Action, outcomes: Mapping[str, Outcome]) -> Document:
    """With what came of the command, at each recorder that got it."""
    views = tuple(
        replace(view, action=CONTROL_WORDS[action], outcome=outcomes[view.backend])
        if view.backend in outcomes
        else view
        for view in document.recorders
    )
    return replace(document, recorders=views)


def done_before(action: Action, recorders: tuple[Recorder, ...]) -> dict[str, Outcome]:
    """What a command that was done everywhere said: whoever starts or stops is read back, the rest is a bare yes."""
    return dict.fromkeys((r.backend for r in recorders), "done" if action in _SEEN else "accepted")


def _own(redaction: Redaction, given: Given) -> frozenset[str]:
    """The backends where the command was for the call that the redaction means."""
    means = {recorder.backend: _place(recorder.target) for recorder in redaction.recorders}
    return frozenset(r.backend for r in given.recorders if means.get(r.backend) == _place(r.target))


def _place(target: Target) -> tuple[str | None, ...]:
    return target.call_id, target.extension, target.user_id, target.view_id
