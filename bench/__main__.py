"""`python -m bench [--quick | --smoke] [--output DIR]`: measures, writes results.md and results.png. Exit status 1 when
a figure misses what it must be."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import cores, field, figures, plan, servers, table
from bench.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figures import Figure
    from bench.plan import Plan

MEMORY = Path("/dev/shm")  # noqa: S108 -- in a directory of our own below it


def main() -> int:
    said = _said()
    plan_ = plan.SMOKE if said.smoke else plan.QUICK if said.quick else plan.WHOLE
    said.output.mkdir(parents=True, exist_ok=True)
    with _ground(said.output) as ground:
        cores.pin(0, ground.others)
        rounds = _rounds(ground, plan_, workers=said.workers)
    found = list(figures.of_rounds(rounds.samples))
    page = "\n".join(_page(ground, found, rounds)) + "\n"
    (said.output / "results.md").write_text(page)
    sys.stdout.write(page)
    missed = [one.goal.name for one in found if not one.met]
    return 1 if missed else 0


def _said() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the requests, in at most two minutes")
    parser.add_argument("--smoke", action="store_true", help="a handful of requests, to see that it still runs")
    parser.add_argument("--workers", action="store_true", help="with a gateway of two workers")
    parser.add_argument("--output", type=Path, default=Path("dist/bench"))
    return parser.parse_args()


@contextmanager
def _ground(output: Path) -> Iterator[field.Ground]:
    """In memory where there is some, so that what the disk does just then is not what is compared; what a disk costs is
    measured by itself, on the one that `output` is on."""
    mine, others = cores.split()
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    home, disk = Path(tempfile.mkdtemp(prefix="bench-", dir=memory)), Path(tempfile.mkdtemp(prefix="disk-", dir=output))
    try:
        yield field.Ground(mine=mine, others=others, home=home, disk=disk.resolve())
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


def _rounds(ground: field.Ground, plan_: Plan, *, workers: bool) -> Rounds:
    with_node = plan_.disks and servers.has_node()
    with field.contenders(ground, with_node=with_node, disks=plan_.disks, workers=workers) as contenders:
        rounds, heats = Rounds(contenders), plan_.heats(frozenset(contenders))
        rounds.warm(heats)
        for number in range(plan_.rounds):
            sys.stderr.write(f"round {number + 1} of {plan_.rounds}\n")
            rounds.run(heats)
        return rounds


def _page(ground: field.Ground, found: list[Figure], rounds: Rounds) -> Iterator[str]:
    yield "# What was measured\n"
    yield from table.ground(ground, rounds)
    yield ""
    yield from table.figures(found)
    yield ""
    yield from table.cells(rounds.samples)


if __name__ == "__main__":
    sys.exit(main())
