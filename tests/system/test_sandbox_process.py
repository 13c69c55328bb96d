"""The sandbox as a CRM developer meets it: one process, real sockets, every vendor's fake behind it."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import Process, Reply, ask, run, sandbox, until

from gateway.model import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def process(directory: Path) -> Iterator[Process]:
    with sandbox(directory) as process:
        yield process


def redaction(process: Process, method: str, *, call: str | None = None, body: object = None, query: str = "") -> Reply:
    said = process.said
    url = f"{said['base_url']}/v1/calls/{call or said['call_id']}/redaction{query}"
    return ask(method, url, key=said["key"], body=body)


def tapes(process: Process) -> dict[str, object]:
    """Who is silent on the demo call's tape, by vendor."""
    found = {}
    for name, origin in process.said["fakes"].items():
        (call,) = (one for one in ask("GET", f"{origin}/_sandbox/calls").json if one["call_id"] == "demo-call")
        found[name] = call["muted"]
    return found


def fault(process: Process, name: str, **plan: object) -> None:
    assert ask("POST", f"{process.said['fakes'][name]}/_sandbox/faults", body=plan).status == 201


def test_a_call_is_muted_shown_and_unmuted_at_every_vendor(process: Process, directory: Path) -> None:
    """PUT, GET, DELETE on the demo call: four vendors, silent and on again by their own tapes. Beside it, what the
    admin port has, and that nobody else gets the data."""
    assert set(process.said["fakes"]) == set(Vendor)
    assert set(tapes(process).values()) == {None}
    muted = redaction(process, "PUT", body={"extension": process.said["extension"]})
    assert (muted.status, muted.json["protected"], len(muted.json["recorders"])) == (200, True, 4)
    assert set(tapes(process).values()) == {"both"}
    shown = redaction(process, "GET")
    assert (shown.json["state"], shown.headers["ETag"]) == ("muted", f'"{shown.json["version"]}"')
    assert redaction(process, "DELETE").json["desired"] == "unmuted"
    assert set(tapes(process).values()) == {None}
    assert redaction(process, "GET").json["state"] == "unmuted"

    _probes_metrics_and_the_document_are_there(process)
    _nobody_else_gets_the_directory(process, directory)


def _probes_metrics_and_the_document_are_there(process: Process) -> None:
    """/livez, /readyz and /metrics on the admin port alone; /openapi.json on the main one, without a key."""
    base, admin = process.said["base_url"], process.said["admin_url"]
    assert (ask("GET", f"{admin}/livez").status, ask("GET", f"{admin}/readyz").status) == (200, 200)
    redaction(process, "PUT")
    metrics = ask("GET", f"{admin}/metrics").body.decode()
    assert 'redaction_requests_total{method="PUT",outcome="ok"} 2.0' in metrics
    assert ask("GET", f"{base}/openapi.json").json["openapi"] == "3.0.3"
    assert (ask("GET", f"{base}/metrics").status, ask("GET", f"{admin}/openapi.json").status) == (404, 404)
    assert ask("GET", f"{base}/v1/calls/demo-call/redaction").status == 401


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished_before_the_process_ends(process: Process, number: int) -> None:
    """Told to stop while a vendor is slow: the mute is still proven and answered 200, then the exit code is 0."""
    fault(process, "genesys", kind="late", on=["command"], delay=1.0)
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(redaction(process, "PUT", body={"backends": ["genesys"]})))
    thread.start()
    origin = process.said["fakes"]["genesys"]
    until(lambda: any(one["operation"] == "command" for one in ask("GET", f"{origin}/_sandbox/requests").json))
    assert process.stop(number) == 0
    thread.join()
    (reply,) = replies
    assert (reply.status, reply.json["protected"]) == (200, True)


def test_state_and_key_outlive_the_processes(directory: Path) -> None:
    """Gateway and store are stopped and started again: the redaction is open as before, the same key works, and
    the recorders of the new process are muted without anybody asking. That one is killed, and taken over as well."""
    with sandbox(directory) as process:
        assert redaction(process, "PUT", body={"hold": "form"}).status == 200
        until(lambda: redaction(process, "GET").json["audit"])  # in the journal at first, where the store is slow
        before = redaction(process, "GET").json
        key = process.said["key"]
        assert process.stop() == 0
    with sandbox(directory) as process:
        assert process.said["key"] == key
        after = redaction(process, "GET").json
        assert (after["desired"], after["holds"]) == ("muted", before["holds"])
        assert after["audit"]["seq"] >= before["audit"]["seq"]
        until(lambda: set(tapes(process).values()) == {"both"})
        until(lambda: redaction(process, "GET").json["protected"])
        assert redaction(process, "DELETE", query="?hold=form").status == 200
        _killed_and_taken_over(process, directory)


def _killed_and_taken_over(process: Process, directory: Path) -> None:
    """Killed with -9: the store left behind is found, nothing acknowledged is lost, the call stays muted."""
    assert redaction(process, "PUT").status == 200
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    with sandbox(directory) as next_one:
        assert redaction(next_one, "GET").json["desired"] == "muted"
        until(lambda: redaction(next_one, "GET").json["protected"])
        assert next_one.stop() == 0


def _nobody_else_gets_the_directory(process: Process, directory: Path) -> None:
    """A second sandbox on the same data is refused with 78, and the first goes on."""
    second = run("sandbox", "--json", "--directory", str(directory), cwd=directory)
    assert (second.returncode, second.stdout) == (78, "")
    assert "another gateway" in second.stderr
    assert redaction(process, "PUT").status == 200


def test_nothing_secret_reaches_standard_output_or_error(process: Process, directory: Path) -> None:
    """A vendor quotes secrets and a card number in its refusals: neither is in the log, the answers or metrics;
    the key is on standard output once, where it was asked for."""
    for name in process.said["fakes"]:
        fault(process, name, kind="leak")
    refused = redaction(process, "PUT")
    assert refused.status in {502, 503, 504}
    metrics = ask("GET", f"{process.said['admin_url']}/metrics").body
    assert process.stop() == 0
    log = (directory / "stderr").read_text()
    assert "request.served" in log
    secret = process.said["key"].split("_")[2]
    for text in (log, refused.body.decode(), metrics.decode()):
        assert "4111111111111111" not in text
        assert secret not in text
