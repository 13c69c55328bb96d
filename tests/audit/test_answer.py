"""An answer beside its entry: what contradicts it, what agrees, and what an entry cannot vouch for."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.audit.answer import compared

ENTRY: dict[str, Any] = {
    "type": "mute.confirmed",
    "call_id": "call-1",
    "parties": "both",
    "protected": True,
    "exposure_ms": 40,
    "version": 3,
    "recorders": [
        {"backend": "pbx", "state": "muted", "parties": "both", "evidence": "readback"},
        {"backend": "verba", "state": "ended", "error": "no-such-call"},
    ],
}
PBX = {"backend": "pbx", "state": "muted", "parties": "both", "evidence": "readback", "error": None}
VERBA = {"backend": "verba", "state": "ended", "parties": None, "evidence": None, "error": "no-such-call"}
ANSWER: dict[str, Any] = {
    "call_id": "call-1",
    "protected": True,
    "desired": "muted",
    "state": "muted",
    "parties": "both",
    "recorders": [PBX, VERBA],
    "exposure_ms": 40,
    "version": 3,
    "holds": [],
}


def wrong(answer: dict[str, Any], **entry: Any) -> list[str]:  # noqa: ANN401 -- whatever an entry holds
    known = {name: value for name, value in {**ENTRY, **entry}.items() if value is not None}
    return [one.partition(":")[0] for one in compared(answer, known).wrong]


def test_the_same_is_the_same() -> None:
    """Nothing contradicts; what no entry has is named."""
    found = compared(ANSWER, ENTRY)
    assert found.wrong == []
    assert {"call_id", "version", "exposure_ms", "parties", "desired", "recorders", "protected"} <= {*found.same}
    assert {"pbx.state", "pbx.parties", "pbx.evidence", "pbx.error", "verba.error"} <= {*found.same}
    assert found.unsaid == ["holds", "vendor", "observed_at"]
    assert compared({}, ENTRY).wrong == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("call_id", "call-2", "call_id"),
        ("version", 2, "version"),
        ("version", True, "version"),
        ("version", "3", "version"),
        ("exposure_ms", 1, "exposure_ms"),
        ("exposure_ms", None, "exposure_ms"),
        ("parties", "caller", "parties"),
        ("desired", "unmuted", "desired"),
        ("state", "unmuted", "state"),
        ("protected", "yes", "protected"),
        ("recorders", [PBX], "recorders"),
        ("recorders", [PBX, VERBA, {**PBX, "backend": "other"}], "recorders"),
        ("recorders", [PBX, VERBA, {**PBX, "backend": "other", "outcome": "done"}], "recorders"),
        ("recorders", [PBX, PBX, VERBA], None),
        ("recorders", [], "recorders"),
        ("recorders", "none", "recorders"),
        ("recorders", [{**PBX, "state": "unmuted"}, VERBA], "pbx.state"),
        ("recorders", [{**PBX, "parties": None}, VERBA], "pbx.parties"),
        ("recorders", [{**PBX, "evidence": "answer"}, VERBA], "pbx.evidence"),
        ("recorders", [{**PBX, "error": "timeout"}, VERBA], "pbx.error"),
        ("recorders", [PBX, {**VERBA, "state": "muted"}], "verba.state"),
    ],
)
def test_each_edit_is_found(name: str, value: object, said: str | None) -> None:
    """One member of the answer is another; the same recorder twice says nothing else."""
    found = wrong({**ANSWER, name: value})
    assert (said in found) if said else not found


def test_nobody_is_protected_against_the_entry() -> None:
    """Not while an order is under way, at a recorder not proven, or when nobody is wanted silent. Otherwise evidence
    may have grown old since, or come, and the entry does not vouch for either."""
    failed = [{**ENTRY["recorders"][0], "error": "timeout"}]
    said = {**ANSWER, "recorders": [{**PBX, "error": "timeout"}]}
    assert wrong(said, recorders=failed, protected=False) == ["protected"]
    assert wrong(ANSWER, order="resume", protected=False) == ["protected"]
    nobody = {**ANSWER, "parties": None, "desired": "unmuted"}
    assert wrong(nobody, parties="none", protected=False) == ["protected"]
    for said_, known in ((True, False), (False, True)):
        found = compared({**ANSWER, "protected": said_}, {**ENTRY, "protected": known})
        assert not found.wrong
        assert any(one.startswith("protected") for one in found.unsaid)


def test_a_newer_answer_has_only_what_stays() -> None:
    """The call, and how long it was exposed; what the rest was at that version no entry says. An entry that came late
    or that has no version vouches for the call alone."""
    newer = {**ANSWER, "version": 4, "protected": False, "recorders": [], "state": "unknown"}
    found = compared(newer, ENTRY)
    assert found.wrong == []
    assert "version 4, which is newer than the entry's 3" in found.unsaid
    assert {"recorders", "protected"} <= {*found.unsaid}
    assert wrong({**newer, "exposure_ms": 1}) == ["exposure_ms"]
    assert wrong({**newer, "call_id": "x"}, healed=True) == ["call_id"]
    assert wrong({**newer, "version": 1, "exposure_ms": 1}, healed=True) == []
    assert wrong({**newer, "version": 1, "exposure_ms": 1}, version=None) == []
    assert wrong({**newer, "exposure_ms": 7}, exposure_ms=None) == []


def test_a_command_for_another_call_is_shown_beside() -> None:
    """Only in the answer to a one-shot command, and only whom it was for."""
    other = {**PBX, "backend": "other", "state": "unmuted", "action": "stop", "outcome": "done"}
    told = {**ANSWER, "recorders": [{**PBX, "state": "unmuted", "outcome": "done"}, VERBA, other], "state": "mixed"}
    found = compared(told, {**ENTRY, "type": "control.confirmed"})
    assert found.wrong == []
    assert "pbx, as the command left it" in found.unsaid
    assert "recorders" in wrong(told)
    left = compared({**ANSWER, "recorders": []}, {**ENTRY, "protected": False, "type": "mute.failed"})
    assert "recorders" in left.unsaid
