"""Every metric of a real gateway moves when that happens which it is to show; the README tells which do not."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from contextlib import contextmanager
from os import kill
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import Process, ask, sandbox, until

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parents[2] / "README.md").read_text()
PROMISED = frozenset(
    {
        "redaction_requests_total", "redaction_request_seconds", "redaction_exposure_seconds",
        "redaction_unprotected_seconds_total", "redaction_open", "redaction_oldest_unprotected_seconds",
        "redaction_oldest_open_seconds", "redaction_drift_total", "backend_requests_total", "backend_request_seconds",
        "backend_circuit_open", "audit_entries_total", "audit_device_up", "audit_gap_entries",
        "audit_last_seal_timestamp_seconds", "auth_denied_total", "store_up", "store_request_seconds",
        "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "build_info",
    }
)  # fmt: skip


@pytest.fixture
def process() -> Iterator[Process]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    with sandbox(directory) as process:
        yield process
    shutil.rmtree(directory, ignore_errors=True)


class Watcher:
    """Asks the admin port, and remembers which metrics ever had a value."""

    def __init__(self, process: Process) -> None:
        self._url = process.said["admin_url"] + "/metrics"
        self.there: set[str] = set()
        self.moved: set[str] = set()

    def look(self) -> dict[str, float]:
        found: dict[str, float] = {}
        text = ask("GET", self._url).body.decode()
        self.there |= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
        for series, value in re.findall(r"^([a-z]\S*) (\S+)$", text, re.MULTILINE):
            name = re.sub(r"_(count|bucket|sum)$", "", series.partition("{")[0])
            found[name] = found.get(name, 0.0) + float(value)
        self.moved |= {name for name, value in found.items() if value}
        return found

    def has(self, name: str) -> bool:
        return self.look().get(name, 0.0) > 0


def told_still() -> set[str]:
    points = re.split(r"^- ", README.partition("## Limits today")[2], flags=re.MULTILINE)
    return {name for point in points if "stay at zero" in point for name in re.findall(r"`([a-z_]+)`", point)}


@contextmanager
def store_away(process: Process) -> Iterator[None]:
    """The embedded store hangs while the block runs."""
    pid = process.popen.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (store,) = [int(child) for child in children if "valkey" in Path(f"/proc/{child}/cmdline").read_text()]
    kill(store, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(store, signal.SIGCONT)


def test_every_promised_metric_is_there_and_moves_or_is_told_to_stand_still(process: Process) -> None:
    """Mutes that work, fail, are undone by others and go past the store; a stranger; a recorder that is down. Before
    all that, what is old does not outlive the redaction."""
    _the_ages_of_the_oldest_do_not_outlive_the_redaction(process)
    said, watcher = process.said, Watcher(process)
    url = f"{said['base_url']}/v1/calls/{said['call_id']}/redaction"
    genesys, verba = said["fakes"]["genesys"], said["fakes"]["verba"]
    assert ask("GET", url, key="nobody").status == 401
    assert ask("PUT", url, key=said["key"]).status == 200
    assert ask("POST", f"{genesys}/_sandbox/calls/{said['call_id']}/resume").status == 200
    until(lambda: watcher.has("redaction_drift_total"))
    assert ask("POST", f"{verba}/_sandbox/faults", body={"kind": "drop"}).status == 201
    assert ask("PUT", url, key=said["key"]).status == 504
    until(lambda: watcher.has("backend_circuit_open") and watcher.has("redaction_oldest_unprotected_seconds"))
    assert ask("DELETE", f"{verba}/_sandbox/faults").status == 200
    with store_away(process):
        assert ask("PUT", url, key=said["key"]).status in {200, 503, 504}
        until(lambda: watcher.has("audit_gap_entries"))
    until(lambda: watcher.look()["store_up"] == 1)
    still = told_still()
    until(lambda: watcher.look() != {} and watcher.moved >= PROMISED - still)
    assert {re.sub(r"_total$|_info$", "", name) for name in PROMISED} <= {
        re.sub(r"_total$|_info$", "", name) for name in watcher.there
    }
    assert PROMISED - watcher.moved == still & PROMISED


def _the_ages_of_the_oldest_do_not_outlive_the_redaction(process: Process) -> None:
    """After the unmute nothing is open, and nothing is old, at a real gateway as well."""
    said, watcher = process.said, Watcher(process)
    url = f"{said['base_url']}/v1/calls/{said['call_id']}/redaction"
    assert ask("PUT", url, key=said["key"]).status == 200
    until(lambda: watcher.has("redaction_oldest_open_seconds"))
    assert ask("DELETE", url, key=said["key"]).status == 200
    until(lambda: watcher.look()["redaction_oldest_open_seconds"] == 0)
    assert watcher.look()["redaction_open"] == 0
