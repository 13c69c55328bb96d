"""What is counted of a step from one state of a redaction to the next."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway import exposure
from gateway.evidence import Policy
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

POLICY = Policy(reassert_ms=5_000, deadline_ms=2_500)
NOW = 1_795_251_600_000
VENDORS = {"pbx": Vendor.VOIPNOW, "verba": Vendor.VERBA}
SILENT = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=NOW + 400)


def redaction(*proven: str, exposure_ms: int | None = None) -> Redaction:
    """Both recorders, of which these are proven 0.4 s after they were asked for."""
    hold = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
    recorders = (
        Recorder(backend=name, vendor=vendor, target=Target(call_id="c1"), seen=SILENT if name in proven else None)
        for name, vendor in VENDORS.items()
    )
    return Redaction(
        key=CallKey(tenant="acme", call_id="c1"),
        holds=(hold,),
        recorders=tuple(recorders),
        requested_at=NOW,
        exposure_ms=exposure_ms,
        void=False,
    )


def counted(*steps: Redaction, first: bool = True) -> dict[str, float]:
    """From each to the next; `first`: the first step is the request that began it."""
    metrics = Metrics(VENDORS, version="1")
    for number, (before, after) in enumerate(itertools.pairwise(steps)):
        exposure.count(metrics, before, after, first=first and number == 0, now=NOW + 500, policy=POLICY)
    names = ("redaction_begun_total", "redaction_exposure_seconds_count", "redaction_exposure_seconds_sum")
    found = {name: metrics.registry.get_sample_value(name) or 0.0 for name in names}
    for name, vendor in VENDORS.items():
        for part in ("count", "sum"):
            labels = {"backend": name, "vendor": vendor.value}
            value = metrics.registry.get_sample_value(f"recorder_exposure_seconds_{part}", labels)
            found[f"{name}_{part}"] = value or 0.0
    return found


def test_a_mute_that_works_is_counted_whole() -> None:
    """Begun, exposed, and each recorder with its own time."""
    found = counted(redaction(), redaction("pbx", "verba", exposure_ms=450))
    assert found == pytest.approx(
        {
            "redaction_begun_total": 1,
            "redaction_exposure_seconds_count": 1,
            "redaction_exposure_seconds_sum": 0.45,
            "pbx_count": 1,
            "pbx_sum": 0.4,
            "verba_count": 1,
            "verba_sum": 0.4,
        }
    )


def test_a_recorder_is_counted_when_it_is_proven_first() -> None:
    """Not again while the others take longer, and not after the exposure has ended."""
    both = redaction("pbx", "verba", exposure_ms=450)
    found = counted(redaction(), redaction("pbx"), redaction("pbx"), both, both)
    assert (found["pbx_count"], found["verba_count"], found["redaction_exposure_seconds_count"]) == (1, 1, 1)


def test_what_is_never_protected_is_begun_all_the_same() -> None:
    """Once, however often it is tried."""
    found = counted(redaction(), redaction("pbx"), redaction("pbx"))
    assert (found["redaction_begun_total"], found["redaction_exposure_seconds_count"]) == (1, 0)


def test_a_call_that_nobody_has_is_not_begun() -> None:
    """It was closed: nothing is recorded."""
    assert counted(redaction(), replace(redaction(), holds=()))["redaction_begun_total"] == 0


def waiting(one: Redaction, *, waits: bool) -> Redaction:
    """Asked for the next call; it has come unless it `waits`."""
    status = (CallStatus.NEXT,) if waits else (CallStatus.ONGOING,)
    target = Target(extension="8856", call_status=status)
    return replace(one, recorders=tuple(replace(r, target=target, asked_at=NOW) for r in one.recorders))


def test_what_waits_for_its_call_is_neither() -> None:
    """When somebody calls says nothing of any recorder."""
    asked, came = waiting(redaction(), waits=True), waiting(redaction(), waits=False)
    proven = waiting(redaction("pbx", "verba", exposure_ms=40_000), waits=False)
    assert {*counted(asked, asked, came, proven).values()} == {0}


def test_a_mute_that_found_a_call_though_the_next_would_do_is_counted() -> None:
    """It did not wait."""
    proven = waiting(redaction("pbx", "verba", exposure_ms=450), waits=False)
    found = counted(waiting(redaction(), waits=True), proven)
    assert (found["redaction_begun_total"], found["redaction_exposure_seconds_count"]) == (1, 1)
