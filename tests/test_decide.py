"""The decision core: which redaction follows from which event. Pure, so every test is a small story."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import decide
from gateway.decide import MuteAsked, OrderReported, Reported, Settled, Step, UnmuteAsked
from gateway.evidence import CALLS_KNOWN, Policy, covers, due_at, pending, protected, recorder_state, state, verdict
from gateway.model import (
    EVERY_PARTIES,
    Blame,
    CallKey,
    CallStatus,
    Evidence,
    Fault,
    Hold,
    HoldKey,
    Observation,
    OrderKind,
    Parties,
    Recorder,
    RecorderState,
    Redaction,
    Result,
    Target,
    Vendor,
)
from gateway.store import codec

POLICY = Policy(reassert_ms=5_000, deadline_ms=2_500)
FRESH = Redaction(key=CallKey(tenant="acme", call_id="c"))
NAMES = ("a", "b", "c")


def recorder(name: str, **more: object) -> Recorder:
    return replace(Recorder(backend=name, vendor=Vendor.VERBA, target=Target(call_id="c")), **more)  # type: ignore[arg-type]  # -- a test's shorthand


def hold(name: str = "default", parties: Parties = Parties.BOTH) -> Hold:
    return Hold(key=HoldKey(client="crm", name=name), parties=parties, actor=None, resume_at=None)


def seen(muted: Parties, at: int, *, mixed: bool = False) -> Result:
    return Result(seen=Observation(muted=muted, evidence=Evidence.READBACK, at=at, mixed=mixed))


def asked(redaction: Redaction, at: int, *, of: Hold | None = None, names: tuple[str, ...] = ("a",)) -> Redaction:
    event = MuteAsked(at=at, received_at=at, hold=of or hold(), recorders=tuple(recorder(name) for name in names))
    return decide.mute(redaction, event)


def told(redaction: Redaction, at: int, results: dict[str, Result], *, revision: int | None = None) -> Redaction:
    known = redaction.revision if revision is None else revision
    return decide.learn(redaction, Reported(at=at, asked_at_revision=known, results=results), policy=POLICY)


def ordered(redaction: Redaction, at: int, name: str = "default", *, force: bool = False) -> Redaction:
    event = UnmuteAsked(at=at, op=f"op{at}", hold=hold(name).key, lands_before=at + 2000, force=force)
    after, step = decide.unmute(redaction, event)
    assert step is Step.ORDERED
    return after


def is_protected(redaction: Redaction, now: int) -> bool:
    return protected(redaction, now=now, policy=POLICY)


def muted(names: tuple[str, ...] = ("a",), parties: Parties = Parties.BOTH) -> Redaction:
    """A redaction that is protected at 1100."""
    redaction = asked(FRESH, 1000, of=hold(parties=parties), names=names)
    return told(redaction, 1100, dict.fromkeys(names, seen(parties, 1050)))


def test_a_mute_is_protected_only_when_proven() -> None:
    """Asking is not knowing: protected begins with the evidence, and ends the exposure."""
    redaction = asked(FRESH, 1000)
    assert not is_protected(redaction, 1000)
    assert (redaction.exposure_ms, redaction.version, redaction.revision) == (None, 1, 1)
    redaction = told(redaction, 1143, {"a": seen(Parties.BOTH, 1100)})
    assert is_protected(redaction, 1143)
    assert (redaction.exposure_ms, redaction.version, redaction.void) == (143, 2, False)


def test_protected_needs_every_recorder() -> None:
    """One of three that is not proven muted, for whatever reason, and the call is not protected."""
    for bad in (
        seen(Parties.NONE, 1050),
        seen(Parties.CALLER, 1050),
        seen(Parties.BOTH, 1050, mixed=True),
        Result(fault=Fault.TIMEOUT),
        Result(seen=seen(Parties.BOTH, 1050).seen, fault=Fault.NOT_PROVEN),
        Result(fault=Fault.NO_SUCH_CALL),
    ):
        good = seen(Parties.BOTH, 1050)
        redaction = told(asked(FRESH, 1000, names=NAMES), 1100, {"a": good, "b": bad, "c": good})
        assert not is_protected(redaction, 1100)
        assert redaction.exposure_ms is None


def test_a_redaction_without_recorders_is_never_protected() -> None:
    """An empty AND is true; nobody recorded is not somebody proven silent."""
    assert not is_protected(asked(FRESH, 1000, names=()), 1000)
    assert state(asked(FRESH, 1000, names=())) is RecorderState.UNKNOWN


def test_an_optional_recorder_without_the_call_does_not_count() -> None:
    """`optional` excuses "no such call" beside a recorder that has it, and nothing else."""
    event = MuteAsked(at=1, received_at=1, hold=hold(), recorders=(recorder("a"), recorder("b", optional=True)))
    redaction = decide.mute(FRESH, event)
    gone = Result(fault=Fault.NO_SUCH_CALL)
    assert is_protected(told(redaction, 9, {"a": seen(Parties.BOTH, 5), "b": gone}), 9)
    assert not is_protected(told(redaction, 9, {"a": seen(Parties.BOTH, 5), "b": Result(fault=Fault.TIMEOUT)}), 9)
    assert not is_protected(told(redaction, 9, {"a": gone, "b": seen(Parties.BOTH, 5)}), 9)
    assert told(redaction, 9, {"a": gone, "b": gone}).closed_at == 9


def test_evidence_ages() -> None:
    """Evidence older than the policy's age proves nothing, to the millisecond."""
    redaction = muted()
    assert is_protected(redaction, 1050 + POLICY.evidence_ms)
    assert not is_protected(redaction, 1051 + POLICY.evidence_ms)


