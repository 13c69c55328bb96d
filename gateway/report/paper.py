"""The figures as the page shows them: sums, rows and plots, in the order in which they are read."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.report import plots
from gateway.report.calls import Outcome
from gateway.report.figures import HOUR_MS
from gateway.report.words import day

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.audit.findings import Verdict
    from gateway.report.facts import Facts, Holder
    from gateway.report.figures import Figures

_STEPS = ((3 * 24, 1), (120 * 24, 24), (10**9, 7 * 24))  # up to so many hours, bars of so many
_PERCENTS = (50, 90, 95, 99)
_TOP = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was read: its name, when (ms), and what the verification of all of it came to. `counted` is how many
    entries nothing was found for."""

    name: str
    at: int
    verdict: Verdict
    counted: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`good` of `whole`, of what `name` says."""

    name: str
    good: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How a recorder was found at the end of mutes; `others` says what else, most often first."""

    name: str
    proven: int
    whole: int
    others: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Percentiles (nearest rank) in ms, and how many were within the limit."""

    count: int
    within: int
    percentiles: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plots:
    """Pieces of SVG; empty where there is nothing to draw."""

    volumes: str
    exposures: str
    triggers: str
    timeline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    source: Source
    figures: Figures
    facts: Facts
    since: int | None
    until: int | None
    mutes: int
    proven: int
    late: int
    unproven: int
    exposure: Exposure
    triggers: tuple[Share, ...]
    clients: tuple[Share, ...]
    backends: tuple[Backend, ...]
    holders: tuple[Holder, ...]
    denied: int
    sources: tuple[tuple[str, int], ...]
    plots: Plots


def paper(figures: Figures, facts: Facts, source: Source) -> Paper:
    """`figures` are finished."""
    since = figures.first if figures.window.since is None else figures.window.since
    until = figures.last if figures.window.until is None else figures.window.until
    mutes = sum(figures.mutes.values())
    exposure = exposed(figures.exposures, facts.late_ms)
    triggers = _shares(figures.triggers, ("automated", "manual", "not said"))
    late, proven = figures.mutes[Outcome.LATE], figures.mutes[Outcome.PROVEN]
    return Paper(
        source=source,
        figures=figures,
        facts=facts,
        since=since,
        until=until,
        mutes=mutes,
        proven=proven + late,
        late=late,
        unproven=mutes - proven - late,
        exposure=exposure,
        triggers=triggers,
        clients=_shares(figures.clients),
        backends=_backends(figures.backends),
        holders=tuple(facts.all_holders(figures.access.keys)),
        denied=sum(figures.access.denied.values()),
        sources=tuple(figures.access.sources.most_common(_TOP)),
        plots=_plots(figures, exposure, triggers, facts.late_ms),
    )


def exposed(values: Sequence[int], late_ms: int) -> Exposure:
    ranked = sorted(values)
    percentiles = [(f"p{percent}", ranked[-(-percent * len(ranked) // 100) - 1]) for percent in _PERCENTS if ranked]
    return Exposure(
        count=len(ranked),
        within=bisect_right(ranked, late_ms),
        percentiles=(*percentiles, *[("longest", value) for value in ranked[-1:]]),
    )


def _shares(counts: Mapping[tuple[str, Outcome], int], names: Sequence[str] = ()) -> tuple[Share, ...]:
    """The names given first, whether there are any or not; then the others, the most first."""
    whole, good = Counter[str](), Counter[str]()
    for (name, outcome), count in counts.items():
        whole[name] += count
        good[name] += count if outcome is Outcome.PROVEN else 0
    others = [name for name, _ in whole.most_common() if name not in names]
    return tuple(Share(name=name, good=good[name], whole=whole[name]) for name in (*names, *others))


def _backends(counts: Mapping[tuple[str, str], int]) -> tuple[Backend, ...]:
    found = []
    for name in sorted({backend for backend, _ in counts}):
        words = Counter({word: count for (backend, word), count in counts.items() if backend == name})
        others = tuple((word, count) for word, count in words.most_common() if word != "proven")
        found.append(Backend(name=name, proven=words["proven"], whole=words.total(), others=others))
    return tuple(found)


def _plots(figures: Figures, exposure: Exposure, triggers: Sequence[Share], late_ms: int) -> Plots:
    failures = figures.controls.failures
    bars = [(one.name, one.good, one.whole - one.good) for one in triggers]
    marks = {name: value for name, value in exposure.percentiles if name in {"p50", "p99"}}
    return Plots(
        volumes=plots.volumes(_bars(figures.hours)) if figures.hours else "",
        exposures=plots.exposures(figures.exposures, marks, late_ms) if exposure.count else "",
        triggers=plots.triggers(bars) if figures.mutes else "",
        timeline=_timeline(figures) if failures else "",
    )


def _timeline(figures: Figures) -> str:
    """The controls that failed most often, over the time that is known."""
    failures = figures.controls.failures
    times = Counter[tuple[str, str]]()
    for one in failures:
        times[one.kind, one.name] += one.span.times
    top = {key for key, _ in times.most_common(_TOP)}
    begins = min(one.span.begin for one in failures)
    since = figures.window.since or min(begins, figures.first or begins)
    until = max(figures.last or begins, begins + 1, since + 1)
    return plots.timeline([one for one in failures if (one.kind, one.name) in top], since, until)


def _bars(hours: Mapping[tuple[int, bool], int]) -> list[tuple[str, int, int]]:
    """As many bars as fit: by hour, day or week; those without a mute, too."""
    first, last = min(hour for hour, _ in hours), max(hour for hour, _ in hours)
    step = next(step for most, step in _STEPS if last - first < most)
    good, bad = Counter[int](), Counter[int]()
    for (hour, in_time), count in hours.items():
        (good if in_time else bad)[hour // step] += count
    places = range(first // step, last // step + 1)
    return [(day(place * step * HOUR_MS, hours=step == 1), good[place], bad[place]) for place in places]
