"""What Prometheus is told of the open redactions that this process looks after."""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.backoff import LONGEST_SECONDS
from gateway.evidence import NEXT_CALL_MS, Policy
from gateway.metrics import Metrics
from gateway.model import (
    CallKey,
    CallStatus,
    Evidence,
    Hold,
    HoldKey,
    Observation,
    Parties,
    Recorder,
    Redaction,
    Target,
    Vendor,
)
from gateway.watchlist import FORGET_MS, Watchlist

if TYPE_CHECKING:
    from types import FrameType

POLICY = Policy(reassert_ms=5_000, deadline_ms=2_500)
KEPT_MS = POLICY.reassert_ms + POLICY.deadline_ms + FORGET_MS
LONG_KEPT_MS = int(1000 * LONGEST_SECONDS) + POLICY.deadline_ms + FORGET_MS
FORGOTTEN_MS = 60_000
NOW = 1_795_251_600_000
OPEN, UNPROTECTED = "redaction_oldest_open_seconds", "redaction_oldest_unprotected_seconds"


class Pod:
    """A watchlist and its metrics, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.metrics = Metrics({"pbx": Vendor.VOIPNOW, "verba": Vendor.VERBA}, version="1")
        self.watchlist = Watchlist(policy=POLICY, forgotten_ms=FORGOTTEN_MS, metrics=self.metrics)
        self.now = NOW

    def saw(self, redaction: Redaction) -> None:
        self.watchlist.saw(redaction, now=self.now)

    def after(self, ms: int) -> None:
        """Publish so much later."""
        self.now += ms
        self.watchlist.publish(now=self.now)

    def value(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(name, labels)
        assert found is not None
        return found

    def open(self) -> dict[str, float]:
        """How many are open, by state, without the zeroes."""
        (family,) = (one for one in self.metrics.registry.collect() if one.name == "redaction_open")
        return {sample.labels["state"]: sample.value for sample in family.samples if sample.value}


@pytest.fixture
def pod() -> Pod:
    return Pod()


def recorder(backend: str = "pbx", *, seen_at: int | None = NOW) -> Recorder:
    seen = None
    if seen_at is not None:
        seen = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=seen_at)
    return Recorder(backend=backend, vendor=Vendor.VOIPNOW, target=Target(call_id="c1"), seen=seen)


def redaction(*recorders: Recorder, call_id: str = "c1", exposure_ms: int | None = 140) -> Redaction:
    hold = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
    return Redaction(
        key=CallKey(tenant="acme", call_id=call_id),
        holds=(hold,),
        recorders=recorders or (recorder(),),
        requested_at=NOW - 60_000,
        exposure_ms=exposure_ms,
        void=False,
    )


def closed(call_id: str = "c1") -> Redaction:
    return replace(redaction(call_id=call_id), holds=(), closed_at=NOW)


def test_open_redactions_are_counted_by_state_and_age(pod: Pod) -> None:
    """The oldest one's age is since it was asked for."""
    pod.saw(redaction())
    pod.saw(redaction(recorder(seen_at=None), call_id="c2"))
    pod.after(1_000)
    assert pod.open() == {"muted": 1, "unknown": 1}
    assert pod.value(OPEN) == 61


def test_a_closed_redaction_leaves_at_once(pod: Pod) -> None:
    """Whoever saw it closed does not count it any more."""
    pod.saw(redaction())
    pod.saw(closed())
    pod.after(0)
    assert (pod.open(), pod.value(OPEN)) == ({}, 0)


