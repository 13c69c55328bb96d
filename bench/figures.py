"""What a run must show, as ratios of what was measured in the same rounds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.asks import Scene
from bench.field import BARE, DIRECT, GATEWAY, NODE, STOCK, STOCKS, WORKERS
from bench.rounds import PUT, Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.growth import Size
    from bench.rounds import Sample
    from bench.stall import Stall

    Samples = Mapping[Cell, Sequence[Sample]]

MANY, SOME = 64, 16
MANY_OPEN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`least`: the figure must be at least so much; otherwise at most."""

    name: str
    must: float
    aim: float
    unit: str = ""
    least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.must if self.least else value <= self.must


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A goal and what was seen: a value of each round."""

    goal: Goal
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        return self.goal.met(self.value)


CPU_STOCK = Goal(name="gateway CPU per PUT / thin stock CPU (evidence by answer)", must=0.85, aim=0.45)
CPU_NODE = Goal(name="gateway CPU per PUT / thin Node fastify CPU", must=2.0, aim=1.0)
OVERHEAD = Goal(name="(p50 at one connection − direct call) / (2 × bare script round trip)", must=3.5, aim=2.7)
TAIL = Goal(name="p99 / p50 at 64 connections", must=2.5, aim=1.6)
THROUGHPUT = Goal(name="20 ms vendor, 16 connections: throughput / direct", must=0.83, aim=0.88, least=True)
CPU_WORKERS = Goal(name="CPU per PUT, 2 workers / 1, at 16 connections each", must=1.10, aim=1.03)
STALL = Goal(name="longest stall of the loop by a scrape", must=5.0, aim=1.0, unit=" ms")
GROWTH = Goal(name="PUT cost at 100,000 open redactions / at 10", must=1.10, aim=1.02)


def of_rounds(samples: Samples) -> Iterator[Figure]:
    """Those that the rounds give: for each the pairs of one round are divided, and the median of that is taken."""
    quick, slow = Scene.ANSWER, Scene.ANSWER_SLOW
    gateway = Cell(GATEWAY, PUT, quick, SOME)
    yield from _paired(samples, CPU_STOCK, (gateway, Cell(STOCK, PUT, quick, SOME)), lambda a, b: a.cpu_us / b.cpu_us)
    yield from _paired(samples, CPU_NODE, (gateway, Cell(NODE, PUT, quick, SOME)), lambda a, b: a.cpu_us / b.cpu_us)
    one = (Cell(GATEWAY, PUT, quick, 1), Cell(DIRECT, PUT, quick, 1), Cell(BARE, "FCALL", quick, 1))
    yield from _paired(samples, OVERHEAD, one, lambda a, b, c: (a.p50_ms - b.p50_ms) / (2 * c.p50_ms))
    yield from _paired(samples, TAIL, (Cell(GATEWAY, PUT, quick, MANY),), lambda a: a.p99_ms / a.p50_ms)
    pair = (Cell(GATEWAY, PUT, slow, SOME), Cell(DIRECT, PUT, slow, SOME))
    yield from _paired(samples, THROUGHPUT, pair, lambda a, b: a.per_second / b.per_second)
    pair = (Cell(WORKERS, PUT, quick, 2 * SOME), gateway)
    yield from _paired(samples, CPU_WORKERS, pair, lambda a, b: a.cpu_us / b.cpu_us)


def two_stocks(samples: Samples) -> Figure | None:
    """`CPU_WORKERS` of the thin service: what any two processes lose that share a port and a core."""
    pair = (Cell(STOCKS, PUT, Scene.ANSWER, 2 * SOME), Cell(STOCK, PUT, Scene.ANSWER, SOME))
    return next(_paired(samples, CPU_WORKERS, pair, lambda a, b: a.cpu_us / b.cpu_us), None)


def of_stall(found: Stall) -> Figure:
    return Figure(goal=STALL, values=found.scrapes_ms)


def of_growth(sizes: Sequence[Size]) -> Iterator[Figure]:
    """Only for as many as the goal speaks of: fewer show nothing."""
    smallest, largest = sizes[0], sizes[-1]
    if largest.open >= MANY_OPEN:
        yield Figure(goal=GROWTH, values=tuple(b / a for a, b in zip(smallest.puts, largest.puts, strict=True)))


def _paired(samples: Samples, goal: Goal, cells: tuple[Cell, ...], ratio: Callable[..., float]) -> Iterator[Figure]:
    if all(cell in samples for cell in cells):
        rounds = zip(*(samples[cell] for cell in cells), strict=True)
        yield Figure(goal=goal, values=tuple(ratio(*of_one) for of_one in rounds))


def put_us(samples: Samples) -> float:
    """Processor time of one PUT at the gateway, at `SOME` connections or as many as there were."""
    cells = [one for one in samples if (one.name, one.method, one.scene) == (GATEWAY, PUT, Scene.ANSWER)]
    cell = max((one for one in cells if one.connections <= SOME), key=lambda one: one.connections)
    return statistics.median(sample.cpu_us for sample in samples[cell])
