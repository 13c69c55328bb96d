"""Times during which something was wrong, by what it was. Those that overlap, or nearly, are one: a recorder that
ten calls find dead is dead once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NEAR_MS = 60_000
_MORE = 1_000  # so many are added before they are put together again


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`end` is None for what had no end yet; `times` how often it was told of, `causes` in which words."""

    begin: int
    end: int | None
    times: int = 1
    causes: frozenset[str] = frozenset()


class Spans:
    """Memory grows with the number of times that are apart, not with how often they are told of."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
        self._limits: defaultdict[tuple[str, str], int] = defaultdict(lambda: _MORE)

    def add(self, kind: str, name: str, span: Span) -> None:
        key = kind, name
        self._found[key].append(span)
        if len(self._found[key]) > self._limits[key]:
            self._found[key] = merged(self._found[key])
            self._limits[key] = len(self._found[key]) + _MORE

    def all(self) -> list[tuple[str, str, Span]]:
        """Kind, name and time, the oldest first."""
        each = [(*key, span) for key, spans in self._found.items() for span in merged(spans)]
        return sorted(each, key=lambda one: (one[2].begin, one[0], one[1]))


def merged(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        if found and _touches(found[-1], span):
            found[-1] = _joined(found[-1], span)
        else:
            found.append(span)
    return found


def _touches(before: Span, span: Span) -> bool:
    return before.end is None or span.begin <= before.end + NEAR_MS


def _joined(before: Span, span: Span) -> Span:
    end = None if before.end is None or span.end is None else max(before.end, span.end)
    return replace(before, end=end, times=before.times + span.times, causes=before.causes | span.causes)
