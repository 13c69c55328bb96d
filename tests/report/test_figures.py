"""What is counted is what happened: against a second count, in any order, over any time, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from recount import Sums, recounted
from tales import BEGIN, Tale, dice, recorders, some_tale

from gateway.audit.entry import Entry, EntryType, RecorderEntry
from gateway.model import Action, Device, Fault, RecorderState
from gateway.report.calls import Outcome
from gateway.report.controls import SKEW_MS
from gateway.report.figures import Figures, Limits
from gateway.report.window import Window

LIMITS = Limits(late_ms=2_500, forgotten_ms=900_000)
ALWAYS = 2**60
WORDS = {
    Outcome.PROVEN: "confirmed",
    Outcome.LATE: "late",
    Outcome.FAILED: "failed",
    Outcome.OVERTAKEN: "overtaken",
    Outcome.CUT_OFF: "no outcome",
}


def counted(lines: list[bytes], window: Window | None = None) -> Figures:
    figures = Figures(window=window or Window(), limits=LIMITS)
    for line in lines:
        figures.line(line)
    figures.finish()
    return figures


def sums(figures: Figures) -> Sums:
    triggers = Counter[str]()
    for (trigger, _), count in figures.triggers.items():
        triggers[trigger] += count
    return Sums(
        types=figures.types,
        outcomes=Counter({WORDS[outcome]: count for outcome, count in figures.mutes.items()}),
        triggers=triggers,
        exposures=sorted(figures.exposures),
        redactions=figures.redactions,
        never_proven=figures.never_proven,
        wanted_ms=figures.wanted_ms,
        unproven_ms=figures.unproven_ms,
        drifts=figures.drifts.count,
        forgotten=figures.forgotten.count,
        denied=figures.access.denied,
        refused=figures.access.refused,
        cards=figures.access.cards,
        used={kid: use.last for kid, use in figures.access.keys.items()},
    )


def recount(lines: list[bytes], window: Window) -> Sums:
    since, until = window.since or 0, ALWAYS if window.until is None else window.until
    found = recounted(lines, since=since, until=until, late_ms=LIMITS.late_ms, forgotten_ms=LIMITS.forgotten_ms)
    return replace(found, exposures=sorted(found.exposures))


@pytest.mark.parametrize("seed", range(40))
def test_the_sums_agree_with_a_second_count(seed: int) -> None:
    """Every sum is that of the other count, over the whole trail and over a part of it; and the parts of each sum are
    the whole."""
    tale = some_tale(dice(seed))
    lines = tale.lines()
    some = dice(seed)
    edge = BEGIN + some.randint(-10, tale.at - BEGIN)
    for window in (Window(), Window(since=edge), Window(until=edge), Window(since=edge, until=edge + 1_000_000)):
        figures = counted(lines, window)
        assert sums(figures) == recount(lines, window)
        mutes = sum(figures.mutes.values())
        assert mutes == sum(figures.hours.values()) == sum(figures.clients.values())
        assert figures.entries == sum(figures.types.values())
        assert figures.troubles.count == mutes - figures.mutes[Outcome.PROVEN]
        assert figures.unproven_ms <= figures.wanted_ms


@pytest.mark.parametrize("seed", range(12))
def test_windows_add_up(seed: int) -> None:
    """What two windows that touch count is what the window over both counts."""
    tale = some_tale(dice(seed))
    lines = tale.lines()
    edge = BEGIN + (tale.at - BEGIN) // 2
    early, late, whole = (sums(counted(lines, window)) for window in (Window(until=edge), Window(since=edge), Window()))
    assert early.types + late.types == whole.types
    assert early.refused + late.refused == whole.refused
    assert early.cards + late.cards == whole.cards
    assert early.outcomes + late.outcomes == whole.outcomes
    assert sorted(early.exposures + late.exposures) == whole.exposures
    assert early.redactions + late.redactions == whole.redactions
    assert early.wanted_ms + late.wanted_ms == whole.wanted_ms
    assert early.unproven_ms + late.unproven_ms == whole.unproven_ms


@pytest.mark.parametrize("seed", range(6))
def test_calls_in_any_order(seed: int) -> None:
    """Buckets come one after the other or in turn: only the order within a call counts."""
    tale = some_tale(dice(seed))
    lines = tale.lines()
    mixed = sorted(lines, key=lambda line: orjson.loads(line)["seq"])
    assert sums(counted(lines)) == sums(counted(mixed))


def test_what_is_over_is_forgotten() -> None:
    """Ten times the calls, all of them over, take no more memory than their exposures."""

    def peak(calls: int) -> int:
        tale = Tale(random=dice(1))
        for number in range(calls):
            over(tale, f"call-{number}")
        lines = tale.lines()
        tracemalloc.start()
        counted(lines)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(2_000) - peak(200) < 100_000


def over(tale: Tale, call_id: str) -> None:
    base = asked(call_id, tale.op())
    tale.put(base)
    tale.put(replace(base, type=EntryType.MUTE_CONFIRMED, protected=True, exposure_ms=tale.random.randint(20, 90)))
    tale.put(replace(base, type=EntryType.UNMUTE_CONFIRMED, op=tale.op(), action=Action.UNMUTE, parties="none"))


def asked(call_id: str, op: str) -> Entry:
    return Entry(
        type=EntryType.MUTE_INTENDED,
        tenant="acme",
        call_id=call_id,
        op=op,
        node="n",
        node_ms=0,
        client="crm",
        kid="k1crm000",
        trigger="automated",
        action=Action.MUTE,
        parties="both",
        recorders=recorders(RecorderState.UNKNOWN),
    )


def of(*entries: Entry) -> Figures:
    tale = Tale(random=dice(1))
    for entry in entries:
        tale.put(entry)
    return counted(tale.lines())


def test_a_mute_of_a_call_that_does_not_exist() -> None:
    """Every recorder says so: no failure of a recorder, no control that failed, and told as such."""
    base = asked("c1", "o1")
    gone = recorders(RecorderState.ENDED, Fault.NO_SUCH_CALL)
    figures = of(base, replace(base, type=EntryType.MUTE_FAILED, parties="none", recorders=gone))
    assert figures.mutes == {Outcome.NO_CALL: 1}
    assert figures.controls.failures == []
    (mute,) = figures.troubles.kept
    assert (mute.ended_by, mute.proven_at) == ("mute.failed", None)


def test_a_mute_that_waits_for_its_call() -> None:
    """It is proven when the call has come and was muted; one that did not come was waited for in vain."""
    base = asked("c1", "o1")
    waits = replace(base, type=EntryType.MUTE_FAILED, recorders=recorders(RecorderState.UNKNOWN, Fault.NO_SUCH_CALL))
    comes = replace(base, type=EntryType.MUTE_CONFIRMED, client="gateway", protected=True, exposure_ms=9_000, op="o2")
    assert of(base, waits, comes).mutes == {Outcome.PROVEN: 1}
    assert of(base, waits, replace(comes, type=EntryType.CALL_ENDED, protected=False, parties="none")).mutes == {
        Outcome.WAITED: 1
    }


def test_a_mute_that_fails_and_comes_true() -> None:
    """It stays a failure, with when it was proven after all; the recorder had failed for so long."""
    base = asked("c1", "o1")
    fails = replace(base, type=EntryType.MUTE_FAILED, recorders=recorders(RecorderState.UNKNOWN, Fault.TIMEOUT))
    muted = recorders(RecorderState.MUTED)
    comes = replace(base, type=EntryType.MUTE_CONFIRMED, client="gateway", protected=True, exposure_ms=70, op="o2")
    figures = of(base, fails, replace(comes, recorders=muted))
    (mute,) = figures.troubles.kept
    assert mute.outcome is Outcome.FAILED
    assert mute.proven_at is not None
    assert list(figures.exposures) == [70]
    assert {(one.kind, one.name, *one.span.causes) for one in figures.controls.failures} == {
        ("recorder not proven", "verba_eu", "timeout"),
        ("recorder not proven", "pbx", "timeout"),
    }
    assert {one.span.end for one in figures.controls.failures} == {mute.proven_at}


def test_only_the_first_proof_can_be_late() -> None:
    """Whoever asks for silence that was proven long ago gets it in time, though the redaction's exposure was long; a
    mute that took just as long as it may is not late."""
    base = asked("c1", "o1")
    first = replace(base, type=EntryType.MUTE_CONFIRMED, protected=True, exposure_ms=2_501)
    again = replace(base, op="o2", protected=True, exposure_ms=2_501)
    assert of(base, first, again, replace(first, op="o2")).mutes == {Outcome.LATE: 1, Outcome.PROVEN: 1}
    assert of(base, replace(first, exposure_ms=2_500)).mutes == {Outcome.PROVEN: 1}


def test_a_mute_that_nobody_lived_to_tell_of() -> None:
    """Another gateway finished it: when it was proven is told. One that was overtaken is told as that, though the
    redaction was over when it landed."""
    base = asked("c1", "o1")
    comes = replace(base, type=EntryType.MUTE_CONFIRMED, client="gateway", protected=True, exposure_ms=4_000, op="o2")
    (mute,) = of(base, comes).troubles.kept
    assert (mute.outcome, mute.proven_at is not None, mute.told) == (Outcome.CUT_OFF, True, None)
    ends = replace(base, type=EntryType.UNMUTE_CONFIRMED, op="o3", parties="none")
    lands = replace(base, type=EntryType.MUTE_OVERTAKEN, parties="none")
    assert of(base, ends, lands).mutes == {Outcome.OVERTAKEN: 1}


def test_drift_is_told_with_its_recorder_and_its_end() -> None:
    """The recorder that was resumed, not the others, and until when."""
    base = replace(asked("c1", "o1"), protected=True, exposure_ms=20, recorders=recorders(RecorderState.MUTED))
    drift = recorders(RecorderState.UNMUTED)[:1] + recorders(RecorderState.MUTED)[1:]
    found = replace(base, type=EntryType.DRIFT_FOUND, client="gateway", op="o2", protected=False, recorders=drift)
    again = replace(base, type=EntryType.MUTE_CONFIRMED, client="gateway", op="o2")
    figures = of(base, replace(base, type=EntryType.MUTE_CONFIRMED), found, again)
    (one,) = figures.drifts.kept
    assert figures.drifted_backends == {"verba_eu": 1}
    assert one.proven_at is not None
    (still,) = of(base, found).drifts.kept
    assert (still.proven_at, still.ended_at) == (None, None)


def test_controls_begin_and_end() -> None:
    """What says itself that it failed ends when it says so, or not at all; late entries tell of the store; clocks
    that differ are told with by how much."""
    tale = Tale(random=dice(2))
    tale.system(EntryType.CONFIGURATION_REFUSED)
    tale.system(EntryType.CONFIGURATION_REFUSED)
    tale.system(EntryType.CONFIGURATION_CHANGED)
    tale.system(EntryType.VERIFICATION_FAILED, count=3)
    tale.put(asked("c1", "o1"), late_ms=50_000)
    skewed = Entry(type=EntryType.KEY_ADDED, tenant="t", call_id=None, op="o", node="gw-9", node_ms=tale.at - 4_000)
    tale.raw(skewed.canonical(), at=tale.at, call=None)
    figures = counted(tale.lines())
    found = {one.kind: one for one in figures.controls.failures}
    assert set(found) == {"configuration", "verification", "store away", "clocks apart"}
    configuration, verification = found["configuration"].span, found["verification"].span
    assert configuration.end is not None
    assert configuration.begin < configuration.end < configuration.begin + 200
    assert verification.end is None
    store = found["store away"].span
    assert store.end is not None
    assert store.end - store.begin == 50_000
    assert (found["clocks apart"].name, figures.controls.skew_ms) == ("gw-9", 4_000)


WAITING = (
    EntryType.ACCESS_DENIED,
    EntryType.REQUEST_REFUSED,
    EntryType.CARD_FOUND,
    EntryType.DEVICE_LOST,
    EntryType.DEVICE_RECOVERED,
    EntryType.RECORDER_LOST,
    EntryType.RECORDER_RECOVERED,
)


@pytest.mark.parametrize("kind", [*WAITING, EntryType.KEY_ADDED], ids=str)
@pytest.mark.parametrize(
    ("late_ms", "skews"),
    [(900, (0, 900)), (2_500, (0, 2_500)), (9_000, (4_000, 9_000)), (-2_500, (2_500, 2_500))],
    ids=["at-once", "waited", "too-late", "ahead"],
)
def test_what_waits_to_be_written_is_no_clock(kind: EntryType, late_ms: int, skews: tuple[int, int]) -> None:
    """A burst of denials comes late with all clocks true; a clock that is wrong by more than the wait, or ahead, is
    found by them too."""
    tale = Tale(random=dice(2))
    entry = Entry(type=kind, tenant="gateway", call_id=None, op="o", node="gw-9", node_ms=tale.at - late_ms)
    tale.raw(entry.canonical(), at=tale.at, call=None)
    controls = counted(tale.lines()).controls
    skew = skews[kind not in WAITING]
    assert controls.skew_ms == skew
    assert ("clocks apart" in {one.kind for one in controls.failures}) is (skew > SKEW_MS)


def lost(kind: EntryType, backend: str = "", **members: Any) -> Entry:  # noqa: ANN401 -- any member of an entry
    entry = Entry(type=kind, tenant="gateway", call_id=None, op="o", node="gw-1", node_ms=0)
    away = RecorderEntry(backend=backend, state=RecorderState.UNKNOWN, error=Fault.CIRCUIT_OPEN)
    return replace(entry, recorders=(away,) if backend else (), **members)


def test_what_was_lost_and_found_is_a_failure_with_both_ends() -> None:
    """Each process' own sight of a device and of a recorder is paired, and ends with the process; what says for how
    long it was away has a begin though nobody told of it; what is no request, and no card number, is no failure."""
    figures = of(
        lost(EntryType.DEVICE_LOST, device=Device.STORE, reason="timeout-error"),
        lost(EntryType.DEVICE_LOST, device=Device.JOURNAL),
        lost(EntryType.DEVICE_LOST, device=Device.STORE, node="gw-2"),
        lost(EntryType.RECORDER_LOST, "pbx"),
        lost(EntryType.REQUEST_REFUSED, reason="invalid-request", count=40),
        lost(EntryType.CARD_FOUND, client="crm"),
        lost(EntryType.DEVICE_RECOVERED, device=Device.STORE, away_ms=10),
        lost(EntryType.RECORDER_RECOVERED, "verba_eu", away_ms=5_000),
        lost(EntryType.GATEWAY_STOPPED, node="gw-2"),
        lost(EntryType.RECORDER_LOST, "verba_eu", node="gw-3"),
    )
    found = {(one.kind, one.name): one.span for one in figures.controls.failures}
    assert set(found) == {
        ("device", "store of gw-1"),
        ("device", "journal of gw-1"),
        ("device", "store of gw-2"),
        ("recorder", "pbx"),
        ("recorder", "verba_eu"),
    }
    store, pbx = found["device", "store of gw-1"], found["recorder", "pbx"]
    assert [*store.causes, *pbx.causes] == ["timeout-error", "circuit-open"]
    assert (store.end is None, found["device", "store of gw-2"].end is None, pbx.end) == (False, False, None)
    assert found["device", "journal of gw-1"].end is None
    assert figures.first is not None
    assert found["recorder", "verba_eu"].begin < figures.first
    assert figures.access.changes.count == 0


def test_an_empty_trail_and_an_empty_time() -> None:
    """Nothing is counted, and nothing fails."""
    for figures in (counted([]), counted(some_tale(dice(3), 20).lines(), Window(since=ALWAYS))):
        assert sums(figures) == replace(Sums(), used=sums(figures).used)
        assert figures.entries == 0
        assert figures.controls.failures == []


def test_what_is_no_entry_is_counted_apart() -> None:
    """Lines that lack what every entry has, or have something else in its place."""
    good = some_tale(dice(4), 1).lines()[0]
    bad = [b"{}\n", b"no\n", b"[]\n", good.replace(b'"at":1', b'"at":-1'), good.replace(b'"type":', b'"kind":')]
    figures = counted([good, *bad])
    assert (figures.entries, figures.unreadable) == (1, len(bad))
