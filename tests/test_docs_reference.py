"""What is written down of the API, the settings and the metrics is true: README and docs/ against the code."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase
from pydantic import TypeAdapter
from readme import limit, modules, table, words

from gateway import inventory
from gateway.asks import Code
from gateway.auth.scopes import Scope
from gateway.backends.registry import AnyBackendSettings
from gateway.backends.settings import BackendSettings
from gateway.metrics import Metrics
from gateway.model import Action, Parties, Vendor
from gateway.sandbox.fakes import FAKES
from gateway.web.problems import KINDS

# ── the API ──


def test_status_table_is_the_one_of_the_service() -> None:
    """Every code with its status, and no code that nothing answers with."""
    told = {(code, int(status)) for row in table("Statuses") for status in words(row[0]) for code in words(row[1])}
    kinds = KINDS.items()
    assert told == {(code.value, status) for code, kind in kinds for status in (kind.status, kind.also) if status}
    assert {code for code, _ in told} == answered()


def answered() -> set[str]:
    """The codes that some module answers with: the tables that only describe them are left out."""
    described = ("asks.py", "metrics.py", "web/openapi.py", "web/examples.py", "web/components.py")
    text = "\n".join(re.sub(r"Code\.\w+: Kind\(.*", "", body) for _, body in modules(*described))
    return {Code[name].value for name in re.findall(r"\bCode\.([A-Z_]+)", text)}


def test_scopes_are_told() -> None:
    """The scopes of the API table are the closed set."""
    assert {word for row in table("The API") for word in words(row[2])} - {"hold"} == {scope.value for scope in Scope}


async def test_vendor_table_is_what_the_backends_declare() -> None:
    """What each vendor can do is told as its backend declares it."""
    told = {}
    for vendor, parties, actions, evidence, *_ in table("Vendors"):
        told[words(vendor)[0]] = (parties == "yes", set(words(actions)), set(words(evidence)))
    real: dict[str, tuple[bool, set[str], set[str]]] = {}
    for configured in accounts():
        backend = configured.build("account")
        can = backend.capabilities
        known = real.setdefault(backend.vendor.value, (Parties.CALLER in can.parties, set(), set()))
        known[1].update(action.value for action in can.actions - {Action.MUTE, Action.UNMUTE})
        known[2].update(evidence.value for evidence in can.evidence)
        await backend.close()
    assert told == real


def accounts() -> list[AnyBackendSettings]:
    """One account at each vendor; a second at the one that can also do without proof."""
    trees = [fake().settings() for fake in FAKES]
    blind = {"vendor": "voicenter", "base_url": "https://voicenter.example", "evidence": "accepted"}
    return [TypeAdapter[AnyBackendSettings](AnyBackendSettings).validate_python(tree) for tree in [*trees, blind]]


# ── configuration ──


def settings_rows() -> list[tuple[str, ...]]:
    """The table of settings as it has to be; what every backend has stands there once."""
    shared = {*BackendSettings.model_fields, "vendor"}
    rows: dict[str, tuple[str, ...]] = {}
    for found in inventory.documented():
        section, _, leaf = found.path.rpartition(".")
        path = f"backends.<name>.{leaf}" if section.startswith("backends") and leaf in shared else found.path
        kind = " | ".join(vendor.value for vendor in Vendor) if path == "backends.<name>.vendor" else found.type
        default = found.default if found.default in {"none", "required"} else f"`{found.default}`"
        cells = (f"`{path}`", kind, default, found.doc)
        rows.setdefault(path, tuple(cell.replace("|", "\\|") for cell in cells))
    return list(rows.values())


def test_settings_table_is_the_one_of_the_models() -> None:
    """Every setting with its type, default and meaning, as the models have it."""
    rows = settings_rows()
    assert table("Settings") == rows, "the table has to be:\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_settings_without_effect_are_told() -> None:
    """A setting that the limits call without effect is read by no module; one that begins to work drops out."""
    told = words(limit("without effect"))
    assert set(told) <= {found.path for found in inventory.documented()}
    readers = "\n".join(text for _, text in modules("settings.py", "rules.py", "inventory.py"))
    assert [path for path in told if re.search(rf"\.{path.rpartition('.')[2]}\b", readers)] == []


# ── metrics ──


def metric_families() -> dict[str, tuple[str, ...]]:
    """Every metric of the gateway's own with its labels, as the registry has them."""
    registry = Metrics({"pbx": Vendor.VOIPNOW}, version="1").registry
    found = {}
    for collector, names in registry._collector_to_names.items():
        if isinstance(collector, MetricWrapperBase):
            name = next((name for name in names if name.endswith(("_total", "_info"))), names[0])
            found[name] = tuple(collector._labelnames)
    return found


def test_metrics_table_is_the_one_of_the_registry() -> None:
    """Every metric with its labels, and no other."""
    told = {}
    for row in table("Metrics"):
        name, _, labels = words(row[0])[0].rstrip("}").partition("{")
        told[name] = tuple(labels.split(",")) if labels else ()
    assert told.pop("process_*") == ()
    assert told.pop("build_info") == ()
    real = metric_families()
    assert real.pop("build_info", ()) == ()
    assert told == real


def test_metrics_that_stay_at_zero_are_told() -> None:
    """A metric that the limits call still is set by no module; one that begins to move drops out."""
    told = set(words(limit("stay at zero")))
    moved_by = {
        "audit_device_up": "device",
        "audit_gap_entries": "gap",
        "audit_last_seal_timestamp_seconds": "sealed",
        "backend_circuit_open": "circuit",
        "redaction_oldest_open_seconds": "open_redactions",
        "redaction_forgotten": "open_redactions",
        "redaction_oldest_unprotected_seconds": "open_redactions",
        "redaction_open": "open_redactions",
        "redaction_unprotected_seconds_total": "unprotected",
        "store_request_seconds": "store_request",
    }
    callers = "\n".join(text for _, text in modules("metrics.py"))
    still = {name for name, method in moved_by.items() if not re.search(rf"metrics\.{method}\(", callers)}
    assert told == still