def test_a_fault_ends_protection_and_keeps_what_was_seen() -> None:
    """A recorder that cannot be asked any more is not proven, though its last state is still shown."""
    redaction = told(muted(), 2000, {"a": Result(fault=Fault.TIMEOUT)})
    assert not is_protected(redaction, 2000)
    (only,) = redaction.recorders
    assert recorder_state(only, redaction.wanted) is RecorderState.MUTED


def test_holds_add_up() -> None:
    """The caller muted by one hold and the called by another is both; a mute by itself never narrows."""
    redaction = asked(FRESH, 1, of=hold("x", Parties.CALLER))
    redaction = asked(redaction, 2, of=hold("y", Parties.CALLED))
    assert redaction.wanted is Parties.BOTH
    assert asked(redaction, 3, of=hold("y", Parties.CALLER)).wanted is Parties.BOTH
    assert asked(asked(FRESH, 1), 2, of=hold(parties=Parties.CALLER)).wanted is Parties.BOTH


def test_a_wider_wish_is_not_covered_by_narrow_evidence() -> None:
    """When a second hold wants more, what was proven for the first is not enough."""
    redaction = muted(parties=Parties.CALLER)
    assert is_protected(redaction, 1100)
    assert not is_protected(asked(redaction, 1200, of=hold("y", Parties.CALLED)), 1200)


def test_dropping_one_of_two_equal_holds_sends_nothing() -> None:
    """While somebody else wants the same parties silent, an unmute is a matter of books."""
    redaction = asked(muted(), 1200, of=hold("other"))
    after, step = decide.unmute(redaction, UnmuteAsked(at=1300, op="o", hold=hold().key, lands_before=3300))
    assert step is Step.DROPPED
    assert [h.key.name for h in after.holds] == ["other"]
    assert is_protected(after, 1300)


def test_dropping_an_unknown_hold_changes_nothing() -> None:
    """The same redaction, not even a new revision."""
    redaction = muted()
    event = UnmuteAsked(at=1300, op="o", hold=hold("nope").key, lands_before=3300)
    assert decide.unmute(redaction, event) == (redaction, Step.UNCHANGED)
    assert decide.unmute(FRESH, event) == (FRESH, Step.UNCHANGED)


def test_an_order_ends_protection_before_anything_is_sent() -> None:
    """From the moment an unmute is on record nobody may call the call protected; the hold still stands."""
    redaction = ordered(muted(), 1200)
    assert not is_protected(redaction, 1200)
    assert redaction.open
    assert redaction.order is not None
    assert redaction.order.kind is OrderKind.RESUME


