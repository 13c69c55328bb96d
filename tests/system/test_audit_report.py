"""The report as an operator gets it, from real processes: of the store, an export and an archive, whole and not."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml
from processes import ask, run, sandbox

from gateway.cli.main import main

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from processes import Process


@pytest.fixture
def directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def configured(directory: Path, key: str = "") -> None:
    """What the sandbox of this directory runs with, as far as the trail and its one client go."""
    data = directory / "data"
    own = orjson.loads((data / "sandbox.json").read_bytes()) if data.exists() else {}
    client = {"tenant": "demo", "scopes": ["redaction:mute"], "keys": [{"kid": key, "hash": "0" * 64}] if key else []}
    tree = {
        "environment": "development",
        "store": {"directory": str(data)},
        "audit": {name: own[name] for name in ("hmac_key", "signing_key") if name in own},
        "backends": {"pbx": {"vendor": "voicenter", "base_url": "http://127.0.0.1:9/api", "evidence": "accepted"}},
        "routes": [{"backends": ["pbx"]}],
        "clients": {"demo": client},
    }
    (directory / "gateway.yaml").write_text(yaml.safe_dump(tree))


def audit(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run("audit", *words, "--config", str(directory / "gateway.yaml"), cwd=directory)


def request(process: Process, method: str, call_id: str, trigger: str | None = None) -> int:
    url = f"{process.said['base_url']}/v1/calls/{call_id}/redaction"
    body = {"trigger": trigger} if trigger else None
    return ask(method, url, key=process.said["key"], body=body).status


def told(page: str, what: str) -> str:
    """The figure beside its name, in the summary or in the first cell of a row."""
    found = re.search(rf"<(?:dt|th)>{re.escape(what)}(?:<br>.*?)?</(?:dt|th)><(?:dd|td)[^>]*>(.*?)</(?:dd|td)>", page)
    assert found, what
    return found[1]


def test_a_report_from_the_call_to_the_assessor(directory: Path) -> None:
    """Of the store while the gateway runs, of its export and of its archive: the same calls; the key that was used;
    the pages name no other place; only the owner may read them. Of an export that was meddled with it is written all
    the same: it counts what nothing was found for, says what is wrong, and exits 1."""
    with sandbox(directory / "data") as process:
        key = process.said["key"].split("_")[1]
        configured(directory, key)
        assert request(process, "PUT", "demo-call", "automated") == 200
        assert request(process, "PUT", "demo-call", "manual") == 200
        assert request(process, "DELETE", "demo-call") == 200
        assert request(process, "PUT", "no-such-call") == 404
        live = audit(directory, "report")
        assert live.returncode == 0, live.stderr
        assert audit(directory, "archive", str(directory / "archive")).returncode == 0
        assert process.stop() == 0
    assert audit(directory, "export", "--output", str(directory / "trail.jsonl")).returncode == 0
    pages = {"the store": live.stdout}
    for name in ("trail.jsonl", "archive"):
        paper = directory / f"{name}.html"
        done = audit(directory, "report", str(directory / name), "--output", str(paper), "--from", "2020-01-01")
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert stat.S_IMODE(paper.stat().st_mode) == 0o600
        pages[name] = paper.read_text()
    for name, page in pages.items():
        assert f"From {name}, made " in page
        assert "trail verified" in page
        assert told(page, "mutes that were asked for") == "3"
        assert [told(page, word) for word in ("proven", "no such call", "automated", "manual")] == ["2", "1", "1", "1"]
        assert f"<code>{key}</code>" in page
        assert "no-such-call" in page
        assert "://" not in page
    not_whole(directory)


def not_whole(directory: Path) -> None:
    file = directory / "trail.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"protected":true', b'"protected":null', 1))
    done = audit(directory, "report", str(file))
    assert done.returncode == 1
    assert "trail NOT whole" in done.stdout
    assert "edited: " in done.stdout
    assert [told(done.stdout, word) for word in ("proven", "no outcome")] == ["1", "1"]
    assert audit(directory, "report", str(directory / "none")).returncode == 2


def test_there_is_no_trail(directory: Path) -> None:
    """A directory without a store is said to be one, and no file is left."""
    configured(directory)
    done = audit(directory, "report", "--output", str(directory / "page.html"))
    assert done.returncode == 1
    assert "no trail" in done.stderr
    assert not list(directory.glob("page*"))


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the extra the command says what to install, and nothing else is done."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["audit", "report", "--config", os.devnull]) == 78
    assert capsys.readouterr().err == "matplotlib missing: install redaction-gateway[report]\n"
