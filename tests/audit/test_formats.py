"""The trail in other systems' words: every entry, every form, nothing invented and nothing lost."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import orjson
import pytest
from books import some_book

from gateway.audit import row
from gateway.audit.entry import EntryType
from gateway.audit.export import Selection
from gateway.audit.formats import Format, rendered
from gateway.store.contract import TrailEntry

LINES = some_book(Random(1), entries=30).export().splitlines(keepends=True)[:-1]  # noqa: S311 -- the same every time
FAILED_ROW = TrailEntry(
    bucket=3,
    seq=4,
    at=1_700_000_000_123,
    link="ab" * 32,
    entry=orjson.dumps(
        {"actor": "a=b\\c", "call_id": "c1", "node": "n", "reason": "r", "tenant": "t", "type": "mute.failed"}
    ),
)
FAILED = row.line(FAILED_ROW)


def test_lines_are_lines() -> None:
    """`jsonl` is the line itself."""
    assert all(rendered(line, Format.JSONL) == line for line in LINES)


@pytest.mark.parametrize("form", [Format.OCSF, Format.ECS])
def test_json_forms_hold_the_whole_entry(form: Format) -> None:
    """One JSON object a line, with the entry as it is inside, and nothing empty."""
    for line in LINES:
        found = orjson.loads(rendered(line, form))
        assert found[{"ocsf": "unmapped", "ecs": "redaction_gateway"}[form]] == orjson.loads(line)
        assert b"null" not in rendered(line, form)


def test_ocsf_is_api_activity() -> None:
    """Class 6003: what was done, by whom, whether it failed; `type_uid` is class and activity."""
    found = orjson.loads(rendered(FAILED, Format.OCSF))
    assert (found["class_uid"], found["activity_id"], found["type_uid"]) == (6003, 3, 600_303)
    assert (found["status_id"], found["api"]["operation"]) == (2, "mute.failed")
    assert found["metadata"]["uid"] == "ab" * 32


def test_ecs_says_when_and_how_it_went() -> None:
    """Time by the store's clock, in UTC."""
    found = orjson.loads(rendered(FAILED, Format.ECS))
    assert found["@timestamp"] == "2023-11-14T22:13:20.123+00:00"
    assert found["event"]["outcome"] == "failure"
    assert orjson.loads(rendered(LINES[0], Format.ECS))["event"]["outcome"] == "success"


FAILURES = {
    "access.denied",
    "card.found",
    "configuration.refused",
    "control.failed",
    "device.lost",
    "drift.found",
    "mute.failed",
    "mute.overtaken",
    "recorder.lost",
    "request.refused",
    "resume.missed",
    "unmute.abandoned",
    "unmute.failed",
    "unmute.overtaken",
    "unmute.reverted",
    "verification.failed",
}  # fmt: skip -- a list of words


def test_every_type_says_how_it_went() -> None:
    """In all three forms: what failed, was refused or lost is a failure, what is about to be done is neither."""
    for kind in EntryType:
        line = row.line(replace(FAILED_ROW, entry=FAILED_ROW.entry.replace(b"mute.failed", kind.encode())))
        said = "unknown" if kind.endswith(".intended") else "failure" if kind.value in FAILURES else "success"
        assert orjson.loads(rendered(line, Format.ECS))["event"]["outcome"] == said, kind
        assert f" outcome={said} ".encode() in rendered(line, Format.CEF)
        assert orjson.loads(rendered(line, Format.OCSF))["status_id"] == ["unknown", "success", "failure"].index(said)
    assert {kind.value for kind in EntryType} >= FAILURES


def test_what_was_denied_names_its_call() -> None:
    """In the words that a call has anywhere else; who asks for one call gets that, too."""
    said = {"method": "get", "node": "n", "target": "c1", "tenant": "t", "type": "access.denied"}
    denied = TrailEntry(bucket=0, seq=4, at=5, link="ab" * 32, entry=orjson.dumps(said))
    line = row.line(denied)
    assert orjson.loads(rendered(line, Format.OCSF))["resources"] == [{"type": "call", "uid": "c1"}]
    assert {b"cs1=c1", b"act=get"} <= set(rendered(line, Format.CEF).split())
    assert [Selection(call_id=call).takes(denied) for call in ("c1", "c2")] == [True, False]
    assert row.subject(denied.entry) == b""


def test_cef_escapes_what_it_must() -> None:
    """One line; equal signs and backslashes of values are marked."""
    text = rendered(FAILED, Format.CEF).decode()
    assert text.startswith("CEF:0|redaction-gateway|redaction-gateway|")
    assert text.count("\n") == 1
    assert "suser=a\\=b\\\\c " in text
    assert "externalId=3-4" in text
    assert " cs4=" not in text