def test_an_order_that_all_recorders_followed_closes_the_redaction() -> None:
    """Only settling drops the hold, and then the document says unmuted."""
    redaction, settled = decide.settle(
        ordered(muted(NAMES), 1200),
        OrderReported(
            at=1300,
            op="op1200",
            results={"a": seen(Parties.NONE, 1250), "b": Result(fault=Fault.NO_SUCH_CALL)},
            held=frozenset({"c"}),
        ),
    )
    assert settled is Settled.DONE
    assert not redaction.open
    assert redaction.closed_at == 1300
    assert redaction.order is None


def test_an_order_that_one_recorder_did_not_follow_drops_nothing() -> None:
    """Not everywhere is nowhere: the holds stand, whatever the one recorder's reason."""
    for bad in (seen(Parties.BOTH, 1250), Result(), Result(fault=Fault.TIMEOUT), Result(fault=Fault.REFUSED)):
        report = OrderReported(at=1300, op="op1200", results={"a": seen(Parties.NONE, 1250), "b": bad})
        redaction, settled = decide.settle(ordered(muted(("a", "b")), 1200), report)
        assert settled is Settled.FAILED
        assert redaction.open
        assert redaction.order is None
        assert not is_protected(redaction, 1300)


def test_force_drops_whatever_the_recorders_say() -> None:
    """Force is the way out when a recorder never answers again."""
    redaction = asked(muted(), 1150, of=hold("other"))
    redaction, settled = decide.settle(
        ordered(redaction, 1200, force=True),
        OrderReported(at=1300, op="op1200", results={"a": Result(fault=Fault.TIMEOUT)}),
    )
    assert settled is Settled.DONE
    assert not redaction.holds
    assert redaction.recorders[0].fault is Fault.TIMEOUT


def test_narrowing_is_an_order_that_leaves_the_rest_silent() -> None:
    """One hold of two with other parties goes: exactly the others' parties must be silent afterwards."""
    redaction = asked(muted(parties=Parties.CALLER), 1100, of=hold("y", Parties.CALLED))
    redaction = told(redaction, 1150, {"a": seen(Parties.BOTH, 1140)})
    order = ordered(redaction, 1200, "y")
    assert order.order is not None
    assert order.order.kind is OrderKind.NARROW
    assert decide.left_after(order, order.order) is Parties.CALLER
    for result, expected in (
        (seen(Parties.CALLER, 1250), Settled.DONE),
        (seen(Parties.BOTH, 1250), Settled.FAILED),
        (seen(Parties.NONE, 1250), Settled.FAILED),
        (seen(Parties.CALLER, 1250, mixed=True), Settled.FAILED),
    ):
        after, settled = decide.settle(order, OrderReported(at=1300, op="op1200", results={"a": result}))
        assert settled is expected
        assert after.open
        assert after.wanted is (Parties.CALLER if expected is Settled.DONE else Parties.BOTH)


def test_a_mute_overtakes_an_order() -> None:
    """A newer PUT wins: the late settling counts for nothing and drops no hold."""
    redaction = asked(ordered(muted(), 1200), 1250)
    report = OrderReported(at=1300, op="op1200", results={"a": seen(Parties.NONE, 1260)})
    assert decide.settle(redaction, report) == (redaction, Settled.OVERTAKEN)


def test_evidence_from_before_an_order_can_have_landed_proves_nothing() -> None:
    """After an overtaken unmute only what was asked when it can no longer land is evidence."""
    redaction = asked(ordered(muted(), 1200), 1250)
    early = told(redaction, 1400, {"a": seen(Parties.BOTH, 1399)})
    assert not is_protected(early, 1400)
    late = told(redaction, 3300, {"a": seen(Parties.BOTH, 3200)})
    assert is_protected(late, 3300)


