"""`python -m bench [--quick | --smoke] [--output DIR]`: measures, writes results.md and results.png. Exit status 1 when
a figure misses what it must be."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as field_
from pathlib import Path
from typing import TYPE_CHECKING

from bench import cores, field, figures, growth, plan, plot, servers, stall, table, where
from bench.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.figures import Figure
    from bench.growth import Size
    from bench.listeners import Listening
    from bench.plan import Plan
    from bench.stall import Stall

MEMORY = Path("/dev/shm")  # noqa: S108 -- in a directory of our own below it


def main() -> int:
    said = _said()
    plan_ = plan.SMOKE if said.smoke else plan.QUICK if said.quick else plan.WHOLE
    said.output.mkdir(parents=True, exist_ok=True)
    with _ground(said.output) as ground:
        cores.pin(0, ground.others)
        seen = Seen(rounds=_rounds(ground, plan_))
        _tell("where a PUT's time goes")
        seen.shares = where.measured(ground, plan_.profiled)
        _tell("what a scrape does")
        seen.stall = stall.measured(ground, plan_.scrapes)
        _tell(f"growth to {plan_.largest:,}")
        seen.sizes, seen.listening = growth.measured(ground, plan_.largest, plan_.rounds, plan_.asked)
    page = "\n".join(_page(ground, seen)) + "\n"
    (said.output / "results.md").write_text(page)
    plot.drawn(seen.rounds.samples, said.output / "results.png")
    sys.stdout.write(page)
    return 0 if all(one.met for one in seen.figures()) else 1


@dataclass(slots=True)
class Seen:
    """Everything that was measured."""

    rounds: Rounds
    shares: Mapping[str, float] = field_(default_factory=dict)
    stall: Stall | None = None
    sizes: list[Size] = field_(default_factory=list)
    listening: Listening | None = None

    def figures(self) -> list[Figure]:
        stalls = [figures.of_stall(self.stall)] if self.stall else []
        return [*figures.of_rounds(self.rounds.samples), *stalls, *figures.of_growth(self.sizes)]


def _said() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the requests, in at most two minutes")
    parser.add_argument("--smoke", action="store_true", help="a handful of requests, to see that it still runs")
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


def _rounds(ground: field.Ground, plan_: Plan) -> Rounds:
    _tell("starting everything")
    with field.contenders(ground, with_node=plan_.whole and servers.has_node(), whole=plan_.whole) as contenders:
        rounds, heats = Rounds(contenders), plan_.heats(frozenset(contenders))
        rounds.warm(heats)
        for number in range(plan_.rounds):
            _tell(f"round {number + 1} of {plan_.rounds}")
            rounds.run(heats)
        return rounds


def _tell(word: str) -> None:
    sys.stderr.write(f"bench: {word}\n")


def _page(ground: field.Ground, seen: Seen) -> Iterator[str]:
    yield "# What was measured\n"
    yield from table.ground(ground, seen.rounds)
    yield "\n## Figures\n"
    yield from table.figures(seen.figures())
    yield from table.control(figures.two_stocks(seen.rounds.samples))
    yield "\n## What they are made of\n"
    yield from table.cells(seen.rounds.samples)
    yield "\n## Where a PUT's processor time goes\n"
    yield f"Evidence by the answer, {figures.SOME} connections; shares by a profiler, of the time that was measured."
    yield ""
    yield from table.where(seen.shares, figures.put_us(seen.rounds.samples))
    yield "\n## Growth\n"
    yield from table.sizes(seen.sizes)
    if seen.stall:
        yield ""
        yield table.stalls(seen.stall)
    if seen.listening:
        yield ""
        yield table.listening(seen.listening)


if __name__ == "__main__":
    sys.exit(main())
