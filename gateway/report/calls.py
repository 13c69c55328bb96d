"""What became of each call: its mutes, how long it took, what came undone, until nobody wanted silence any more.

Entries of one call come in their order, those of different calls in any. Only calls that are held are remembered.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.report.spans import Span

if TYPE_CHECKING:
    from gateway.report.seen import Part, Seen

_NOT_THE_RECORDERS = frozenset({None, "no-such-call", "held"})  # errors that say nothing of the recorder's own state
_OUTCOMES = frozenset({"mute.confirmed", "mute.failed", "mute.overtaken"})


class Outcome(enum.StrEnum):
    """What one mute that a client asked for came to."""

    PROVEN = "proven"
    LATE = "late"  # proven, and later than a request may take
    FAILED = "failed"
    WAITED = "waited in vain"  # for a call that did not come
    NO_CALL = "no such call"
    OVERTAKEN = "overtaken"  # everybody was let go before it landed
    CUT_OFF = "no outcome"  # whoever carried it out did not live to say


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """`told` is the entry of the outcome. `proven_at`: when the call was proven silent after all; else `ended_at`
    and `ended_by`, the entry's type, if the redaction has ended."""

    outcome: Outcome
    asked: Seen
    told: Seen | None = None
    proven_at: int | None = None
    ended_at: int | None = None
    ended_by: str | None = None

    @property
    def seen(self) -> Seen:
        return self.told or self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Somebody else resumed the recording. The rest as in `Mute`."""

    seen: Seen
    proven_at: int | None = None
    ended_at: int | None = None

    @property
    def resumed(self) -> tuple[Part, ...]:
        return tuple(part for part in self.seen.recorders if part.error is None and not part.silent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One redaction, from the first entry with a hold to the first without, or `until` when the trail ends before.
    `wanted` and `unproven` are times of it (begin, end) in which silence was wanted, and was not proven."""

    first: Seen
    last: Seen
    until: int
    ended_at: int | None
    ended_by: str | None
    exposure_ms: int | None
    wanted: tuple[tuple[int, int], ...]
    unproven: tuple[tuple[int, int], ...]

    @property
    def lasted_ms(self) -> int:
        return self.until - self.first.when


class Sink(Protocol):
    """Who counts."""

    def muted(self, mute: Mute) -> None: ...
    def drifted(self, drift: Drift) -> None: ...
    def exposed(self, seen: Seen, exposure_ms: int) -> None: ...
    def held(self, held: Held) -> None: ...
    def troubled(self, backend: str, span: Span) -> None: ...


@dataclass(slots=True, kw_only=True)
class _Ask:
    """A mute without an outcome yet; `proven_at`: when the call was proven silent nevertheless."""

    asked: Seen
    proven_at: int | None = None


@dataclass(slots=True, kw_only=True)
class _Open:
    """A redaction that is held."""

    first: Seen
    last: Seen
    exposure_ms: int | None = None
    asks: list[_Ask] = field(default_factory=list)
    failed: list[tuple[Seen, Seen]] = field(default_factory=list)
    drifts: list[Seen] = field(default_factory=list)
    wanted: list[tuple[int, int]] = field(default_factory=list)
    unproven: list[tuple[int, int]] = field(default_factory=list)
    trouble: dict[str, tuple[int, str]] = field(default_factory=dict)

    def passed(self, until: int) -> None:
        """The time since the entry before, as it left things. While an unmute is under way nobody is to be silent."""
        if self.last.type != "unmute.intended":
            _extend(self.wanted, self.last.when, until)
            if not self.last.protected:
                _extend(self.unproven, self.last.when, until)


def _extend(times: list[tuple[int, int]], begin: int, end: int) -> None:
    if times and times[-1][1] >= begin:
        times[-1] = times[-1][0], max(times[-1][1], end)
    elif end > begin:
        times.append((begin, end))