def test_evidence_asked_before_an_order_was_known_is_dropped() -> None:
    """A slow mute's proof must not cover up an unmute that was ordered while it was under way."""
    before = muted()
    redaction = asked(ordered(before, 1200), 1250)
    after = told(redaction, 9000, {"a": seen(Parties.BOTH, 8000)}, revision=before.revision)
    assert after.recorders == redaction.recorders
    assert not is_protected(after, 9000)


def test_an_order_answered_for_good_cannot_land_later() -> None:
    """When every recorder answered, evidence counts again at once; when one answer was lost, not before its end."""
    for fault, at_once in ((Fault.REFUSED, True), (Fault.TIMEOUT, False)):
        report = OrderReported(at=1300, op="op1200", results={"a": Result(fault=fault)})
        redaction, _ = decide.settle(ordered(muted(), 1200), report)
        proof = told(redaction, 1400, {"a": seen(Parties.BOTH, 1350)})
        assert is_protected(proof, 1400) is at_once


def test_only_what_was_silent_right_before_shows_that_the_command_has_landed() -> None:
    """Somebody else may have resumed the recording since it was seen last, with our command still on its way: then a
    new mute is proven only when that has died."""
    resumed = {"a": seen(Parties.NONE, 1250)}
    silent, live = (Observation(muted=who, evidence=Evidence.READBACK, at=1199) for who in (Parties.BOTH, Parties.NONE))
    for before, at_once in (({"a": silent}, True), ({"a": live}, False), ({}, False)):
        report = OrderReported(at=1300, op="op1200", results=resumed, before=before)
        redaction, settled = decide.settle(ordered(muted(), 1200), report)
        assert settled is Settled.DONE
        proof = told(asked(redaction, 1350), 1450, {"a": seen(Parties.BOTH, 1400)})
        assert is_protected(proof, 1450) is at_once


def test_what_is_seen_after_a_lost_answer_does_not_settle_it() -> None:
    """Somebody else may have resumed the recording, with our command still on its way."""
    report = OrderReported(at=1300, op="op1200", results={"a": replace(seen(Parties.NONE, 1250), lost=True)})
    redaction, settled = decide.settle(ordered(muted(), 1200), report)
    assert settled is Settled.DONE
    proof = told(asked(redaction, 1350), 1450, {"a": seen(Parties.BOTH, 1400)})
    assert not is_protected(proof, 1450)
    assert is_protected(told(proof, 3300, {"a": seen(Parties.BOTH, 3200)}), 3300)


def test_what_an_earlier_order_may_have_done_does_not_settle_a_later_one() -> None:
    """A mute overtook the first order, whose command can still land; the second one's recorder is seen live: whose
    doing that is, nobody knows, so what comes next is proven only after both have died."""
    muted = told(asked(FRESH, 0), 10, {"a": seen(Parties.BOTH, 5)})
    again = asked(ordered(muted, 100), 200)
    second = ordered(again, 1_000)
    report = OrderReported(at=1_100, op="op1000", results={"a": seen(Parties.NONE, 1_050)})
    closed, settled = decide.settle(second, report)
    assert settled is Settled.DONE
    anew = told(asked(closed, 1_200), 2_500, {"a": seen(Parties.BOTH, 2_400)})
    assert not is_protected(anew, 2_500)
    assert is_protected(told(anew, 3_100, {"a": seen(Parties.BOTH, 3_050)}), 3_100)


def test_a_lost_answer_leaves_no_trust_in_the_old_sighting() -> None:
    """After an unmute without an answer the recorder's state is unknown, not what it was."""
    report = OrderReported(at=1300, op="op1200", results={"a": Result(fault=Fault.TIMEOUT)})
    redaction, _ = decide.settle(ordered(muted(), 1200), report)
    assert state(redaction) is RecorderState.UNKNOWN


def test_old_news_does_not_undo_newer() -> None:
    """An observation that was asked for earlier than what is known is dropped."""
    redaction = told(muted(), 2000, {"a": seen(Parties.NONE, 1900)})
    assert told(redaction, 2100, {"a": seen(Parties.BOTH, 1800)}).recorders == redaction.recorders


