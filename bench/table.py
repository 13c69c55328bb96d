"""One page of Markdown: the figures, then what they were made of."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.asks import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.field import Ground
    from bench.figures import Figure
    from bench.growth import Size
    from bench.listeners import Listening
    from bench.rounds import Cell, Rounds, Sample
    from bench.stall import Stall

PROOF = {
    Scene.ANSWER: "answer, at once",
    Scene.ANSWER_SLOW: "answer, 20 ms",
    Scene.READBACK: "read-back, at once",
    Scene.READBACK_SLOW: "read-back, 20 ms",
}


def figures(found: Sequence[Figure]) -> Iterator[str]:
    yield "| figure | must | aim | median | least to most | |"
    yield "|---|---|---|---|---|---|"
    for one in found:
        goal, sign = one.goal, "≥" if one.goal.least else "≤"
        spread = f"{min(one.values):.2f} to {max(one.values):.2f}"
        verdict = "met" if one.met else "**missed**"
        limits = f"{sign} {goal.must}{goal.unit} | {sign} {goal.aim}{goal.unit}"
        yield f"| {goal.name} | {limits} | {one.value:.2f}{goal.unit} | {spread} | {verdict} |"


def control(found: Figure | None) -> Iterator[str]:
    """What two workers are to be held against."""
    if found is None:
        return
    yield "\nTwo workers share one core here, and each has as many connections as the one that they are compared with."
    yield f"The thin aiohttp service as two processes on one port, compared in the same way: {found.value:.2f}"
    yield f"({min(found.values):.2f} to {max(found.values):.2f})."


def cells(samples: Mapping[Cell, Sequence[Sample]]) -> Iterator[str]:
    yield "| asked | request | vendor proves by | connections | CPU µs | p50 ms | p99 ms | requests a second |"
    yield "|---|---|---|---|---|---|---|---|"
    for cell in sorted(samples, key=lambda cell: (cell.scene, cell.connections, cell.method, cell.name)):
        rows = samples[cell]
        cpu = statistics.median(row.cpu_us for row in rows)
        p50 = statistics.median(row.p50_ms for row in rows)
        p99 = statistics.median(row.p99_ms for row in rows)
        rate = statistics.median(row.per_second for row in rows)
        used = f"{cpu:.0f}" if cpu else "not counted"
        asked = f"{cell.name} | {cell.method} | {PROOF[cell.scene]} | {cell.connections}"
        yield f"| {asked} | {used} | {p50:.2f} | {p99:.2f} | {rate:.0f} |"


def sizes(found: Sequence[Size]) -> Iterator[str]:
    yield "| open | CPU µs: PUT | GET | a look | longest turn ms | KiB each: gateway | store |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        cpu = f"{one.put_us:.0f} | {one.get_us:.0f} | {one.look_us:.0f}"
        yield f"| {one.open:,} | {cpu} | {one.turn_ms:.1f} | {one.gateway_kib:.1f} | {one.store_kib:.1f} |"


def stalls(found: Stall) -> str:
    """What a scrape does to the loop."""
    scrape = statistics.median(found.scrapes_ms)
    return (
        f"A scrape of {found.series:,} series: the longest turn of the loop is {scrape:.1f} ms; while nobody asks it "
        f"is {found.calm_ms:.1f} ms."
    )


def where(shares: Mapping[str, float], put_us: float) -> Iterator[str]:
    """Whose work a PUT is, `put_us` altogether."""
    yield "| whose work | share | µs of a PUT |"
    yield "|---|---|---|"
    for name, share in shares.items():
        yield f"| {name} | {100 * share:.0f} % | {share * put_us:.0f} |"


def listening(found: Listening) -> str:
    """What it costs that somebody listens."""
    return (
        f"{found.count:,} event streams use {100 * found.busy:.0f} % of a core while nothing changes, without them it "
        f"is {100 * found.busy_alone:.0f} %; each takes {found.kib_each:.0f} KiB; one hears of a change "
        f"{found.told_ms:.0f} ms after the PUT was sent."
    )


def ground(on: Ground, rounds: Rounds) -> Iterator[str]:
    """Under what conditions."""
    if on.mine is None:
        yield "One core, or none that can be chosen: everything shares it, and only ratios of processor time mean much."
    else:
        yield f"Those whose time is counted run on core {on.mine}; load, vendor and store on core {on.others}."
        yield "Processor time is user and system time of the process, threads included, as the kernel counts it."
    yield "Medians over rounds in which everything was asked in turn, in an order of its own each time. Data in memory"
    yield "unless it says disk."
    failed = {name: count for name, count in rounds.failed.items() if count}
    if failed:
        said = ", ".join(f"{count} at {name}" for name, count in sorted(failed.items()))
        yield f"\nAnswers that were no 200 in spite of three tries of their batch: {said}."
