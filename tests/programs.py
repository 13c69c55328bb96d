"""Programs that no wheel brings: `tests/tools` gets them where it can."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

UNPACKED = Path(sys.prefix, "debian", "usr", "bin")


def needed(name: str) -> str:
    """Where it is; without it a developer's run skips, and a run that has to be whole fails."""
    path = shutil.which(name) or shutil.which(name, path=UNPACKED)
    if path is None:
        assert not os.environ.get("CI"), f"{name} is missing: tests/tools gets it"
        pytest.skip(f"{name} is missing: tests/tools gets it where there is Debian's apt-get")
    return path
