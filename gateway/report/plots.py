"""Plots as pieces of SVG that stand in a page by themselves: text stays text, nothing is fetched, no script."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from gateway.cards import scrub
from gateway.report.words import brief, day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

    from gateway.report.controls import Failure

WIDTH, HEIGHT = 4.4, 2.4  # inches; at 360 px of a phone letters are still 8 px high
GOOD, BAD, LINE = "#1f6f50", "#c2410c", "#334155"
_HATCH = "////"  # told apart without colour, too
_STYLE: dict[RcKeyType, object] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "legend.frameon": False,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_APART = ')     ">'  # places beside a text that is a number: together they would look like a card's
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
_OUTSIDE = re.compile(r' xmlns(:\w+)?="[^"]*"| (?:width|height)="[\d.]+pt"| version="[\d.]+"')
_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_EXPOSURE_TICKS = [10**power for power in range(8)]
_BINS_A_DECADE = 8
_MONTH_MS = 31 * 86_400_000


def drawn(name: str, label: str, draw: Callable[[Axes], None], *, height: float = HEIGHT) -> str:
    """`label` is for those who cannot see it."""
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=_NO_METADATA)
    return _inline(text.getvalue(), name, label)


def _inline(text: str, name: str, label: str) -> str:
    """Without what belongs to a file of its own; ids are told apart from those of the other plots."""
    svg = _DECIMALS.sub(r"\1", text[text.index("<svg") :]).replace(')">', _APART)
    head, _, body = svg.partition(">")
    head = _OUTSIDE.sub("", head)
    body = _IDS.sub(rf"\1{name}-", body.replace("xlink:href", "href"))
    return f'{head} role="img" aria-label="{label}">{body}'


def volumes(bars: Sequence[tuple[str, int, int]]) -> str:
    """Mutes by time: what the bar is called, how many were proven in time, and how many were not."""

    def draw(axes: Axes) -> None:
        places, names = range(len(bars)), [name for name, _, _ in bars]
        good, bad = [one[1] for one in bars], [one[2] for one in bars]
        axes.bar(places, good, width=0.8, color=GOOD, label="proven in time")
        axes.bar(places, bad, width=0.8, bottom=good, color=BAD, hatch=_HATCH, edgecolor="white", label="not")
        step = max(1, -(-len(bars) // 5))
        axes.set_xticks(list(places)[::step], names[::step])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_ylabel("mutes")
        axes.margins(x=0.02)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return drawn("volumes", "Mutes over time", draw)


def exposures(values: Sequence[int], marks: Mapping[str, int], late_ms: int) -> str:
    """How long calls were exposed, on a logarithmic scale; `marks` are lines to draw."""

    def draw(axes: Axes) -> None:
        shown = [max(1, value) for value in values]
        axes.hist(shown, bins=_bins(max([*shown, late_ms])), color=GOOD, edgecolor="white", linewidth=0.4)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_EXPOSURE_TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: brief(int(value))))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_ylabel("redactions")
        for style, (name, value) in zip((":", "--", "-."), marks.items(), strict=False):
            axes.axvline(max(1, value), color=LINE, linestyle=style, linewidth=1, label=name)
        axes.axvline(late_ms, color=BAD, linewidth=1.4, label="late")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, handlelength=1.4, columnspacing=1)

    return drawn("exposures", "Distribution of exposure times", draw)


def _bins(largest: int) -> list[float]:
    decades = max(4, len(str(largest)))
    return [10 ** (step / _BINS_A_DECADE) for step in range(decades * _BINS_A_DECADE + 1)]


def triggers(bars: Sequence[tuple[str, int, int]]) -> str:
    """Mutes by what triggered them, as in `volumes`."""

    def draw(axes: Axes) -> None:
        places = range(len(bars))
        good, bad = [one[1] for one in bars], [one[2] for one in bars]
        axes.barh(places, good, height=0.6, color=GOOD, label="proven in time")
        axes.barh(places, bad, height=0.6, left=good, color=BAD, hatch=_HATCH, edgecolor="white", label="not")
        axes.set_yticks(list(places), [shortened(one[0], 16) for one in bars])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlabel("mutes")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return drawn("triggers", "Mutes by trigger", draw, height=0.9 + 0.35 * len(bars))


def timeline(failures: Sequence[Failure], since: int, until: int) -> str:
    """When which control had failed. What has no end yet goes on to the right."""
    least = max(1, until - since) // 150  # what is shorter could not be seen
    rows: dict[str, list[tuple[int, int]]] = {}
    for one in failures:
        end = until if one.span.end is None else min(one.span.end, until)
        bars = rows.setdefault(shortened(f"{one.kind}: {one.name}"), [])
        _add(bars, max(one.span.begin, since), end, least)

    def draw(axes: Axes) -> None:
        for place, bars in enumerate(rows.values()):
            axes.broken_barh(bars, (place - 0.3, 0.6), color=BAD)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(since, until + least)
        axes.xaxis.set_major_locator(FixedLocator([since, (since + until) / 2, until]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: day(int(value), hours=until - since < _MONTH_MS)))

    return drawn("timeline", "Control failures over time", draw, height=0.7 + 0.28 * len(rows))


def _add(bars: list[tuple[int, int]], begin: int, end: int, least: int) -> None:
    """One more (begin, length), the failures coming in their order. Those that would be drawn upon each other are one:
    a bad year has thousands."""
    end = max(end, begin + least)
    if bars and begin <= sum(bars[-1]):
        first = bars[-1][0]
        bars[-1] = first, max(end, sum(bars[-1])) - first
    else:
        bars.append((begin, end - begin))


def shortened(text: str, most: int = 28) -> str:
    """What the font can draw, and no more of it than there is room for."""
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in scrub(text))
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."