def test_a_call_that_no_recorder_has_ends_the_redaction() -> None:
    """All say there is no such call: closed; void only where no recorder ever knew it."""
    gone = Result(fault=Fault.NO_SUCH_CALL)
    never = told(asked(FRESH, 1), 2, {"a": gone})
    assert (never.open, never.void, never.closed_at) == (False, True, 2)
    over = told(muted(), 2000, {"a": gone})
    assert (over.open, over.void, state(over)) == (False, False, RecorderState.ENDED)


def test_the_next_call_has_its_minute() -> None:
    """Waiting for a call to begin is not "no such call" before the minute is over."""
    target = Target(extension="8856", call_status=(CallStatus.NEXT,))
    event = MuteAsked(at=1000, received_at=1000, hold=hold(), recorders=(recorder("a", target=target),))
    redaction = told(decide.mute(FRESH, event), 1100, {"a": Result(fault=Fault.NO_SUCH_CALL)})
    assert redaction.open
    assert pending(redaction, now=1100)
    assert state(redaction) is RecorderState.UNKNOWN
    assert not pending(redaction, now=61_000)
    late = told(redaction, 65_999, {"a": Result(fault=Fault.NO_SUCH_CALL)})
    assert late.open  # the vendor got the command later, and its own minute is not over
    ended = told(late, 66_000, {"a": Result(fault=Fault.NO_SUCH_CALL)})
    assert (ended.open, ended.void) == (False, False)


def test_every_mute_begins_the_minute_anew() -> None:
    """A renewal, with or without the words, waits for a call as long as the first one did."""
    target = Target(extension="8856", call_status=(CallStatus.NEXT,))
    event = MuteAsked(at=1000, received_at=1000, hold=hold(), recorders=(recorder("a", target=target),), retarget=True)
    waiting = told(decide.mute(FRESH, event), 1100, {"a": Result(fault=Fault.NO_SUCH_CALL)})
    for said in (True, False):
        renewed = decide.mute(waiting, replace(event, at=50_000, retarget=said))
        renewed = told(renewed, 50_100, {"a": Result(fault=Fault.NO_SUCH_CALL)})
        assert pending(renewed, now=109_000)
        assert told(renewed, 109_000, {"a": Result(fault=Fault.NO_SUCH_CALL)}).open


def test_a_present_call_is_not_the_next_one() -> None:
    """A recorder that never names its calls: one that is seen silent proves nothing until there was none."""
    target = Target(extension="8856", call_status=(CallStatus.NEXT,))
    event = MuteAsked(at=1000, received_at=1000, hold=hold(), recorders=(recorder("a", target=target),))
    present = told(decide.mute(FRESH, event), 1100, {"a": seen(Parties.BOTH, 1050)})
    present = told(present, 1200, {"a": seen(Parties.BOTH, 1150)})
    assert not is_protected(present, 1200)
    assert pending(present, now=1200)
    live = told(present, 1300, {"a": seen(Parties.NONE, 1250)})
    assert not is_protected(live, 1300)
    assert is_protected(told(live, 1400, {"a": seen(Parties.BOTH, 1350)}), 1400)
    gone = told(present, 2000, {"a": Result(fault=Fault.NO_SUCH_CALL)})
    begun = told(gone, 3000, {"a": replace(seen(Parties.NONE, 2950), fault=Fault.NOT_PROVEN)})
    assert not is_protected(begun, 3000)
    assert begun.recorders[0].target.call_status == (CallStatus.ONGOING,)
    assert is_protected(told(begun, 4000, {"a": seen(Parties.BOTH, 3950)}), 4000)


def test_a_second_holder_does_not_end_the_wait_for_the_next_call() -> None:
    """Who asks for the ongoing call of the same extension means both; another extension is another call."""
    waiting = recorder("a", target=Target(extension="8856", call_status=(CallStatus.NEXT,)))
    redaction = decide.mute(FRESH, MuteAsked(at=1000, received_at=1000, hold=hold(), recorders=(waiting,)))
    now = recorder("a", target=Target(extension="8856"))
    event = MuteAsked(at=1001, received_at=1001, hold=hold("b"), recorders=(now,), retarget=True)
    (both,) = decide.mute(redaction, event).recorders
    assert both.target == replace(waiting.target, call_status=(CallStatus.ONGOING, CallStatus.NEXT))
    again = decide.mute(redaction, replace(event, recorders=(waiting,)))
    assert [one.target for one in again.recorders] == [waiting.target]
    other = recorder("a", target=Target(extension="9999"))
    assert decide.mute(redaction, replace(event, recorders=(other,))).recorders == (other,)


