"""What healing makes of a call's state: never looser than what the store has, and the missed mute in it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.mend import CALL_MS, Missed, mended, tightens
from gateway.model import (
    CallKey,
    Evidence,
    Hold,
    HoldKey,
    Observation,
    Order,
    OrderKind,
    Parties,
    Recorder,
    Redaction,
    Target,
    Vendor,
)

KEY = CallKey(tenant="acme", call_id="c1")
SEEN = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=10)
RECORDER = Recorder(backend="verba", vendor=Vendor.VERBA, target=Target(call_id="c1"), seen=SEEN)
ORDER = Order(op="o", kind=OrderKind.RESUME, drops=(), lands_before=99)
NAMES = ("a", "b", "c")


def hold(name: str, parties: Parties = Parties.BOTH) -> Hold:
    return Hold(key=HoldKey(client="crm", name=name), parties=parties, actor=None, resume_at=None)


def redaction(*names: str, revision: int = 1) -> Redaction:
    holds = tuple(hold(name) for name in names)
    return Redaction(key=KEY, revision=revision, version=revision, recorders=(RECORDER,), holds=holds)


def missed(newest: Redaction, *held: str, ours: tuple[Redaction, ...] = (), at: int = 1_000) -> Missed:
    keys = frozenset(HoldKey(client="crm", name=name) for name in held)
    return Missed(newest=newest, held=keys, ours=ours, at=at)


redactions = st.builds(
    lambda holds, order, loose, revision: replace(
        redaction(revision=revision),
        holds=tuple(hold(name, parties) for name, parties in holds.items()),
        order=order,
        loose_before=loose,
        closed_at=None if holds else 5,
    ),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([Parties.CALLER, Parties.CALLED, Parties.BOTH])),
    st.sampled_from([None, ORDER]),
    st.integers(0, 3),
    st.integers(1, 5),
)


@given(redactions, redactions, st.sets(st.sampled_from(NAMES)), st.booleans())
def test_healing_never_lets_go(current: Redaction, newest: Redaction, held: set[str], known: bool) -> None:  # noqa: FBT001 -- drawn
    """Whatever was missed: every hold that the store has stays, with at least its parties; nothing is ordered; what
    may still land is not forgotten."""
    after = mended(current, missed(newest, *held, ours=(current,) if known else ()))
    assert after.wanted & current.wanted == current.wanted
    assert {one.key for one in current.holds} <= {one.key for one in after.holds}
    assert after.order in {None, current.order}
    assert after.loose_before >= current.loose_before


@given(redactions, redactions)
def test_every_hold_that_only_we_know_of_is_there(current: Redaction, newest: Redaction) -> None:
    """Holds taken while the store was away are in the state after it, and an unmute under way has lost."""
    after = mended(current, missed(newest, *NAMES))
    assert after.wanted & newest.wanted == newest.wanted
    if {one.key for one in newest.holds} - {one.key for one in current.holds}:
        assert after.order is None
        assert after.revision > current.revision


def test_a_store_that_stood_still_gets_what_was_seen_too() -> None:
    """Nobody else touched the call: the newest state is written as it is, evidence and all."""
    before = redaction(revision=1)
    newest = replace(redaction("a", revision=3), exposure_ms=12)
    assert mended(before, missed(newest, "a", ours=(before,))) == newest


def test_a_call_that_went_its_own_way_is_seen_anew() -> None:
    """Somebody else changed the call: the missed hold is added, recorders that only we know of come unproven."""
    newest = redaction("a", revision=3)
    after = mended(replace(redaction("b", revision=7), recorders=()), missed(newest, "a"))
    assert {one.key.name for one in after.holds} == {"a", "b"}
    assert [recorder.seen for recorder in after.recorders] == [None]


def test_a_hold_that_the_store_once_had_is_not_taken_again() -> None:
    """Only holds taken meanwhile are added: another one that is gone was dropped by its holder."""
    assert (
        mended(redaction("b", revision=7), missed(redaction("a", "old", revision=3), "a")).hold(
            HoldKey(client="crm", name="old")
        )
        is None
    )


def test_a_redaction_closed_long_after_stays_closed() -> None:
    """Whoever closed it did not know of the hold that was missed: it is muted again, as long as the call may last."""
    closed = replace(redaction(revision=9), closed_at=1_000 + CALL_MS + 1)
    assert mended(closed, missed(redaction("a"), "a")) == closed
    doubtful = replace(closed, closed_at=1_000 + CALL_MS)
    assert mended(doubtful, missed(redaction("a"), "a")).open
    assert mended(doubtful, missed(redaction("a"))) == doubtful


def test_a_store_that_forgot_gets_the_newest() -> None:
    """No state at all: an open redaction is open, a closed one closed, an order under way counts for nothing."""
    assert mended(None, missed(replace(redaction("a", revision=4), order=ORDER))) == redaction("a", revision=4)
    assert not mended(None, missed(redaction(revision=4))).open
    assert mended(None, missed(redaction("a", revision=0))).revision == 1


def test_what_tightens() -> None:
    """Dropping a hold, narrowing it, an order, or forgetting what may land is no tightening."""
    before = replace(redaction("a"), loose_before=5)
    assert tightens(before, replace(redaction("a", "b"), loose_before=5))
    assert not tightens(before, replace(redaction("b"), loose_before=5))
    assert not tightens(before, replace(before, holds=(hold("a", Parties.CALLER),)))
    assert not tightens(before, replace(before, order=ORDER))
    assert not tightens(before, replace(before, loose_before=4))
