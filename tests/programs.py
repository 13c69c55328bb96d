"""Programs that no wheel brings: `tests/tools` installs them where it may."""

from __future__ import annotations

import os
import shutil

import pytest


def needed(name: str) -> str:
    """Where it is; without it a developer's run skips, and a run that has to be whole fails."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"{name} is missing: tests/tools installs it"
        pytest.skip(f"{name} is missing: tests/tools installs it where apt and root are there")
    return path