def test_a_new_redaction_of_the_same_call_starts_clean() -> None:
    """After the end a PUT begins anew, but versions go on and a landing order is not forgotten."""
    report = OrderReported(at=1300, op="op1200", results={"a": seen(Parties.NONE, 1250)})
    closed, _ = decide.settle(ordered(muted(), 1200), report)
    again = asked(closed, 5000)
    assert again.version == closed.version + 1
    assert (again.requested_at, again.exposure_ms, again.closed_at) == (5000, None, None)
    assert again.recorders[0].seen is None
    assert again.loose_before == closed.loose_before


def test_a_request_may_point_a_recorder_elsewhere() -> None:
    """New targets replace the remembered ones and what was seen there; without them nothing is forgotten."""
    redaction = muted()
    other = recorder("a", target=Target(call_id="other"))
    event = MuteAsked(at=1, received_at=1, hold=hold(), recorders=(other,))
    assert decide.mute(redaction, event).recorders == redaction.recorders
    assert decide.mute(redaction, replace(event, retarget=True)).recorders == (other,)
    same = replace(event, retarget=True, recorders=(recorder("a"),))
    assert decide.mute(redaction, same).recorders == redaction.recorders


def test_a_one_shot_start_makes_earlier_evidence_worthless() -> None:
    """A start that can still land is a loosening order like an unmute."""
    started = decide.start(FRESH, op="s", at=1000, lands_before=3000)
    redaction = told(asked(started, 1100), 1300, {"a": seen(Parties.BOTH, 1200)})
    assert not is_protected(redaction, 1300)


def test_an_abandoned_order_leaves_the_holds() -> None:
    """When nobody settles an order the holds stand, and nothing is protected without new evidence."""
    redaction = decide.abandon(ordered(muted(), 1200), at=9000)
    assert redaction.open
    assert redaction.order is None
    assert not is_protected(redaction, 1250)


@given(st.data())
def test_an_unmute_that_is_called_off_has_not_happened(data: st.DataObject) -> None:
    """Whatever became of its order meanwhile: its holds stand as they did, nobody else's come back, what it was seen
    to do proves nothing, and its own step comes too late."""
    before = ordered(muted(), 1200)
    order = before.order
    assert order is not None
    event = OrderReported(at=1300, op=order.op, results={"a": seen(Parties.NONE, 1250)})
    settled, _ = decide.settle(before, event)
    now = data.draw(st.sampled_from([before, settled, decide.abandon(before, at=1300)]))
    after = decide.stand(now, before=before, drops=order.drops, op=order.op, at=1400)
    assert (after.holds, after.order, after.closed_at) == (before.holds, None, None)
    assert (after.requested_at, after.exposure_ms, after.void) == (before.requested_at, before.exposure_ms, before.void)
    assert after.revision == now.revision + 1
    assert decide.settle(after, event) == (after, Settled.OVERTAKEN)
    assert not is_protected(after, 1400)
    assert decide.stand(settled, before=before, drops=(), op=order.op, at=1400).holds == ()


def test_an_order_of_another_is_not_called_off() -> None:
    """It stands as long as no hold comes back: then it was given by somebody who did not know of that one."""
    other = ordered(muted(), 1200)
    assert other.order is not None
    drops = other.order.drops
    assert decide.stand(other, before=other, drops=drops, op="mine", at=1300).order == other.order
    more = replace(other, holds=(replace(other.holds[0], key=HoldKey(client="desk", name="b")),))
    assert decide.stand(more, before=other, drops=drops, op="mine", at=1300).order is None


