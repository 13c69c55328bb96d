"""bandit finds nothing in the sources that nobody has given a reason for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson

ROOT = Path(__file__).parents[2]
# Where no line has it: ruff asks for fewer reasons than bandit.
REASONS = {
    ("gateway/backends/http.py", "B405"): "types and the error only: defusedxml parses",
    ("gateway/backends/verba_answers.py", "B405"): "a type only: defusedxml has parsed",
    ("gateway/sandbox/verba.py", "B405"): "the fake only writes XML",
    ("gateway/backends/settings.py", "B106"): "the empty password of a key file, so that nobody is asked at a terminal",
    ("gateway/certificates.py", "B106"): "as above",
    ("gateway/sandbox/voipnow.py", "B105"): "the name of a scheme",
}


def findings() -> list[dict[str, object]]:
    bandit = [str(Path(sys.executable).parent / "bandit"), "-q", "-r", "gateway", "-f", "json"]
    done = subprocess.run(bandit, cwd=ROOT, capture_output=True, check=False, timeout=120)
    report = orjson.loads(done.stdout)
    assert report["errors"] == []
    assert len(report["metrics"]) > 100
    found: list[dict[str, object]] = report["results"]
    return found


def reason(finding: dict[str, object]) -> str | None:
    """Said on its line for ruff, which numbers the same weakness alike; else in the table."""
    weakness, number = str(finding["test_id"]), str(finding["test_id"]).removeprefix("B")
    said = re.search(rf"# noqa: S{number} -- (.+)$", str(finding["code"]), re.MULTILINE)
    return said[1] if said else REASONS.get((str(finding["filename"]), weakness))


def test_every_finding_has_its_reason() -> None:
    """What is found is either mended, or somebody has said why it stands; and no reason has outlived its cause."""
    found = findings()
    assert [f"{one['filename']}:{one['line_number']} {one['test_id']}" for one in found if reason(one) is None] == []
    assert {(one["filename"], one["test_id"]) for one in found} >= REASONS.keys()
