"""Every world that two pods, two recorders and their clients can bring about keeps the promises of the design;
and the same search finds what is broken on purpose, so it can fail."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from search import Found, search
from world import SLIM, WIDE, Scope

from gateway import decide, evidence, model
from gateway.model import Order, OrderKind, Parties

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.decide import MuteAsked, OrderReported, Reported
    from gateway.evidence import Policy
    from gateway.model import Hold, Observation, Recorder, Redaction, Result

RACE = Scope(name="two of each, racing", cares=0, crashes=0, losses=0)
LOSS = Scope(name="an answer lost", unmutes=1, cares=0, crashes=0, losses=1)
CRASH = Scope(name="a pod dies", mutes=1, unmutes=1, losses=1)
THREE = Scope(name="three at once", recorders=1, unmutes=1, cares=0, crashes=0, losses=1, at_once=3)
NARROW = Scope(name="two holds, one narrower", recorders=1, holds=(WIDE, SLIM), unmutes=1, cares=0, crashes=0, losses=1)
FORCE = Scope(name="force and start", recorders=1, unmutes=0, forces=1, starts=1, cares=0, crashes=0, losses=1)
DRIFT = Scope(name="resumed by others", recorders=1, mutes=1, unmutes=1, cares=2, crashes=0, losses=0, drifts=1)
SCOPES = (RACE, LOSS, CRASH, THREE, NARROW, FORCE, DRIFT)
WIDER = (
    Scope(name="wider: racing with losses", cares=0, losses=1),
    Scope(name="wider: three at once", recorders=1, cares=0, crashes=0, losses=1, at_once=3),
    Scope(name="wider: two holds", recorders=1, holds=(WIDE, SLIM), cares=0, crashes=0, losses=1),
    Scope(name="wider: two holds, cared for", recorders=1, holds=(WIDE, SLIM), losses=1),
    Scope(name="wider: force", recorders=1, unmutes=1, forces=1, starts=1, cares=0, crashes=0, losses=1),
    Scope(name="wider: resumed by others", recorders=1, cares=2, crashes=0, losses=1, drifts=1),
)


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.name)
def test_no_promise_is_broken_in_any_world(scope: Scope) -> None:
    """I1, I2, I6, I8 and "no hold is lost" hold in every world of the scope, searched to its end."""
    found = search(scope)
    print(f"\n{scope.name}: {found.states} states")  # noqa: T201 -- the number is the result
    assert found == Found(states=found.states)
    assert found.states > 500


@pytest.mark.skipif("MODEL_WIDER" not in os.environ, reason="minutes long: MODEL_WIDER=1 asks for it")
@pytest.mark.parametrize("scope", WIDER, ids=lambda scope: scope.name)
def test_no_promise_is_broken_in_any_wider_world(scope: Scope) -> None:
    """The same in worlds in which more happens."""
    found = search(scope, most=20_000_000)
    print(f"\n{scope.name}: {found.states} states")  # noqa: T201 -- the number is the result
    assert found == Found(states=found.states)


Plant = tuple[object, str, object]


def _any_recorder(redaction: Redaction, *, now: int, policy: Policy) -> bool:
    return (
        redaction.open
        and redaction.order is None
        and any(evidence.proven(redaction, r, now=now, policy=policy) for r in redaction.recorders)
    )


def _old_evidence_stays_good(redaction: Redaction, order: Order, at: int) -> Redaction:
    after = decide_ordered(redaction, order, at)
    return replace(after, loose_before=redaction.loose_before, loose_revision=redaction.loose_revision)


def _without_loose_before(redaction: Redaction, recorder: Recorder, *, now: int, policy: Policy) -> bool:
    return evidence_proven(replace(redaction, loose_before=-1_000_000), recorder, now=now, policy=policy)


def _whatever_its_age(redaction: Redaction, recorder: Recorder, *, now: int, policy: Policy) -> bool:
    return evidence_proven(redaction, recorder, now=now, policy=replace(policy, reassert_ms=1_000_000))


def _with_any_party(seen: Observation | None, wanted: Parties) -> bool:
    return seen is not None and bool(seen.muted & wanted)


def _without_loose_revision(redaction: Redaction, recorder: Recorder, event: Reported) -> Recorder:
    return decide_told(replace(redaction, loose_revision=0), recorder, event)


def _of_any_age(redaction: Redaction, recorder: Recorder, event: Reported) -> Recorder:
    return decide_told(redaction, replace(recorder, seen=None), event)


def _overtaken_all_the_same(redaction: Redaction, event: OrderReported) -> tuple[Redaction, decide.Settled]:
    order = redaction.order or Order(op=event.op, kind=OrderKind.RESUME, drops=(WIDE,), lands_before=event.at)
    return decide_settle(replace(redaction, order=replace(order, op=event.op)), event)


def _mute_leaves_the_order(redaction: Redaction, event: MuteAsked) -> Redaction:
    return replace(decide_mute(redaction, event), order=redaction.order)


def _hold_gone_at_once(redaction: Redaction, event: decide.UnmuteAsked) -> tuple[Redaction, decide.Step]:
    after, step = decide_unmute(redaction, event)
    return replace(after, holds=tuple(h for h in after.holds if h.key != event.hold)), step


def _lost_is_definite(redaction: Redaction, order: Order, event: OrderReported) -> Redaction:
    return replace(decide_reported(redaction, order, event), loose_before=order.earlier_before)


def _earlier_orders_forgotten(redaction: Redaction, order: Order, event: OrderReported) -> Redaction:
    after = decide_reported(redaction, order, event)
    return replace(after, loose_before=min(after.loose_before, event.at))


def _settled_by_the_first(redaction: Redaction, order: Order, event: OrderReported) -> bool:
    left = decide.left_after(redaction, order)
    return any(decide.let_go(result, left) for result in event.results.values())


def _silent_answer_is_a_yes(result: Result, _: Parties) -> bool:
    return result.fault is None or result.seen is None


def _abandoned_and_forgotten(redaction: Redaction, *, at: int) -> Redaction:
    return replace(decide_abandon(redaction, at=at), holds=())


def _abandoned_is_dead(redaction: Redaction, *, at: int) -> Redaction:
    return replace(decide_abandon(redaction, at=at), order=redaction.order)


def _resumed_in_full(redaction: Redaction, order: Order) -> Parties:
    return Parties.NONE if order.kind is OrderKind.NARROW else decide_left(redaction, order)


def _only_the_newest_hold(holds: tuple[Hold, ...]) -> Parties:
    return holds[-1].parties if holds else Parties.NONE


evidence_proven = evidence.proven
decide_told = decide._told
decide_ordered = decide._ordered
decide_settle = decide.settle
decide_mute = decide.mute
decide_unmute = decide.unmute
decide_reported = decide._reported
decide_abandon = decide.abandon
decide_left = decide.left_after

PLANTED: tuple[tuple[str, Scope, tuple[Plant, ...]], ...] = (
    ("one recorder is enough", LOSS, ((evidence, "protected", _any_recorder),)),
    ("an order leaves old evidence good", RACE, ((decide, "_ordered", _old_evidence_stays_good),)),
    ("evidence from before an order has died", LOSS, ((evidence, "proven", _without_loose_before),)),
    ("evidence of any age", DRIFT, ((evidence, "proven", _whatever_its_age),)),
    ("one silent party is enough", NARROW, ((evidence, "covers", _with_any_party),)),
    ("evidence asked before an order was known", RACE, ((decide, "_told", _without_loose_revision),)),
    ("older news undo newer", DRIFT, ((decide, "_told", _of_any_age),)),
    ("an overtaken order is settled", RACE, ((decide, "settle", _overtaken_all_the_same),)),
    ("a mute leaves the order standing", RACE, ((decide, "mute", _mute_leaves_the_order),)),
    ("the hold goes when the order comes", RACE, ((decide, "unmute", _hold_gone_at_once),)),
    ("a lost answer is taken for an answer", LOSS, ((decide, "_reported", _lost_is_definite),)),
    ("what earlier orders sent is forgotten", THREE, ((decide, "_reported", _earlier_orders_forgotten),)),
    ("one recorder settles for all", LOSS, ((decide, "_all_let_go", _settled_by_the_first),)),
    ("silence is a yes", LOSS, ((decide, "let_go", _silent_answer_is_a_yes),)),
    ("an abandoned order drops the holds", CRASH, ((decide, "abandon", _abandoned_and_forgotten),)),
    ("an order is never abandoned", CRASH, ((decide, "abandon", _abandoned_is_dead),)),
    ("narrowing resumes in full", NARROW, ((decide, "left_after", _resumed_in_full),)),
    ("only the newest hold counts", NARROW, ((model, "union", _only_the_newest_hold),)),
)


@pytest.mark.parametrize(("scope", "plants"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_the_search_finds_a_planted_bug(
    monkeypatch: pytest.MonkeyPatch, scope: Scope, plants: tuple[Plant, ...]
) -> None:
    """The search that finds nothing in the product finds this."""
    for module, name, bug in plants:
        _plant(monkeypatch, module, name, bug)
    found = search(scope)
    assert found.broken is not None
    assert found.story


def _plant(monkeypatch: pytest.MonkeyPatch, module: object, name: str, bug: object) -> None:
    """In its own module, and wherever it was imported by name."""
    import search as searching  # noqa: PLC0415 -- the test's own modules keep names of their own

    real: Callable[..., object] = getattr(module, name)
    for place in (model, decide, evidence, searching):
        if getattr(place, name, None) is real:
            monkeypatch.setattr(place, name, bug)