def test_versions_count_what_a_reader_sees() -> None:
    """The same state proven again is a revision and no version: conditions on it stay true."""
    redaction = muted()
    again = told(redaction, 2000, {"a": seen(Parties.BOTH, 1900)})
    assert (again.revision, again.version, again.updated_at) == (
        redaction.revision + 1,
        redaction.version,
        redaction.updated_at,
    )
    drifted = told(again, 3000, {"a": seen(Parties.NONE, 2900)})
    assert (drifted.version, drifted.updated_at) == (redaction.version + 1, 3000)


def test_the_worst_of_several_faults_is_told() -> None:
    """Unconfirmed before refused before unavailable; nothing wrong is None."""
    assert verdict([Fault.CONNECTION_FAILED, Fault.TIMEOUT, Fault.REFUSED]) is Blame.UNCONFIRMED
    assert verdict([Fault.CONNECTION_FAILED, Fault.REFUSED]) is Blame.REFUSED
    assert verdict([Fault.CONNECTION_FAILED]) is Blame.UNAVAILABLE
    assert verdict([]) is None


@given(st.sampled_from(EVERY_PARTIES), st.sampled_from(EVERY_PARTIES), st.booleans())
def test_covering_is_set_inclusion(muted_parties: Parties, wanted: Parties, mixed: bool) -> None:  # noqa: FBT001 -- drawn
    """Everybody wanted must be among the silent, in all calls; nothing seen covers nothing."""
    observation = Observation(muted=muted_parties, evidence=Evidence.ANSWER, at=1, mixed=mixed)
    assert covers(observation, wanted) is (not mixed and set(wanted) <= set(muted_parties))
    assert not covers(None, wanted)


@settings(max_examples=300)
@given(st.data())
def test_protected_is_never_true_without_proof_for_everybody(data: st.DataObject) -> None:
    """Whatever happens in whatever order: protected implies a sighting of every recorder that covers everybody
    wanted, taken after the last order can have landed."""
    redaction, now = FRESH, 1000
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.integers(1, 1500))
        redaction = _random_step(data, redaction, now)
        if is_protected(redaction, now):
            assert redaction.holds
            for one in redaction.recorders:
                assert one.seen is not None
                assert one.seen.muted & redaction.wanted == redaction.wanted
                assert one.seen.at >= redaction.loose_before


def _random_step(data: st.DataObject, redaction: Redaction, now: int) -> Redaction:
    parties = data.draw(st.sampled_from([Parties.CALLER, Parties.CALLED, Parties.BOTH]))
    name = data.draw(st.sampled_from(["x", "y"]))
    observed = data.draw(st.sampled_from(EVERY_PARTIES))
    match data.draw(st.sampled_from(["mute", "learn", "unmute", "settle", "abandon", "start"])):
        case "mute":
            return asked(redaction, now, of=hold(name, parties), names=("a", "b"))
        case "learn":
            known = data.draw(st.integers(0, redaction.revision))
            ages = {n: seen(observed, now - data.draw(st.integers(0, 2500))) for n in ("a", "b")}
            return told(redaction, now, ages, revision=known)
        case "unmute":
            event = UnmuteAsked(at=now, op="op", hold=hold(name).key, lands_before=now + 2000)
            return decide.unmute(redaction, event)[0]
        case "settle":
            report = OrderReported(at=now, op="op", results={n: seen(observed, now) for n in ("a", "b")})
            return decide.settle(redaction, report)[0]
        case "start":
            return redaction if redaction.open else decide.start(redaction, op="op", at=now, lands_before=now + 9)
        case _:
            return decide.abandon(redaction, at=now)


