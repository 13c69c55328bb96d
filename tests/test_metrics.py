"""Names, labels and values of the metrics, as the contract has them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.asks import Code
from gateway.auth.keys import Reason
from gateway.metrics import ACTIONS, BACKEND_OUTCOMES, CONTENT_TYPE, Metrics, Written
from gateway.model import Action, Device, Fault, RecorderState, Vendor
from gateway.scrape import AT_ONCE

BACKENDS = {"pbx": Vendor.VERBA, "il": Vendor.VOICENTER}

# The contract's section 5, `backend_plaintext`, which its section 3 asks for, and what more alerts need.
CONTRACT = {
    "redaction_requests_total": {"method", "outcome"},
    "redaction_request_seconds": {"method"},
    "redaction_begun_total": set(),
    "redaction_exposure_seconds": set(),
    "recorder_exposure_seconds": {"backend", "vendor"},
    "redaction_unprotected_seconds_total": {"backend"},
    "redaction_open": {"state"},
    "redaction_oldest_unprotected_seconds": set(),
    "redaction_oldest_open_seconds": set(),
    "redaction_forgotten": set(),
    "redaction_drift_total": {"backend"},
    "backend_requests_total": {"backend", "vendor", "action", "outcome"},
    "backend_request_seconds": {"backend", "action"},
    "backend_circuit_open": {"backend"},
    "backend_plaintext": {"backend"},
    "certificate_expires_timestamp_seconds": {"certificate"},
    "certificates_fresh": set(),
    "keys_expire_timestamp_seconds": set(),
    "store_plaintext": set(),
    "audit_entries_total": {"device", "outcome"},
    "audit_device_up": {"device"},
    "audit_gap_entries": set(),
    "audit_last_seal_timestamp_seconds": set(),
    "audit_verification_failed": set(),
    "card_numbers_found_total": set(),
    "configuration_valid": set(),
    "token_keys_fresh": set(),
    "auth_denied_total": {"reason"},
    "store_up": set(),
    "store_request_seconds": set(),
    "store_clock_skew_seconds": set(),
    "build_info": {"version"},
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(BACKENDS, version="1.2.3", plaintext=["il"], certificates=["listen.tls.certificate"])


def exercised(metrics: Metrics) -> Metrics:
    """Every series that can be there once."""
    metrics.request_served(method="PUT", outcome="ok", seconds=0.1)
    metrics.exposed(0.143)
    metrics.recorder_exposed("pbx", "verba", 0.1)
    metrics.entries(Device.STORE, Written.WRITTEN)
    metrics.store_request(0.001)
    metrics.certificate_expires("listen.tls.certificate", 1.0)
    with metrics.backend_request("pbx", "verba", "mute") as outcome:
        outcome.set("ok")
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.render().body.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_names_and_labels_are_exactly_those_of_the_contract(metrics: Metrics) -> None:
    """No series more, none less; histograms by their three parts."""
    found: dict[str, set[str]] = {}
    for name, labels in samples(exercised(metrics)):
        base = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)
        found.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    process = {name for name in found if name.startswith("process_")}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} <= process
    assert {name: labels for name, labels in found.items() if name not in process} == CONTRACT


def test_every_metric_has_a_text_and_a_type(metrics: Metrics) -> None:
    """What the page is for."""
    text = exercised(metrics).render().body.decode()
    for name in CONTRACT:
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} " in text
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_importing_registers_nothing() -> None:
    """Two processes' worth of metrics fit into one, and a test's end with it."""
    probe = (
        "import gateway.metrics, prometheus_client as p;"
        "print([m.name for m in p.REGISTRY.collect() if m.name.startswith(('redaction', 'backend', 'audit', 'build'))])"
    )
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
    first, second = (Metrics(BACKENDS, version=version) for version in "12")
    first.drifted("pbx")
    assert value(second, "redaction_drift_total", backend="pbx") == 0
    assert "redaction" not in str(list(REGISTRY._names_to_collectors))


def test_closed_label_sets_are_there_from_the_start(metrics: Metrics) -> None:
    """An alert on the first denial or drift needs the zero before it."""
    for backend in BACKENDS:
        for name in ("redaction_unprotected_seconds_total", "redaction_drift_total", "backend_circuit_open"):
            assert value(metrics, name, backend=backend) == 0
    assert all(value(metrics, "auth_denied_total", reason=reason) == 0 for reason in Reason)
    assert all(value(metrics, "redaction_open", state=state) == 0 for state in RecorderState)
    assert all(value(metrics, "audit_device_up", device=device) == 0 for device in Device)
    assert value(metrics, "build_info", version="1.2.3") == 1


def test_plaintext_backends_show(metrics: Metrics) -> None:
    """The operator's exception stays visible."""
    assert value(metrics, "backend_plaintext", backend="il") == 1
    assert value(metrics, "backend_plaintext", backend="pbx") == 0


def test_a_value_outside_its_set_is_refused_and_leaves_no_series(metrics: Metrics) -> None:
    """A call, a number or a person can never become a label."""
    before = samples(metrics).keys()
    with pytest.raises(ValueError, match="closed set"):
        metrics.drifted("4111111111111111")
    with pytest.raises(ValueError, match="closed set"):
        metrics.request_served(method="PUT", outcome="agent-17", seconds=1)
    with pytest.raises(ValueError, match="closed set"), metrics.backend_request("pbx", "verba", "a8343631") as outcome:
        outcome.set("ok")
    with pytest.raises(ValueError, match="closed set"), metrics.backend_request("pbx", "verba", "mute") as outcome:
        outcome.set("The call cannot be found")
    names = {name for name, _ in samples(metrics).keys() - before}
    assert {name.rpartition("_")[0] for name in names} <= {"backend_request_seconds"}