class Calls:
    """`late_ms`: a mute that took longer than this is late."""

    def __init__(self, sink: Sink, *, late_ms: int) -> None:
        self._sink = sink
        self._late_ms = late_ms
        self._open: dict[tuple[str, str], _Open] = {}
        self._asked: dict[tuple[str, str, str], _Ask] = {}

    def saw(self, seen: Seen) -> None:
        if seen.call_id is None or seen.type == "trail.read":
            return
        key = seen.tenant, seen.call_id
        held = self._open.get(key)
        if held is None and seen.held:
            held = self._open[key] = _Open(first=seen, last=seen)
        elif held is not None:
            held.passed(seen.when)
        self._mute(key, held, seen)
        if held is None:
            return
        held.last = seen
        if seen.held:
            self._stands(held, seen)
        else:
            self._ended(self._open.pop(key), seen)

    def finish(self, until: int) -> None:
        """Nothing more comes; the trail is known up to `until`."""
        for ask in self._asked.values():
            self._sink.muted(Mute(outcome=Outcome.CUT_OFF, asked=ask.asked, proven_at=ask.proven_at))
        for held in self._open.values():
            held.passed(until)
            self._settle(held, None)
            self._over(held, None, until)
        self._open.clear()
        self._asked.clear()

    # ── mutes ──

    def _mute(self, key: tuple[str, str], held: _Open | None, seen: Seen) -> None:
        if not seen.asked_for:
            return
        place = *key, seen.op
        if seen.type == "mute.intended":
            self._asked[place] = ask = _Ask(asked=seen)
            if held is not None:
                held.asks.append(ask)
        elif seen.type in _OUTCOMES:
            self._outcome(held, self._asked.pop(place, _Ask(asked=seen)).asked, seen)

    def _outcome(self, held: _Open | None, asked: Seen, told: Seen) -> None:
        if told.type == "mute.confirmed":
            first = held is None or held.exposure_ms is None
            late = first and told.exposure_ms is not None and told.exposure_ms > self._late_ms
            outcome = Outcome.LATE if late else Outcome.PROVEN
            self._sink.muted(Mute(outcome=outcome, asked=asked, told=told, proven_at=told.when))
        elif told.type == "mute.failed" and held is not None:
            held.failed.append((asked, told))
        else:
            outcome = Outcome.OVERTAKEN if told.type == "mute.overtaken" else _failed(told)
            self._sink.muted(Mute(outcome=outcome, asked=asked, told=told))

    # ── what stands, and what ends ──

    def _stands(self, held: _Open, seen: Seen) -> None:
        if seen.type == "drift.found":
            held.drifts.append(seen)
        for part in seen.recorders:
            self._recorder(held, seen, part)
        if seen.protected:
            if held.exposure_ms is None and seen.exposure_ms is not None:
                held.exposure_ms = seen.exposure_ms
                self._sink.exposed(seen, seen.exposure_ms)
            for ask in held.asks:
                ask.proven_at = seen.when
            held.asks.clear()
            self._settle(held, seen)

    def _recorder(self, held: _Open, seen: Seen, part: Part) -> None:
        if part.error not in _NOT_THE_RECORDERS:
            held.trouble.setdefault(part.backend, (seen.when, str(part.error)))
        elif part.silent and part.backend in held.trouble:
            self._trouble_ends(held, part.backend, seen.when)

    def _trouble_ends(self, held: _Open, backend: str, end: int | None) -> None:
        begin, error = held.trouble.pop(backend)
        end = None if end is None else max(begin, end)
        self._sink.troubled(backend, Span(begin=begin, end=end, causes=frozenset({error})))

    def _settle(self, held: _Open, proof: Seen | None, end: Seen | None = None) -> None:
        """What was in doubt is so no longer: it was proven, or is over, or nobody knows."""
        proven_at = proof.when if proof else None
        ended_at, ended_by = (end.when, end.type) if end else (None, None)
        for asked, told in held.failed:
            outcome = _failed(told)
            self._sink.muted(
                Mute(
                    outcome=Outcome.PROVEN if proof and outcome is Outcome.WAITED else outcome,
                    asked=asked,
                    told=told,
                    proven_at=proven_at,
                    ended_at=ended_at,
                    ended_by=ended_by,
                )
            )
        for drift in held.drifts:
            self._sink.drifted(Drift(seen=drift, proven_at=proven_at, ended_at=ended_at))
        held.failed.clear()
        held.drifts.clear()

    def _ended(self, held: _Open, end: Seen) -> None:
        self._settle(held, None, end)
        self._over(held, end, end.when)

    def _over(self, held: _Open, end: Seen | None, until: int) -> None:
        for backend in list(held.trouble):
            self._trouble_ends(held, backend, end.when if end else None)
        self._sink.held(
            Held(
                first=held.first,
                last=held.last,
                until=until,
                ended_at=end.when if end else None,
                ended_by=end.type if end else None,
                exposure_ms=held.exposure_ms,
                wanted=tuple(held.wanted),
                unproven=tuple(held.unproven),
            )
        )


def _failed(told: Seen) -> Outcome:
    """Why a mute was not proven, as far as the caller's next step depends on it."""
    if told.recorders and all(part.error == "no-such-call" for part in told.recorders):
        waits = all(part.state == "unknown" for part in told.recorders)
        return Outcome.WAITED if waits else Outcome.NO_CALL
    return Outcome.FAILED
