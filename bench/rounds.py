"""Rounds: everything that is compared is asked in turn, in another order each time, so that whatever the machine does
beside is spread over all of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop

from bench import load
from bench.accounting import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bench.asks import Scene

TRIES = 3  # what fails costs something else than what is measured: such a batch is asked anew
WARM = 40  # requests before anything is counted: connections, tokens, what a compiler makes of hot code
PUT, GET, DELETE = "PUT", "GET", "DELETE"

Batch = tuple[str, "Sequence[bytes]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """What is asked, at a port for the quick vendor and one for the slow one. `batches` makes what it is asked for so
    many calls: the first is what is compared, the others follow for the same calls. `pids` are the processes whose time
    is counted; none where there is nothing to count."""

    name: str
    ports: tuple[int, int]
    batches: Callable[[Scene, int], Iterable[Batch]]
    pids: Callable[[], Sequence[int]] = tuple
    store: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """So many requests on so many connections, to all of `names`."""

    scene: Scene
    connections: int
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    name: str
    method: str
    scene: Scene
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One batch: processor time a request in µs (0 where it is not counted), waits in ms, requests a second."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    per_second: float
    failed: int = 0


@dataclass(slots=True)
class Rounds:
    """`samples` has one for each round, `failed` how many answers were no 200 though they count."""

    contenders: Mapping[str, Contender]
    samples: dict[Cell, list[Sample]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)

    def warm(self, heats: Iterable[Heat]) -> None:
        for heat in heats:
            for name in heat.names:
                for _, requests in self.contenders[name].batches(heat.scene, WARM):
                    self._fire(heat, name, requests)

    def run(self, heats: Sequence[Heat]) -> None:
        """One round."""
        for heat in random.sample(heats, len(heats)):
            for name in random.sample(heat.names, len(heat.names)):
                self._heat(heat, name)

    def _heat(self, heat: Heat, name: str) -> None:
        for tries_left in reversed(range(TRIES)):
            found = list(self._batches(heat, name))
            failed = sum(sample.failed for _, sample in found)
            if not failed or not tries_left:
                break
        self.failed[name] += failed
        for cell, sample in found:
            self.samples.setdefault(cell, []).append(sample)

    def _batches(self, heat: Heat, name: str) -> Iterator[tuple[Cell, Sample]]:
        for method, requests in self.contenders[name].batches(heat.scene, heat.count):
            yield Cell(name, method, heat.scene, heat.connections), self._fire(heat, name, requests)

    def _fire(self, heat: Heat, name: str, requests: Sequence[bytes]) -> Sample:
        contender = self.contenders[name]
        pids = contender.pids()
        before = cpu_seconds(pids)
        port = contender.ports[heat.scene.slow]
        outcome = uvloop.run(load.fire(port, requests, heat.connections, store=contender.store))
        used = cpu_seconds(pids) - before
        return Sample(
            cpu_us=1e6 * used / len(requests),
            p50_ms=1e3 * outcome.percentile(0.5),
            p99_ms=1e3 * outcome.percentile(0.99),
            per_second=outcome.per_second,
            failed=outcome.failed,
        )
