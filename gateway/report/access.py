"""Who came in and by which key, who was not let in, what was no request, and what was changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.report.worst import Worst

if TYPE_CHECKING:
    from gateway.report.seen import Seen
    from gateway.report.window import Window

DENIED = "access.denied"
REFUSED = "request.refused"
CARD = "card.found"
# Of every start and stop, or told of as failures of controls.
_QUIET = frozenset({"seal.started", "gateway.started", "gateway.stopped"})
_QUIET_NOUNS = frozenset({"device", "recorder"})
_STRANGERS = frozenset({"wrong-secret", "unknown-kid", "bad-crc", "malformed", "missing", "throttled"})
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
    """`denied` counts by reason, `sources` by address; `refused`, what never became a request, by reason, and `cards`,
    the card numbers found in requests, by client; `named` and `nameless` are entries of clients with and
    without a person; `changes` are the newest entries that are about no call, `known` the newest
    denials of those who had a good key, `card_fields` where card numbers were."""

    window: Window
    keys: dict[str, KeyUse] = field(default_factory=dict)
    denied: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    cards: Counter[str] = field(default_factory=Counter)
    card_fields: Counter[str] = field(default_factory=Counter)
    persons: set[str] = field(default_factory=set)
    named: int = 0
    nameless: int = 0
    changes: Worst[Seen] = field(default_factory=Worst)
    known: Worst[Seen] = field(default_factory=Worst)

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
        if inside and seen.call_id is None:
            self._about_no_call(seen)

    def _about_no_call(self, seen: Seen) -> None:
        if seen.type == REFUSED:
            self.refused[seen.reason or "not said"] += seen.times
        elif seen.type == CARD:
            self.cards[seen.client or "not said"] += seen.times
            self.card_fields.update(seen.names)
        elif seen.type not in _QUIET and seen.type.partition(".")[0] not in _QUIET_NOUNS:
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
        self.denied[seen.reason or "not said"] += seen.times
        if seen.client is not None and seen.reason not in _STRANGERS:
            self.known.add(seen.when, seen)
        self.sources[seen.address or "not said"] += seen.times
        if len(self.sources) > _SOURCES:
            self.sources = Counter(dict(self.sources.most_common(_SOURCES // 2)))
