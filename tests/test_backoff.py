"""When calls whose mute is not proven are tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest

from gateway.backoff import LONGEST_SECONDS, SHORTEST_SECONDS, Backoff
from gateway.model import CallKey, Redaction


@dataclass(kw_only=True)
class Bench:
    """A backoff, and when its backends answered last."""

    answered: dict[str, float] = field(default_factory=dict)
    backoff: Backoff = field(init=False)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.backoff = Backoff(answered_at=lambda name: self.answered.get(name, -math.inf))

    def fail(self, redaction: Redaction, *backends: str) -> Redaction:
        """One try in vain; the call as it is left."""
        after = replace(redaction, revision=redaction.revision + 2)
        self.backoff.failed(redaction, after, backends or ("a",), began_at=self.now)
        self.now += 1
        return after


@pytest.fixture
def bench() -> Bench:
    return Bench()


def call(name: str = "c1") -> Redaction:
    return Redaction(key=CallKey(tenant="t", call_id=name), revision=3)


def test_the_longer_the_less_often(bench: Bench) -> None:
    """From one second on the time doubles up to the longest, give or take a half, and never below a second."""
    redaction, bounds = call(), [(1, 1.5), (1, 2), (2, 4), (4, 8), (7.5, 15), (7.5, 15)]
    for least, most in bounds:
        for _ in range(50):
            assert least <= bench.backoff.seconds(redaction) <= most
        redaction = bench.fail(redaction)
    for _ in range(2000):
        redaction = bench.fail(redaction)
    assert bench.backoff.seconds(redaction) <= LONGEST_SECONDS
    assert bench.backoff.seconds(redaction, longest_seconds=5) <= 5


def test_tries_are_spread(bench: Bench) -> None:
    """Calls that failed together are not tried again together."""
    assert len({bench.backoff.seconds(call()) for _ in range(20)}) > 10


def test_who_changes_the_call_asks_anew(bench: Bench) -> None:
    """A change that is not ours, such as a new PUT, begins with the shortest time again."""
    redaction = call()
    for _ in range(6):
        redaction = bench.fail(redaction)
    renewed = replace(redaction, revision=redaction.revision + 1)
    assert bench.backoff.seconds(renewed) <= 1.5
    left = bench.fail(renewed)
    assert bench.backoff.seconds(left) <= 2


def test_an_answer_to_anybody_ends_the_waiting(bench: Bench) -> None:
    """Once the backend has answered, all its calls are ready, and their time is the shortest again."""
    redaction = call()
    for _ in range(6):
        redaction = bench.fail(redaction)
    assert bench.backoff.ready(now=bench.now, probing=frozenset()) == []
    bench.answered["a"] = bench.now
    bench.now += 1
    assert bench.backoff.seconds(redaction) <= 1.5
    assert bench.backoff.ready(now=bench.now, probing=frozenset()) == [redaction.key]
    assert bench.backoff.seconds(redaction) <= 2
    assert bench.backoff.ready(now=bench.now, probing=frozenset()) == []


def test_another_backends_answer_is_none(bench: Bench) -> None:
    """A call waits for the backends that failed it, not for any."""
    bench.fail(call(), "a")
    bench.answered["b"] = bench.now
    bench.now += 1
    assert bench.backoff.ready(now=bench.now, probing=frozenset({"b"})) == []


def test_no_call_is_tried_twice_in_a_second(bench: Bench) -> None:
    """However often the backend answers others."""
    redaction = call()
    bench.backoff.failed(redaction, redaction, ("a",), began_at=bench.now)
    bench.answered["a"] = bench.now + 0.1
    bench.now += SHORTEST_SECONDS / 2
    assert bench.backoff.ready(now=bench.now, probing=frozenset({"a"})) == []


def test_one_call_tries_the_way(bench: Bench) -> None:
    """Of the calls at a silent backend the one that has waited longest is tried, one at a time in turn; trying does
    not shorten its waiting."""
    first, second = call("c1"), call("c2")
    for _ in range(4):
        first, second = bench.fail(first), bench.fail(second)
    turns = []
    for _ in range(4):
        turns += bench.backoff.ready(now=bench.now, probing=frozenset({"a"}))
        bench.now += 1
    assert turns == [first.key, second.key, first.key, second.key]
    assert bench.backoff.seconds(first) >= 4


def test_a_call_that_is_forgotten_waits_no_more(bench: Bench) -> None:
    """Neither is it tried before its time, nor is its past held against it."""
    redaction = call()
    for _ in range(5):
        redaction = bench.fail(redaction)
    bench.backoff.forget(redaction.key)
    bench.backoff.forget(redaction.key)
    assert bench.backoff.ready(now=bench.now + 60, probing=frozenset({"a"})) == []
    assert bench.backoff.seconds(redaction) <= 1.5
