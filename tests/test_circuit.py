"""The circuit: when it opens, who passes, what closes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gateway import circuit
from gateway.circuit import FAILURES, PROBE_SECONDS, STALE_SECONDS, Circuit


@dataclass(kw_only=True)
class Told:
    """A circuit whose clock the test sets, and what it said of itself."""

    now: float = 100.0
    said: list[bool] = field(default_factory=list)
    circuit: Circuit = field(init=False)

    def __post_init__(self) -> None:
        self.circuit = Circuit(changed=self.said.append)

    def fail(self, count: int = FAILURES) -> None:
        for _ in range(count):
            self.circuit.failed(began_at=self.now)

    def probes(self) -> bool:
        with self.circuit.probing() as allowed:
            return allowed


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(circuit, "_now", lambda: told.now)
    return told


def test_it_opens_after_failures_in_a_row(told: Told) -> None:
    """One failure fewer than `FAILURES` changes nothing, a success in between starts the count anew."""
    told.fail(FAILURES - 1)
    told.circuit.succeeded()
    told.now += 1
    told.fail(FAILURES - 1)
    assert told.circuit.admits()
    told.fail(1)
    assert not told.circuit.admits()
    told.fail(1)
    assert told.said == [True]


def test_the_first_success_closes_it(told: Told) -> None:
    """After one success everybody passes, and the next opening needs the whole count again."""
    told.fail()
    told.now += 1
    told.circuit.succeeded()
    assert told.circuit.admits()
    assert told.circuit.succeeded_at == told.now
    told.now += 1
    told.fail(FAILURES - 1)
    assert told.circuit.admits()
    assert told.said == [True, False]


def test_failures_from_before_the_last_success_are_old_news(told: Told) -> None:
    """What began while the backend was away and ends after its return does not open the circuit again."""
    began_at = told.now
    told.now += 1
    told.circuit.succeeded()
    for _ in range(FAILURES):
        told.circuit.failed(began_at=began_at)
    assert told.circuit.admits()


def test_closed_the_background_passes_any_time(told: Told) -> None:
    """There is no turn to wait for while the backend works."""
    with told.circuit.probing() as one, told.circuit.probing() as two:
        assert (one, two) == (True, True)
    assert not told.circuit.wants_probe


def test_open_the_background_tries_one_at_a_time(told: Told) -> None:
    """The second try waits for the first one's end, and for a time since its beginning."""
    told.fail()
    with told.circuit.probing() as allowed:
        assert allowed
        told.now += 2 * PROBE_SECONDS
        assert not told.probes()
    assert told.probes()
    told.now += 0.7 * PROBE_SECONDS
    assert (told.circuit.wants_probe, told.probes()) == (False, False)
    told.now += 0.6 * PROBE_SECONDS
    assert (told.circuit.wants_probe, told.probes()) == (True, True)


def test_a_try_that_breaks_down_gives_its_turn_back(told: Told) -> None:
    """An exception in the middle of a try does not keep the others out for ever."""
    told.fail()
    with pytest.raises(ZeroDivisionError):
        _break_down(told)
    told.now += 2 * PROBE_SECONDS
    assert told.probes()


def _break_down(told: Told) -> None:
    with told.circuit.probing():
        raise ZeroDivisionError


def test_where_nobody_tries_the_next_request_does(told: Told) -> None:
    """An open circuit that nothing was heard of for a while is a guess: one request passes, the others do not."""
    told.fail()
    told.now += STALE_SECONDS
    assert told.circuit.admits()
    assert not told.circuit.admits()
    told.now += STALE_SECONDS - 1
    assert told.probes()
    told.now += 1
    assert not told.circuit.admits()
