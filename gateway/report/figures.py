"""Everything that is counted, in one pass, entry by entry. Memory grows with what is open at a time, with hours and
with redactions (eight bytes each), not with entries."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.report.access import Access
from gateway.report.calls import Calls, Outcome
from gateway.report.controls import Controls
from gateway.report.seen import read
from gateway.report.worst import Worst

if TYPE_CHECKING:
    from gateway.report.calls import Drift, Held, Mute
    from gateway.report.seen import Seen
    from gateway.report.spans import Span
    from gateway.report.window import Window

HOUR_MS = 3_600_000
NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A mute that takes longer than `late_ms` is late, a redaction open for `forgotten_ms` forgotten."""

    late_ms: int
    forgotten_ms: int


@dataclass(kw_only=True)
class Figures:
    """What happened in `window`. It is fed every line, whatever the window: what was open before counts, and so does
    what came of it later.

    `hours` counts mutes by hour (since the epoch) and whether they were proven in time; `backends` by recorder and
    what was seen of it at the end of a mute; `first` and `last` are times of entries in the window, `newest` of all.
    """

    window: Window
    limits: Limits
    entries: int = 0
    unreadable: int = 0
    healed: int = 0
    first: int | None = None
    last: int | None = None
    newest: int | None = None
    types: Counter[str] = field(default_factory=Counter)
    mutes: Counter[Outcome] = field(default_factory=Counter)
    triggers: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    clients: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    hours: Counter[tuple[int, bool]] = field(default_factory=Counter)
    backends: Counter[tuple[str, str]] = field(default_factory=Counter)
    exposures: array[int] = field(default_factory=lambda: array("Q"))
    redactions: int = 0
    never_proven: int = 0
    wanted_ms: int = 0
    unproven_ms: int = 0
    troubles: Worst[Mute] = field(default_factory=Worst)
    forgotten: Worst[Held] = field(default_factory=Worst)
    drifts: Worst[Drift] = field(default_factory=Worst)
    drifted_backends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.access = Access(window=self.window)
        self.controls = Controls(window=self.window)
        self._calls = Calls(self, late_ms=self.limits.late_ms)

    def line(self, line: bytes) -> None:
        seen = read(line)
        if seen is None:
            self.unreadable += 1
        else:
            self._saw(seen)

    def _saw(self, seen: Seen) -> None:
        self.newest = seen.when if self.newest is None else max(self.newest, seen.when)
        self._calls.saw(seen)
        self.access.saw(seen)
        self.controls.saw(seen)
        if self.window.has(seen.when):
            self.entries += 1
            self.types[seen.type] += 1
            self.healed += seen.healed
            self.first = seen.when if self.first is None else min(self.first, seen.when)
            self.last = seen.when if self.last is None else max(self.last, seen.when)

    def finish(self) -> None:
        """That was all: what is open now stays open."""
        self._calls.finish(self.newest or 0)
        self.controls.finish()

    # ── what the calls tell ──

    def muted(self, mute: Mute) -> None:
        """It counts when it was asked for."""
        if not self.window.has(mute.asked.when):
            return
        self.mutes[mute.outcome] += 1
        self.triggers[mute.asked.trigger or "not said", mute.outcome] += 1
        self.clients[mute.asked.client or "", mute.outcome] += 1
        self.hours[mute.asked.when // HOUR_MS, mute.outcome is Outcome.PROVEN] += 1
        for part in mute.told.recorders if mute.told is not None else ():
            self.backends[part.backend, "proven" if part.silent else part.error or part.state] += 1
        if mute.outcome is not Outcome.PROVEN:
            self.troubles.add(_weight(mute), mute)

    def drifted(self, drift: Drift) -> None:
        if self.window.has(drift.seen.when):
            self.drifted_backends.update(part.backend for part in drift.resumed)
            self.drifts.add(_since(drift.seen.when, drift.proven_at), drift)

    def exposed(self, seen: Seen, exposure_ms: int) -> None:
        if self.window.has(seen.when):
            self.exposures.append(max(0, exposure_ms))

    def held(self, held: Held) -> None:
        self.wanted_ms += sum(self.window.clipped(*times) for times in held.wanted)
        self.unproven_ms += sum(self.window.clipped(*times) for times in held.unproven)
        if self.window.has(held.first.when):
            self.redactions += 1
            self.never_proven += held.exposure_ms is None
        if held.lasted_ms >= self.limits.forgotten_ms and self._meets(held):
            self.forgotten.add(held.lasted_ms, held)

    def _meets(self, held: Held) -> bool:
        """It was forgotten at some time of the window."""
        since = held.first.when + self.limits.forgotten_ms
        return not self.window.after(since) and not self.window.before(held.until)

    def troubled(self, backend: str, span: Span) -> None:
        self.controls.troubled(backend, span)


def _weight(mute: Mute) -> float:
    if mute.outcome is Outcome.LATE and mute.told is not None:
        return float(mute.told.exposure_ms or 0)
    return _since(mute.asked.when, mute.proven_at)


def _since(begin: int, proven_at: int | None) -> float:
    return NEVER if proven_at is None else float(proven_at - begin)