@pytest.mark.parametrize(
    ("found", "kept_ms"),
    [(redaction(), KEPT_MS), (redaction(recorder(seen_at=None)), LONG_KEPT_MS)],
    ids=["proven", "unproven"],
)
def test_a_redaction_that_is_not_looked_at_any_more_leaves(pod: Pod, found: Redaction, kept_ms: int) -> None:
    """It has closed elsewhere or is another pod's: it stays as long as it need not have been looked at again, the
    ages do not stick beyond that, and it counts again once it is back."""
    pod.saw(found)
    pod.after(kept_ms)
    assert sum(pod.open().values()) == 1
    assert pod.value(OPEN) == (60_000 + kept_ms) / 1000
    pod.after(1)
    assert pod.open() == {}
    assert (pod.value(OPEN), pod.value(UNPROTECTED)) == (0, 0)
    pod.saw(found)
    pod.after(0)
    assert sum(pod.open().values()) == 1


def test_one_that_is_given_up_takes_no_other_with_it(pod: Pod) -> None:
    """Each by itself: the oldest that is left sets the age."""
    pod.saw(replace(redaction(), requested_at=NOW - 600_000))
    pod.after(KEPT_MS)
    pod.saw(redaction(call_id="c2"))
    pod.after(1)
    assert pod.open() == {"muted": 1}
    assert pod.value(OPEN) == (60_000 + KEPT_MS + 1) / 1000


def test_a_clock_set_back_leaves_nothing_behind(pod: Pod) -> None:
    """What was looked at in the future would be kept until then."""
    pod.saw(redaction())
    pod.after(-FORGET_MS)
    assert pod.open() == {"muted": 1}
    pod.after(-1)
    assert pod.open() == {}


def test_unprotected_is_as_old_as_the_request_until_it_was_ever_protected(pod: Pod) -> None:
    """From asked to first proven nobody was protected."""
    pod.saw(redaction(recorder(seen_at=None), exposure_ms=None))
    pod.after(2_000)
    assert pod.value(UNPROTECTED) == 62


def test_unprotected_again_counts_from_when_it_was_found_so(pod: Pod) -> None:
    """And goes on counting from there at every look, until it is protected: then the age is gone at once."""
    pod.saw(redaction())
    pod.after(1_000)
    assert pod.value(UNPROTECTED) == 0
    pod.saw(redaction(recorder(seen_at=None)))
    pod.after(2_000)
    pod.saw(redaction(recorder(seen_at=None)))
    pod.after(2_000)
    assert pod.value(UNPROTECTED) == 4
    pod.saw(redaction(recorder(seen_at=pod.now)))
    pod.after(0)
    assert pod.value(UNPROTECTED) == 0


def test_the_age_does_not_start_anew_while_a_call_rests_between_tries(pod: Pod) -> None:
    """A backend that is down is tried less and less often; the alarm for it must not go out in between."""
    rest = int(1000 * LONGEST_SECONDS)
    for _ in range(3):
        pod.saw(redaction(recorder(seen_at=None)))
        pod.after(rest)
        assert pod.open() == {"unknown": 1}
    assert pod.value(UNPROTECTED) == 3 * LONGEST_SECONDS


def test_unprotected_seconds_pass_for_each_recorder_that_is_not_proven(pod: Pod) -> None:
    """Two calls at one backend are two seconds a second; the proven recorder of the same call is none."""
    pod.after(0)
    pod.saw(redaction(recorder(seen_at=None), recorder("verba")))
    pod.saw(redaction(recorder(seen_at=None), call_id="c2"))
    pod.after(3_000)
    assert pod.value("redaction_unprotected_seconds_total", backend="pbx") == 6
    assert pod.value("redaction_unprotected_seconds_total", backend="verba") == 0


def test_time_that_runs_backwards_adds_nothing(pod: Pod) -> None:
    """A counter never falls."""
    pod.saw(redaction(recorder(seen_at=None)))
    pod.after(0)
    pod.after(-500)
    assert pod.value("redaction_unprotected_seconds_total", backend="pbx") == 0