def test_a_call_is_looked_at_every_second_after_an_order() -> None:
    """A vendor may carry out what it has accepted later than it should: for 15 s after the order, ours or another
    redaction's, a call that is proven silent is due soon; then as often as ever."""
    muted = told(asked(FRESH, 0), 10, {"a": seen(Parties.BOTH, 5)})
    assert due_at(muted, now=10, policy=POLICY) > 3_000
    failed, _ = decide.settle(ordered(muted, 100), OrderReported(at=200, op="op100", results={}))
    late = {at: told(failed, at, {"a": seen(Parties.BOTH, at)}) for at in (3_000, 15_099, 15_100)}
    assert {at: due_at(one, now=at, policy=POLICY) <= at + 1_000 for at, one in late.items()} == {
        3_000: True,
        15_099: True,
        15_100: False,
    }
    other = decide.loosened(muted, before=50, ordered_at=50)
    assert due_at(told(other, 60, {"a": seen(Parties.BOTH, 60)}), now=60, policy=POLICY) == 1_060


def test_the_ids_of_calls_are_remembered() -> None:
    """Those of every sighting, however old it is, the newest last, as many as can be claimed; a new redaction starts
    without."""
    muted = told(asked(FRESH, 0), 10, {"a": naming(5, "x", "y")})
    assert muted.recorders[0].calls == ("x", "y")
    later = told(muted, 20, {"a": naming(2, "x", "z")})
    assert later.recorders[0].calls == ("y", "x", "z")
    assert later.recorders[0].seen == muted.recorders[0].seen
    many = told(later, 30, {"a": naming(25, *(f"n{n:02}" for n in range(CALLS_KNOWN)))})
    assert len(many.recorders[0].calls) == CALLS_KNOWN
    assert "z" not in many.recorders[0].calls
    ended, _ = decide.settle(ordered(later, 100), OrderReported(at=200, op="op100", results={"a": naming(150, "w")}))
    assert ended.recorders[0].calls[-1] == "w"


def naming(at: int, *calls: str) -> Result:
    """Silent when it is even, recorded otherwise: nobody cares."""
    muted = Parties.NONE if at == 150 else Parties.BOTH
    return Result(seen=Observation(muted=muted, evidence=Evidence.READBACK, at=at, calls=frozenset(calls)))


def test_a_mute_that_lands_on_a_closed_redaction_is_written_down() -> None:
    """Only where everybody was known to be recorded and somebody was seen silent after that; an open redaction, and
    one whose order is under way, are not its business."""
    muted = told(asked(FRESH, 0, names=("a", "b")), 10, {"a": seen(Parties.BOTH, 5), "b": seen(Parties.BOTH, 5)})
    live = {"a": seen(Parties.NONE, 150), "b": seen(Parties.NONE, 150)}
    closed, _ = decide.settle(ordered(muted, 100), OrderReported(at=200, op="op100", results=live))
    report = Reported(at=300, asked_at_revision=1, results={"a": seen(Parties.BOTH, 250), "b": seen(Parties.BOTH, 120)})
    after = decide.overtaken(closed, report)
    assert [state.seen and state.seen.muted for state in after.recorders] == [Parties.BOTH, Parties.NONE]
    assert (after.version, after.open) == (closed.version + 1, False)
    for untouched in (muted, ordered(muted, 100), after):
        assert decide.overtaken(untouched, report) is untouched


def test_a_state_from_before_there_were_ids_is_read() -> None:
    """What an older version has stored lacks the newer members."""
    muted = told(asked(FRESH, 0), 10, {"a": seen(Parties.BOTH, 5)})
    old = json.loads(codec.encode(muted))
    del old["ordered_at"], old["recorders"][0]["calls"], old["recorders"][0]["seen"]["calls"]
    assert codec.decode(json.dumps(old).encode()) == muted
    named = told(muted, 20, {"a": naming(15, "x")})
    assert codec.decode(codec.encode(named)) == named


def test_a_recorder_without_the_call_is_soon_looked_at_again() -> None:
    """An optional one gets the call later than the others: it is silent within three seconds all the same."""
    both = told(
        asked(FRESH, 0, names=("a", "b")), 50, {"a": seen(Parties.BOTH, 50), "b": Result(fault=Fault.NO_SUCH_CALL)}
    )
    late = replace(both, recorders=(both.recorders[0], replace(both.recorders[1], optional=True)))
    assert is_protected(late, 60)
    assert due_at(late, now=60, policy=POLICY) <= 60 + 2_000
