"""The bench still runs. What it measures in so short a time says nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import environment

from bench import figures

if TYPE_CHECKING:
    from bench.figures import Goal

ROOT = Path(__file__).parents[2]


def test_the_bench_runs_from_end_to_end(tmp_path: Path) -> None:
    """A real gateway, a thin service, a vendor and a store are asked; the page has a row of each, and the picture is
    one."""
    words = [sys.executable, "-m", "bench", "--smoke", "--output", str(tmp_path)]
    ran = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode in {0, 1}, ran.stderr
    page = (tmp_path / "results.md").read_text()
    rows = re.findall(
        r"^\| (gateway|thin aiohttp \+ redis-py|vendor, direct|store, bare script) \|", page, re.MULTILINE
    )
    assert len(set(rows)) == 4
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("goal", "good", "bad"), [(figures.CPU_STOCK, 0.85, 0.86), (figures.THROUGHPUT, 0.83, 0.82)], ids=str
)
def test_a_figure_is_met_or_missed(goal: Goal, good: float, bad: float) -> None:
    """At most or at least: the median over the rounds decides, and a miss is one."""
    assert figures.Figure(goal=goal, values=(good,)).met
    assert not figures.Figure(goal=goal, values=(good, bad, bad)).met
