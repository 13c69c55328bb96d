"""Both forms of the description pass the linter that the project pins (redocly.yaml), without a warning."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = ROOT / "node_modules" / ".bin" / "redocly"
INSTALLED = ROOT / "node_modules" / ".package-lock.json"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


@pytest.fixture(scope="module")
def linter() -> Path:
    """Installed from the lock when it is not there yet, or an older one is."""
    reason = _missing()
    if reason:
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return LINTER


def _missing() -> str:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "node and npm are missing"
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= (ROOT / "package-lock.json").stat().st_mtime:
        return ""
    ran = subprocess.run([npm, "ci"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return "" if ran.returncode == 0 else f"npm cannot install the linter: {ran.stderr[-500:]}"


def lint(linter: Path, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [linter, "lint", "--config", ROOT / "redocly.yaml", file],
        cwd=ROOT,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["openapi.json", "docs/openapi-2.0.json"])
def test_both_forms_are_clean(linter: Path, name: str) -> None:
    """Not one finding, warnings are errors."""
    ran = lint(linter, ROOT / name)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{name}: validated" in ran.stderr


@pytest.mark.parametrize("name", ["openapi.json", "docs/openapi-2.0.json"])
def test_the_linter_finds_what_is_wrong(linter: Path, name: str, tmp_path: Path) -> None:
    """In either form: an operation without its summary and with a response that refers to nothing."""
    document = json.loads((ROOT / name).read_text())
    mute = document["paths"]["/v1/calls/{call_id}/redaction"]["put"]
    del mute["summary"]
    mute["responses"]["200"] = {"$ref": "#/nowhere"}
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(document))
    ran = lint(linter, file)
    assert ran.returncode == 1
    for rule in ("operation-summary", "no-unresolved-refs"):
        assert rule in ran.stdout + ran.stderr


def test_the_lock_names_no_host() -> None:
    """It is installed from wherever the user's npm gets its packages."""
    lock = (ROOT / "package-lock.json").read_text()
    assert "://" not in lock
    assert '"integrity": "sha512-' in lock
