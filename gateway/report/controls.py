"""Controls that failed, each with its begin, its end and its cause: devices of the trail, recorders that could not be
proven, verification, configuration, clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.report.spans import Span, Spans

if TYPE_CHECKING:
    from gateway.report.seen import Seen
    from gateway.report.window import Window

SKEW_MS = 1_000
WAIT_MS = 5_000  # what may wait is written every second, a burst of it one after the other
_WAITING = frozenset({"access.denied", "request.refused", "card.found"})
_BEGINS = frozenset({"lost", "failed", "died", "refused", "missed"})
_ENDS = frozenset({"reached", "recovered", "restored", "changed", "passed"})
_NO_CONTROLS = frozenset({"request"})  # what is refused before it is one: anybody's to bring about
_OF_A_PROCESS = frozenset({"device", "recorder"})  # as one process sees them: what it saw ends with it
_STOPPED = "gateway.stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`kind` says what failed, `name` which one."""

    kind: str
    name: str
    span: Span


@dataclass(kw_only=True)
class Controls:
    """`skew_ms` is the most by which a node's clock and the store's differed, over all entries that were not late; of
    those that may wait before they are written, only what the wait does not explain."""

    window: Window
    skew_ms: int = 0
    failures: list[Failure] = field(default_factory=list)
    _spans: Spans = field(default_factory=Spans)
    _begun: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)  # by kind, name and node
    _newest: dict[str, int] = field(default_factory=dict)  # by node: a process that writes no more has no alarm either

    def saw(self, seen: Seen) -> None:
        self._newest[seen.node] = max(seen.when, self._newest.get(seen.node, 0))
        if seen.healed:
            self._add("store away", seen.node, seen.node_ms, seen.at, "entries came late, from the journal or memory")
        else:
            self._clocks(seen)
        if seen.call_id is None:
            self._told(seen)

    def troubled(self, backend: str, span: Span) -> None:
        if self._inside(span.begin, max(self._newest.values()) if span.end is None else span.end):
            self._spans.add("recorder not proven", backend, span)

    def finish(self) -> None:
        for (kind, name, node), (begin, cause) in self._begun.items():
            if self._inside(begin, self._newest[node]):
                self._spans.add(kind, name, Span(begin=begin, end=None, causes=frozenset({cause})))
        self._begun.clear()
        self.failures = [Failure(kind=kind, name=name, span=span) for kind, name, span in self._spans.all()]

    def _clocks(self, seen: Seen) -> None:
        late = seen.at - seen.node_ms
        skew = max(-late, late - WAIT_MS, 0) if _may_wait(seen) else abs(late)
        if self.window.has(seen.when):
            self.skew_ms = max(self.skew_ms, skew)
        if skew > SKEW_MS:
            self._add("clocks apart", seen.node, seen.at, seen.at, "node and store differ by more than 1 s")

    def _told(self, seen: Seen) -> None:
        """A control that says itself that it failed, and perhaps that it is well again."""
        noun, _, verb = seen.type.rpartition(".")
        key = noun, _which(seen), seen.node
        if verb in _BEGINS and noun not in _NO_CONTROLS:
            self._begun.setdefault(key, (seen.when, _cause(seen)))
        elif verb in _ENDS:
            self._ended(key, seen)
        elif seen.type == _STOPPED:
            for own in [one for one in self._begun if one[0] in _OF_A_PROCESS and one[2] == seen.node]:
                self._ended(own, seen)

    def _ended(self, key: tuple[str, str, str], seen: Seen) -> None:
        """What says for how long it was away began then, also where its begin is not told of here."""
        begun = self._begun.pop(key, None)
        if begun is None and seen.away_ms is not None:
            begun = seen.when - seen.away_ms, _cause(seen)
        if begun is not None:
            begin, cause = begun
            self._add(key[0], key[1], begin, seen.when, cause)

    def _add(self, kind: str, name: str, begin: int, end: int, cause: str) -> None:
        if self._inside(begin, max(begin, end)):
            self._spans.add(kind, name, Span(begin=begin, end=max(begin, end), causes=frozenset({cause})))

    def _inside(self, begin: int, end: int) -> bool:
        """Some of it is in the window."""
        return not self.window.after(begin) and not self.window.before(end)


def _may_wait(seen: Seen) -> bool:
    """It is written a while after it happened: that says nothing of the clocks, unless it is longer than it can wait,
    or it was written before it happened."""
    return seen.type in _WAITING or seen.type.partition(".")[0] in _OF_A_PROCESS


def _which(seen: Seen) -> str:
    """The recorder, whoever found it lost; a device as one process has it; a key; or the process."""
    backends = ", ".join(part.backend for part in seen.recorders)
    device = f"{seen.device} of {seen.node}" if seen.device else ""
    return backends or device or seen.key or seen.node


def _cause(seen: Seen) -> str:
    return seen.reason or next((part.error for part in seen.recorders if part.error), seen.type)
