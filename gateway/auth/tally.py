"""Entries that anybody can bring about, before they are written: a few one by one, of the rest how many there were."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from gateway.audit.entry import Entry

AT_ONCE = 10  # entries of one lane that are written one by one
GROUPS = 16  # groups of one lane that are told apart
NO_TENANT = "-"  # nobody's: no configured tenant can be called that

# What many entries in one may agree in. An id of a request or an operation is one entry's own.
_SAID = ("client", "kid", "actor", "address", "reason", "action", "target", "method", "device", "away_ms")
_LISTS = ("recorders", "names")


@dataclass(slots=True)
class _Group:
    """Of what is alike: the last entry stands for `more` besides itself."""

    entries: list[Entry] = field(default_factory=list)
    more: int = 0

    def take(self, entry: Entry, *, alone: bool) -> None:
        if alone or not self.entries:
            self.entries.append(entry)
            return
        self.entries[-1] = common(self.entries[-1], entry)
        self.more += 1

    def written(self) -> Iterator[Entry]:
        yield from self.entries[:-1]
        yield replace(self.entries[-1], count=1 + self.more) if self.more else self.entries[-1]


class Lane:
    """What shares one measure: those who fill it hide nobody outside of it."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group] = {}
        self._rest = _Group()
        self._alone = 0

    def add(self, entry: Entry) -> None:
        group = self._groups.get(_alike(entry))
        if group is None and len(self._groups) >= GROUPS:
            self._rest.take(replace(entry, address=None, kid=None), alone=False)
            return
        if group is None:
            group = self._groups[_alike(entry)] = _Group()
        group.take(entry, alone=self._alone < AT_ONCE)
        self._alone += 1

    def written(self) -> Iterator[Entry]:
        for group in self._groups.values():
            yield from group.written()
        if self._rest.entries:
            yield from self._rest.written()


def common(one: Entry, other: Entry) -> Entry:
    """What both say."""
    unlike = [name for name in (*_SAID, *_LISTS) if getattr(one, name) != getattr(other, name)]
    left: dict[str, Any] = {name: () if name in _LISTS else None for name in unlike}
    tenant = one.tenant if one.tenant == other.tenant else NO_TENANT
    return replace(one, tenant=tenant, request_id=None, **left)


def _alike(entry: Entry) -> Hashable:
    return entry.address, entry.reason, entry.client
