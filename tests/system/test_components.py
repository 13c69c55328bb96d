"""The component list that is built names what is installed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import orjson

ROOT = Path(__file__).parents[2]


def test_every_locked_package_that_runs_is_in_the_component_list(tmp_path: Path) -> None:
    """By name, version and hashes, and as a component of this project: nothing more, nothing less."""
    built = tmp_path / "list.json"
    # What the environment is made from may be newer than it: that is not what is asked here.
    make = ["make", "-o", ".venv/.dev", "sbom", f"SBOM={built}"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True, timeout=120)
    found = orjson.loads(built.read_bytes())
    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["name"] == "redaction-gateway"
    listed = {(one["name"], one["version"]): hashes(one) for one in found["components"]}
    assert listed == locked()


def hashes(component: dict[str, object]) -> set[str]:
    return set(re.findall(r"[0-9a-f]{64}", orjson.dumps(component["externalReferences"]).decode()))


def locked() -> dict[tuple[str, str], set[str]]:
    text = (ROOT / "requirements.lock").read_text()
    parts = re.findall(r"^([a-z0-9._-]+)==([^ ]+)([^#]*?)(?=^[a-z]|\Z|^ +#)", text, re.MULTILINE)
    return {(name, version): set(re.findall(r"sha256:([0-9a-f]{64})", rest)) for name, version, rest in parts}
