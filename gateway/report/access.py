"""Who came in and by which key, who was not let in, and what was changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.report.worst import Worst

if TYPE_CHECKING:
    from gateway.report.seen import Seen
    from gateway.report.window import Window

DENIED = "access.denied"
_QUIET = frozenset({DENIED, "seal.started"})  # counted elsewhere, or of every start
_SOURCES = 10_000  # addresses that are told apart
_PERSONS = 100_000


@dataclass(slots=True, kw_only=True)
class KeyUse:
    """What the trail says of one API key: `first` and `last` over all of it, `entries` in the window."""

    kid: str
    client: str
    tenant: str
    first: int
    last: int
    entries: int = 0


@dataclass(kw_only=True)
class Access:
    """`denied` counts by reason, `sources` by address; `named` and `nameless` are entries of clients with and
    without a person; `changes` are the newest entries that are about no call."""

    window: Window
    keys: dict[str, KeyUse] = field(default_factory=dict)
    denied: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    persons: set[str] = field(default_factory=set)
    named: int = 0
    nameless: int = 0
    changes: Worst[Seen] = field(default_factory=Worst)

    def saw(self, seen: Seen) -> None:
        inside = self.window.has(seen.when)
        if seen.type == DENIED:
            if inside:
                self._denied(seen)
            return
        if seen.kid is not None and seen.asked_for and seen.call_id is not None:
            self._used(seen, seen.kid, inside=inside)
        if inside and seen.asked_for:
            self._person(seen)
        if inside and seen.call_id is None and seen.type not in _QUIET:
            self.changes.add(seen.when, seen)

    def _used(self, seen: Seen, kid: str, *, inside: bool) -> None:
        use = self.keys.setdefault(
            kid, KeyUse(kid=kid, client=seen.client or "", tenant=seen.tenant, first=seen.when, last=seen.when)
        )
        use.first, use.last = min(use.first, seen.when), max(use.last, seen.when)
        use.entries += inside

    def _person(self, seen: Seen) -> None:
        if seen.actor is None:
            self.nameless += 1
            return
        self.named += 1
        if len(self.persons) < _PERSONS:
            self.persons.add(seen.actor)

    def _denied(self, seen: Seen) -> None:
        """One entry can stand for many: `count` of them, itself included."""
        times = max(1, seen.count or 1)
        self.denied[seen.reason or "not said"] += times
        self.sources[seen.address or "not said"] += times
        if len(self.sources) > _SOURCES:
            self.sources = Counter(dict(self.sources.most_common(_SOURCES // 2)))