@pytest.mark.parametrize("outcome", ["ok", "pending", *Code])
def test_every_outcome_of_a_request_is_counted_and_timed(metrics: Metrics, outcome: str) -> None:
    """By its method; a method of nobody's counts as other."""
    for method, label in {"PUT": "PUT", "HEAD": "HEAD", "BREW": "other"}.items():
        metrics.request_served(method=method, outcome=outcome, seconds=0.2)
        assert value(metrics, "redaction_requests_total", method=label, outcome=str(outcome)) == 1
        assert value(metrics, "redaction_request_seconds_sum", method=label) == 0.2


@pytest.mark.parametrize("action", [*Action, "observe", "ping"])
@pytest.mark.parametrize("outcome", ["ok", *Fault])
def test_every_outcome_of_a_backend_is_counted_and_timed(metrics: Metrics, action: str, outcome: str) -> None:
    """Every action and every fault there is."""
    with metrics.backend_request("il", "voicenter", action) as said:
        said.set(outcome)
    labels = {"backend": "il", "vendor": "voicenter", "action": str(action), "outcome": str(outcome)}
    assert value(metrics, "backend_requests_total", **labels) == 1
    assert value(metrics, "backend_request_seconds_count", backend="il", action=str(action)) == 1


def test_a_backend_request_that_never_said_how_it_ended_is_abandoned(metrics: Metrics) -> None:
    """Cancelled, or broken by a mistake of ours: counted all the same, and the error goes on."""
    with pytest.raises(RuntimeError, match="ours"), metrics.backend_request("pbx", "verba", "mute"):
        raise RuntimeError("ours")
    labels = {"backend": "pbx", "vendor": "verba", "action": "mute", "outcome": "abandoned"}
    assert value(metrics, "backend_requests_total", **labels) == 1


def test_open_redactions_show_their_states_and_ages(metrics: Metrics) -> None:
    """A state that is gone goes back to zero."""
    metrics.open_redactions(
        {RecorderState.MUTED: 3, RecorderState.UNKNOWN: 1},
        oldest_open_seconds=60,
        oldest_unprotected_seconds=2.5,
        forgotten=2,
    )
    metrics.open_redactions({RecorderState.MUTED: 2}, oldest_open_seconds=61, oldest_unprotected_seconds=0, forgotten=1)
    assert value(metrics, "redaction_forgotten") == 1
    assert value(metrics, "redaction_open", state="muted") == 2
    assert value(metrics, "redaction_open", state="unknown") == 0
    assert value(metrics, "redaction_oldest_open_seconds") == 61
    assert value(metrics, "redaction_oldest_unprotected_seconds") == 0


def test_the_rest_of_the_gauges_and_counters(metrics: Metrics) -> None:
    """Each by the call that sets it."""
    metrics.unprotected("pbx", 1.5)
    metrics.unprotected("pbx", 0.5)
    metrics.drifted("il")
    metrics.circuit("pbx", is_open=True)
    metrics.entries(Device.JOURNAL, Written.HEALED, 4)
    metrics.device(Device.JOURNAL, is_up=True)
    metrics.gap(7)
    metrics.begun()
    metrics.store_clock(ahead_seconds=-1.5)
    metrics.sealed(1_800_000_000.5)
    metrics.auth_denied(reason=Reason.BAD_CRC)
    metrics.store(is_up=True)
    expected = {
        ("redaction_unprotected_seconds_total", (("backend", "pbx"),)): 2.0,
        ("redaction_drift_total", (("backend", "il"),)): 1,
        ("backend_circuit_open", (("backend", "pbx"),)): 1,
        ("audit_entries_total", (("device", "journal"), ("outcome", "healed"))): 4,
        ("audit_device_up", (("device", "journal"),)): 1,
        ("audit_gap_entries", ()): 7,
        ("redaction_begun_total", ()): 1,
        ("store_clock_skew_seconds", ()): -1.5,
        ("audit_last_seal_timestamp_seconds", ()): 1_800_000_000.5,
        ("auth_denied_total", (("reason", "bad-crc"),)): 1,
        ("store_up", ()): 1,
    }
    found = samples(metrics)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("seconds", [0.2, 2.5, 0.005, 5.0])
def test_exact_bounds_fall_into_their_bucket(metrics: Metrics, seconds: float) -> None:
    """The deadline is a bound, so "answered in time" can be read off."""
    metrics.request_served(method="PUT", outcome="ok", seconds=seconds)
    assert value(metrics, "redaction_request_seconds_bucket", method="PUT", le=str(seconds)) == 1


def test_no_series_tells_when_it_was_made(metrics: Metrics) -> None:
    """They would double the page for nothing."""
    assert "_created" not in exercised(metrics).render().body.decode()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_a_scrape_in_parts_is_the_same_page(metrics: Metrics, accept: str) -> None:
    """Thousands of series in parts of a few label sets, between which others have their turn; together they are what
    the client library writes at once."""
    for action in ACTIONS:
        for word in BACKEND_OUTCOMES:
            with metrics.backend_request("pbx", "verba", action) as outcome:
                outcome.set(word)
    turns, done = 0, False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    page = await metrics.scraped(accept)
    done = True
    await beside
    write = openmetrics.generate_latest if accept else generate_latest
    assert told(page.body) == told(write(metrics.registry))
    assert page.body.endswith(b"# EOF\n") is bool(accept)
    assert turns > len(BACKEND_OUTCOMES) * len(ACTIONS) / AT_ONCE
    assert told(metrics.render(accept).body) == told(page.body)


def told(page: bytes) -> list[bytes]:
    """All that does not change from one look to the next."""
    lines = page.splitlines()
    return sorted(line for line in lines if b"_created" not in line and b"process_" not in line)
