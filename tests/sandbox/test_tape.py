from __future__ import annotations

from gateway.model import Parties
from gateway.sandbox.tape import Cut, Tape

NONE, CALLER, CALLED, BOTH = Parties.NONE, Parties.CALLER, Parties.CALLED, Parties.BOTH


def muted_from_10_to_20() -> Tape:
    tape = Tape(began=0)
    tape.switch(BOTH, at=10)
    tape.switch(NONE, at=20)
    return tape


def test_silence_is_silence_all_the_time() -> None:
    """A window is silent only when nobody asked about is on the tape in any moment of it."""
    tape = muted_from_10_to_20()
    assert tape.silent(BOTH, since=10, until=19)
    assert tape.recorded(BOTH, since=9, until=19)
    assert tape.recorded(BOTH, since=10, until=20)
    assert tape.recorded(BOTH, since=5, until=25)
    assert tape.silent(BOTH, since=15, until=15)
    assert tape.recorded(BOTH, since=20, until=20)


def test_one_party_is_not_the_other() -> None:
    """With the caller silent, the called party is recorded, and so is one of the two."""
    tape = Tape(began=0)
    tape.switch(CALLER, at=10)
    assert tape.silent(CALLER, since=10, until=99)
    assert tape.recorded(CALLED, since=10, until=99)
    assert tape.recorded(BOTH, since=10, until=99)
    assert tape.muted is CALLER


def test_before_and_after_the_call_nothing_is_recorded() -> None:
    """A tape holds nothing from before it began or after it ended, and no switch moves an ended tape."""
    tape = Tape(began=100)
    tape.end(at=200)
    tape.end(at=300)
    tape.switch(BOTH, at=150)
    assert tape.silent(BOTH, since=0, until=99)
    assert tape.recorded(BOTH, since=0, until=100)
    assert tape.recorded(BOTH, since=199, until=300)
    assert tape.silent(BOTH, since=200, until=300)
    assert (tape.began, tape.ended, tape.muted) == (100, 200, NONE)


def test_the_same_state_again_is_no_cut() -> None:
    """Only changes are on the timeline."""
    tape = muted_from_10_to_20()
    tape.switch(NONE, at=30)
    assert tape.cuts == (Cut(at=0, muted=NONE), Cut(at=10, muted=BOTH), Cut(at=20, muted=NONE))


def test_a_clock_set_back_rewrites_nothing() -> None:
    """A switch with an earlier time counts from the last one."""
    tape = muted_from_10_to_20()
    tape.switch(BOTH, at=5)
    tape.end(at=3)
    assert tape.cuts[-1] == Cut(at=20, muted=BOTH)
    assert tape.ended == 20
    assert tape.silent(BOTH, since=10, until=19)


def test_a_window_before_the_last_switch() -> None:
    """What came later does not change what a window held."""
    tape = muted_from_10_to_20()
    assert tape.recorded(CALLER, since=0, until=5)
    assert tape.silent(CALLER, since=12, until=14)