def test_what_nobody_ended_for_too_long_is_counted(pod: Pod) -> None:
    """From the age on at which the operator calls it forgotten, and no longer than it is open."""
    requested_at = redaction().requested_at
    pod.now = requested_at + FORGOTTEN_MS - 1
    pod.saw(redaction())
    pod.after(0)
    assert pod.value("redaction_forgotten") == 0
    pod.after(1)
    assert pod.value("redaction_forgotten") == 1
    pod.saw(replace(redaction(), holds=()))
    pod.after(0)
    assert pod.value("redaction_forgotten") == 0


def waiting(*, since: int, target: Target | None = None) -> Redaction:
    """It waits for the next call of an extension."""
    where = target or Target(extension="8856", call_status=(CallStatus.NEXT,))
    return redaction(replace(recorder(seen_at=None), target=where, asked_at=since), exposure_ms=None)


def test_one_that_waits_for_its_call_is_not_unprotected(pod: Pod) -> None:
    """Nothing is recorded yet, and nobody is to be woken for it; once the call has begun its time counts from then."""
    pod.after(0)
    pod.saw(waiting(since=NOW))
    pod.after(30_000)
    pod.saw(waiting(since=NOW))
    pod.after(0)
    assert pod.open() == {"unknown": 1}
    assert pod.value(UNPROTECTED) == 0
    assert pod.value("redaction_unprotected_seconds_total", backend="pbx") == 0
    pod.saw(redaction(recorder(seen_at=None), exposure_ms=None))
    pod.after(2_000)
    assert pod.value(UNPROTECTED) == 2


def test_one_that_has_waited_too_long_is_unprotected(pod: Pod) -> None:
    """Its minute is over: a call that begins now would be recorded."""
    pod.saw(waiting(since=NOW - NEXT_CALL_MS))
    pod.after(1_000)
    assert pod.value(UNPROTECTED) == 61


def test_what_is_published_is_what_a_look_at_all_would_find(pod: Pod) -> None:
    """Calls that open, fail, recover, close, are forgotten and come again, under a clock that now and then
    is set back: every gauge is what counting them one by one gives."""
    chance = random.Random(7)  # noqa: S311 -- no secret
    known: dict[str, tuple[Redaction, int, bool]] = {}
    for _ in range(800):
        call = f"c{chance.randrange(60)}"
        bare = chance.random() < 0.3
        one = redaction(recorder(seen_at=None if bare else pod.now), call_id=call)
        one = replace(one, requested_at=pod.now - chance.randrange(2 * FORGOTTEN_MS))
        if chance.random() < 0.2:
            pod.saw(closed(call))
            known.pop(call, None)
        else:
            pod.saw(one)
            known[call] = one, pod.now, bare
        pod.after(chance.choice([0, 0, 40, 300, 2_500, -700]))
        known = {
            name: (it, at, bare)
            for name, (it, at, bare) in known.items()
            if -FORGET_MS <= pod.now - at <= (LONG_KEPT_MS if bare else KEPT_MS)
        }
        found = [it for it, _, _ in known.values()]
        assert pod.open() == Counter("unknown" if bare else "muted" for _, _, bare in known.values())
        assert pod.value(OPEN) == max([0.0, *((pod.now - it.requested_at) / 1000 for it in found)])
        assert pod.value("redaction_forgotten") == sum(pod.now - it.requested_at >= FORGOTTEN_MS for it in found)


def steps(pod: Pod) -> int:
    """Lines of code that are run to publish once."""
    count = 0

    def trace(_frame: FrameType, _event: str, _argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]  # -- it gives itself
    pod.watchlist.publish(now=pod.now)
    sys.settrace(before)
    return count


def test_publishing_costs_the_same_however_many_are_open(pod: Pod) -> None:
    """Every request waits while the gauges are set."""
    few, many = pod, Pod()
    for one, count in ((few, 5), (many, 5_000)):
        for number in range(count):
            one.saw(redaction(call_id=f"c{number}"))
        one.after(0)
    assert sum(many.open().values()) == 5_000
    assert steps(many) == steps(few)
