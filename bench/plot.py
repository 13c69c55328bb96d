"""One picture: what a mute costs each of them in processor time, and how long it takes."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.asks import Scene
from bench.figures import SOME
from bench.rounds import PUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.rounds import Cell, Sample


def drawn(samples: Mapping[Cell, Sequence[Sample]], path: Path) -> None:
    """Mutes that are proven by the answer of a vendor that answers at once."""
    mpl.use("agg")
    quick = {cell: rows for cell, rows in samples.items() if cell.method == PUT and cell.scene is Scene.ANSWER}
    figure = Figure(figsize=(11, 5), layout="constrained")
    used, waits = figure.subplots(1, 2)
    _cpu(used, {cell: rows for cell, rows in quick.items() if cell.connections == SOME})
    _waits(waits, quick)
    figure.savefig(path, dpi=110)


def _cpu(axes: Axes, samples: Mapping[Cell, Sequence[Sample]]) -> None:
    counted = {cell.name: [row.cpu_us for row in rows] for cell, rows in samples.items() if rows[0].cpu_us}
    names = sorted(counted, key=lambda name: statistics.median(counted[name]))
    axes.barh(names, [statistics.median(counted[name]) for name in names], color="#4878a8")
    for place, name in enumerate(names):
        axes.plot(counted[name], [place] * len(counted[name]), "k|", markersize=10)
    axes.set_xlabel(f"CPU µs a mute, {SOME} connections (strokes: rounds)")


def _waits(axes: Axes, samples: Mapping[Cell, Sequence[Sample]]) -> None:
    for name in sorted({cell.name for cell in samples}):
        cells = sorted((cell for cell in samples if cell.name == name), key=lambda cell: cell.connections)
        medians = [statistics.median(row.p50_ms for row in samples[cell]) for cell in cells]
        axes.plot([cell.connections for cell in cells], medians, "o-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="connections", ylabel="p50 of a mute, ms")
    axes.legend(fontsize=8)
