"""What an operator and an auditor do with the trail, with real processes: while the gateway runs and when it does
not, and what becomes of it when somebody meddles."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from processes import ask, run, sandbox

from gateway.audit.answer import compared

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from processes import Process

KEYS = {name: base64.b64encode(os.urandom(32)).decode() for name in ("hmac_key", "signing_key")}


@pytest.fixture
def directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def configured(directory: Path, **audit: object) -> str:
    """What the sandbox of this directory runs with, as far as the trail goes, unless other keys are given."""
    file, own = directory / "gateway.yaml", directory / "data" / "sandbox.json"
    if not audit and own.exists():
        audit = {name: orjson.loads(own.read_bytes())[name] for name in KEYS}
    tree = {
        "environment": "development",
        "store": {"directory": str(directory / "data")},
        "audit": audit,
        "backends": {"pbx": {"vendor": "voicenter", "base_url": "http://127.0.0.1:9/api", "evidence": "accepted"}},
        "routes": [{"backends": ["pbx"]}],
    }
    file.write_text(yaml.safe_dump(tree))
    return str(file)


def audit(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run("audit", *words, "--config", str(directory / "gateway.yaml"), cwd=directory)


def entries(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def mute(process: Process, call_id: str = "demo-call") -> Mapping[str, Any]:
    url = f"{process.said['base_url']}/v1/calls/{call_id}/redaction"
    reply = ask("PUT", url, key=process.said["key"], body={})
    found: dict[str, Any] = reply.json.get("redaction", reply.json)
    return found


def held_against_the_journal(directory: Path, file: Path) -> None:
    """The journal is whole, and what it says the store took is in the export and in the store; a line that was changed
    in it is found."""
    journal = directory / "data" / "journal"
    kept = audit(directory, "verify", str(journal))
    assert kept.stdout.startswith("whole: a journal of "), kept.stdout
    assert kept.returncode == 0
    for words in ((str(file),), ()):
        for place in (journal, journal.parent):
            union = audit(directory, "verify", *words, "--journal", str(place))
            assert union.returncode == 0, union.stdout
            assert "note: the journals know the place of " in union.stdout
    (line, *_) = sorted(journal.glob("*.jsonl"))
    was = line.read_bytes()
    line.write_bytes(was.replace(b"demo-call-2", b"demo-call-3", 1))
    assert audit(directory, "verify", str(line)).returncode == 1
    assert audit(directory, "verify", str(file), "--journal", str(journal)).returncode == 1
    line.write_bytes(was)


def test_a_trail_from_the_call_to_the_auditor(directory: Path) -> None:
    """Exported while the gateway runs and after it has ended: the same entries, whole; each answer's `audit` is
    proven; a byte changed, a line less and a missing end are found; a log that is none of ours is said to be none."""
    with sandbox(directory / "data") as process:
        configured(directory)
        answer = mute(process)
        for _ in range(10):  # a store that is slow at the start leaves the entry to the journal
            answer = answer if answer["audit"] else mute(process)
        mute(process, "demo-call-2")
        live = audit(directory, "export")
        assert live.returncode == 0, live.stderr
        assert audit(directory, "verify").returncode == 0
        assert process.stop() == 0
    *lines, last = entries(live.stdout)
    assert {"bucket", "seq", "hash", "call_id", "type", "client"} <= set.intersection(
        *(set(line) for line in lines if "call_id" in line and "client" in line)
    )
    assert last["type"] == "export.ended"
    assert len(last["heads"]) == 64
    assert any(line["type"] == "trail.exported" and line["client"] == "operator" for line in lines)

    file = directory / "trail.jsonl"
    ended = audit(directory, "export", "--output", str(file))
    assert ended.returncode == 0, ended.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {(one["bucket"], one["seq"], one["hash"]) for one in lines} <= {
        (one["bucket"], one["seq"], one["hash"]) for one in entries(file.read_text())[:-1]
    }
    whole = audit(directory, "verify", str(file), "--log", str(directory / "data" / "stderr"))
    assert whole.returncode == 0, whole.stdout
    assert whole.stdout.startswith("whole: ")
    assert "note: the log has no checkpoint: it is no gateway's log in JSON" in whole.stdout

    held_against_the_journal(directory, file)
    paper = directory / "answer.json"
    paper.write_bytes(orjson.dumps({"audit": answer["audit"]}))
    for words in ((str(paper), str(file)), (str(paper),)):
        proof = audit(directory, "prove", *words)
        assert proof.returncode == 0, proof.stdout
        assert "proven: " in proof.stdout
        assert answer["audit"]["hash"] in proof.stdout

    data = file.read_bytes()
    rows = data.splitlines(keepends=True)
    for wrong in (data.replace(b'"protected":true', b'"protected":false', 1), b"".join(rows[1:]), b"".join(rows[:-1])):
        file.write_bytes(wrong)
        found = audit(directory, "verify", str(file))
        assert found.returncode == 1
        assert found.stdout.startswith("WRONG: ")
    assert audit(directory, "verify", str(directory / "none")).returncode == 2
    assert not list(directory.glob("*.part"))


def test_selections_and_forms(directory: Path) -> None:
    """By call, tenant and time: only these, and verified; in the forms of others: one line for each entry."""
    with sandbox(directory / "data") as process:
        configured(directory)
        mute(process)
        mute(process, "demo-call-2")
        process.stop()
    file = directory / "some.jsonl"
    for words, expected in (
        (("--call", "demo-call"), {"demo-call"}),
        (("--tenant", "nobody"), set()),
        (("--until", "2020-01-01"), set()),
        (("--since", "2020-01-01T00:00:00+02:00", "--call", "demo-call-2"), {"demo-call-2"}),
    ):
        done = audit(directory, "export", "--output", str(file), *words)
        assert done.returncode == 0, done.stderr
        assert {one["call_id"] for one in entries(file.read_text())[:-1]} == expected
        assert audit(directory, "verify", str(file)).returncode == 0
    whole = audit(directory, "export")
    for form in ("ocsf", "ecs", "cef"):
        other = audit(directory, "export", "--format", form)
        assert other.stdout.count("\n") == whole.stdout.count("\n") - 1
    assert audit(directory, "export", "--since", "yesterday").returncode == 2
    paper = directory / "answer.json"
    paper.write_text('{"audit": {"bucket": 1, "seq": 1, "hash": "x"}}')
    assert audit(directory, "prove", str(paper), str(file)).returncode == 1
    paper.write_text("{}")
    assert audit(directory, "prove", str(paper)).returncode == 2
    assert audit(directory, "prove", str(directory / "none")).returncode == 2


def test_an_archive_and_what_is_old(directory: Path) -> None:
    """The archive is whole and grows; a broken one is refused; trimming is for a gateway that runs, and takes
    nothing that is young."""
    archive = str(directory / "archive")
    with sandbox(directory / "data") as process:
        configured(directory)
        mute(process)
        first = audit(directory, "archive", archive)
        for number in range(60):  # until what is new is sealed
            if "with segment 2 " in first.stdout:
                break
            mute(process, f"demo-call-{1 + number % 2}")
            first = audit(directory, "archive", archive)
        assert first.returncode == 0, first.stderr
        pin = first.stdout.split("--pin ")[1].strip()
        trimmed = audit(directory, "archive", archive, "--trim")
        assert trimmed.returncode == 0, trimmed.stderr
        assert "0 entries taken away" in trimmed.stdout
        process.stop()
    assert audit(directory, "archive", archive, "--trim").returncode == 2
    assert audit(directory, "archive", archive).returncode == 0
    for words in ((), ("--pin", pin), ("--journal", str(directory / "data" / "journal"))):
        checked = audit(directory, "verify", archive, *words)
        assert checked.returncode == 0, (words, checked.stdout)
    assert audit(directory, "verify", archive, "--pin", "0" * 64).returncode == 1
    (directory / "archive" / "00000001.entries.jsonl.gz").write_bytes(b"")
    assert audit(directory, "verify", archive).returncode == 1
    (directory / "archive" / "00000001.manifest.json").write_bytes(b"{}")
    assert audit(directory, "archive", archive).returncode == 1


def answers_of(process: Process) -> list[Mapping[str, Any]]:
    """Of every method, in an order in which each finds something."""
    url = f"{process.said['base_url']}/v1/calls/demo-call/redaction"
    asked: list[tuple[str, str, Any]] = [
        ("PUT", "", {}),
        ("PUT", "", {"hold": "other", "parties": "both"}),
        ("GET", "", None),
        ("GET", "?refresh=true", None),
        ("GET", "?include=audit", None),
        ("POST", "", {"action": "mute"}),
        ("POST", "", {"action": "keep"}),
        ("GET", "", None),
        ("DELETE", "?hold=other", None),
        ("DELETE", "", None),
        ("DELETE", "", None),
        ("GET", "", None),
        ("POST", "", {"action": "stop"}),
        ("POST", "", {"action": "start"}),
        ("POST", "", {"action": "mute"}),
        ("POST", "", {"action": "unmute"}),
        ("GET", "?refresh=true", None),
    ]
    replies = [ask(method, url + query, key=process.said["key"], body=body).json for method, query, body in asked]
    return [found for one in replies if (found := one.get("redaction") or one).get("audit")]


def test_an_answer_is_what_its_entry_says(directory: Path) -> None:
    """Real answers of every method agree with their entries. One is proven by an archive, also one that ends after it;
    one that was edited is not, nor is any by an archive that ends before or that somebody has changed."""
    archive, empty, paper = directory / "archive", directory / "empty", directory / "answer.json"
    empty.mkdir()
    with sandbox(directory / "data") as process:
        configured(directory)
        answers = answers_of(process)
        place = [(one["audit"]["bucket"], one["audit"]["seq"]) for one in answers]
        proof = audit(directory, "archive", str(archive))
        paper.write_bytes(orjson.dumps(answers[0]))
        for _ in range(60):
            if (proof := audit(directory, "prove", str(paper), str(archive))).returncode == 0:
                break
            mute(process)  # until what is new is sealed
            audit(directory, "archive", str(archive))
        assert proof.returncode == 0, proof.stdout + proof.stderr
        export = audit(directory, "export")
        process.stop()
    assert len(answers) > 12
    there = {(one["bucket"], one["seq"]): one for one in entries(export.stdout)[:-1]}
    for answer, at in zip(answers, place, strict=True):
        found = compared(answer, there[at])
        assert found.wrong == [], (answer, there[at])
        assert "call_id" in found.same
    (line,) = (line for line in proof.stdout.splitlines() if line.startswith("the entry says so, too: "))
    assert {"call_id", "version", "exposure_ms", "protected", "recorders"} <= {*line.partition(": ")[2].split(", ")}
    edits: list[tuple[dict[str, Any], Path, str]] = [
        ({"call_id": "demo-call-2"}, archive, 'call_id: the answer says "demo-call-2", the entry "demo-call"'),
        ({"exposure_ms": 0}, archive, "exposure_ms: "),
        ({"audit": {**answers[0]["audit"], "seq": 10**6}}, archive, "is not in this archive"),
        ({"audit": {**answers[0]["audit"], "hash": "0" * 64}}, archive, "is another entry"),
    ]
    for change, file, said in edits:
        paper.write_bytes(orjson.dumps({**answers[0], **change}))
        wrong = audit(directory, "prove", str(paper), str(file))
        assert wrong.returncode == 1, wrong.stdout
        assert "NOT PROVEN" in wrong.stdout
        assert said in wrong.stdout
    paper.write_bytes(orjson.dumps(answers[0]))
    assert audit(directory, "prove", str(paper), str(empty)).returncode == 2
    (archive / "00000001.entries.jsonl.gz").write_bytes(b"")
    assert audit(directory, "prove", str(paper), str(archive)).returncode == 1


def test_another_key_verifies_nothing(directory: Path) -> None:
    """With keys that are not the trail's every entry and every signature is wrong; `keys` names what there is."""
    with sandbox(directory / "data") as process:
        configured(directory)
        mute(process)
        process.stop()
    file = directory / "trail.jsonl"
    assert audit(directory, "export", "--output", str(file)).returncode == 0
    listed = audit(directory, "keys").stdout.splitlines()
    old = listed[-1].split()[-1]
    used = orjson.loads((directory / "data" / "sandbox.json").read_bytes())["hmac_key"]
    configured(directory, **KEYS, old_hmac_keys=[used], old_public_keys=[old])
    assert audit(directory, "verify", str(file)).returncode == 0
    assert [line.split()[0] for line in audit(directory, "keys").stdout.splitlines()] == [
        "setting",
        "hmac_key",
        "old_hmac_keys",
        "signing_key",
        "old_public_keys",
    ]
    configured(directory, **KEYS)
    wrong = audit(directory, "verify", str(file))
    assert wrong.returncode == 1
    assert "signature: " in wrong.stdout
    assert "edited: " in wrong.stdout


def test_there_is_no_trail(directory: Path) -> None:
    """A directory without a store is said to be one, and stays as it is."""
    configured(directory)
    for words in (("export",), ("verify",), ("archive", str(directory / "a"))):
        done = audit(directory, *words)
        assert done.returncode == 1
        assert "no trail" in done.stderr
    assert not (directory / "data").exists()


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("export", "--output"), "none/x"),
        (("export", "--output"), "."),
        (("report", "--output"), "none/x"),
        (("rebuild", "--output"), "none/x"),
        (("archive",), "gateway.yaml/x"),
        (("archive",), "gateway.yaml"),
    ],
    ids=["export", "export-directory", "report", "rebuild", "archive", "archive-file"],
)
def test_a_place_that_cannot_be_written_is_said_in_one_line(
    directory: Path, words: tuple[str, ...], place: str
) -> None:
    """Exit code 2, before anything is read: no store is started, and nothing is left behind."""
    configured(directory)
    done = audit(directory, *words, str(directory / place))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{directory / place}: cannot be written: ")
    assert [path.name for path in directory.iterdir()] == ["gateway.yaml"]


def test_what_cannot_be_meant_is_a_usage_error(directory: Path) -> None:
    """A time that ends before it begins, a pin for what is no archive or that is no hash, a journal held against itself
    or beside a selection, a place without one, an export out of a pipe."""
    configured(directory)
    wrong = audit(directory, "export", "--since", "2026-11-02", "--until", "2026-10-31")
    assert (wrong.returncode, wrong.stderr) == (2, "--since must be before --until\n")
    journal = directory / "journal"
    journal.mkdir()
    (journal / "0-0000000000000001.jsonl").touch()
    (directory / "trail.jsonl").touch()
    os.mkfifo(directory / "pipe")
    (directory / "empty").mkdir()
    for words in (
        (str(directory / "pipe"),),
        ("--pin", "0" * 64),
        (str(journal), "--pin", "0" * 64),
        (str(directory), "--pin", "x"),
        (str(journal), "--journal", str(journal)),
        ("--journal", str(directory / "none")),
        ("--journal", str(directory / "empty")),
        ("--journal", str(directory / "trail.jsonl")),
    ):
        assert audit(directory, "verify", *words).returncode == 2, words
    assert audit(directory, "verify", "--journal", "empty").stderr == "empty: no journal there\n"
