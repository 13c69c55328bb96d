"""Were the entries sealed from their beginning, once, by checkpoints whose numbers rise?

Each sealer writes down the first checkpoint that it made, after it has made it: an entry that is sealed names an
earlier checkpoint than the one that sealed it. The first checkpoint of a trail is made as soon as its gateway starts.

When an entry was written says the store, and the node in the entry itself: the former can be changed by the store's
owner, the latter only by who has the key. But the clocks of nodes are wrong more often.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from gateway.audit.findings import Kind
from gateway.audit.row import subject

if TYPE_CHECKING:
    from gateway.audit.findings import Findings
    from gateway.audit.seal import Head

UNSEALED_MS = 60_000  # longer than this no entry lies there before the first checkpoint
CLOCKS_MS = 24 * 3_600_000  # by so much the clocks of nodes may be wrong before the first checkpoint
_HEALED = b'"healed":true,'
_NODE_MS = re.compile(rb'"node_ms":([0-9]{1,16})[,}]')
_STARTED = b'"type":"seal.started"'


class Beginnings:
    """Reads the entries in the order of a trail, the first bucket first."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._begun = 0
        self._oldest = self._newest = 0
        self._nodes_oldest = self._nodes_newest = 0

    def saw(self, entry: bytes, at: int, seq: int, *, newest: int, head: Head) -> None:
        """`newest` is the number of the newest checkpoint, 0 for none; `head` what is sealed of the first bucket."""
        self._newest = max(self._newest, at)
        if at < self._oldest or not self._oldest:
            self._oldest = at
        if not newest and (node_at := written_at(entry)):
            self._nodes_newest = max(self._nodes_newest, node_at)
            self._nodes_oldest = min(self._nodes_oldest or node_at, node_at)
        if _STARTED in entry and not subject(entry):
            self._started(entry, newest - 1 if seq <= head.seq else newest, newest)

    def _started(self, entry: bytes, most: int, newest: int) -> None:
        first, count = _told(entry)
        if first <= self._begun:
            self._add(f"checkpoint {first} was made after checkpoint {self._begun}")
        if first > most:
            self._add(f"there was a checkpoint {first}, and the newest is {newest}")
        if count:
            self._add(f"checkpoint {first} began anew over {count} entries that had no seal")
        self._begun = first

    def _add(self, text: str) -> None:
        self._findings.add(Kind.ROLLED_BACK, text)

    def anew(self) -> None:
        """The first bucket comes once more."""
        self._begun = 0

    def until(self, at: int = 0, *, nodes_at: int = 0) -> None:
        """It is so late (ms) by the store's clock, and by that of whoever looks."""
        self._newest = max(self._newest, at)
        self._nodes_newest = max(self._nodes_newest, nodes_at)

    def unsealed(self) -> None:
        """No checkpoint is there at all, and all entries were read."""
        span = self._newest - self._oldest if self._oldest else 0
        nodes_span = self._nodes_newest - self._nodes_oldest if self._nodes_oldest else 0
        if span > UNSEALED_MS or nodes_span > CLOCKS_MS:
            self._add(f"there are entries of {max(span, nodes_span) // 1000} s, and no checkpoint")


def written_at(entry: bytes) -> int:
    """When, by the clock of its node (ms); 0 for one that came late, which says nothing of the trail's age."""
    found = _NODE_MS.search(entry)
    return int(found[1]) if found is not None and _HEALED not in entry else 0


def _told(entry: bytes) -> tuple[int, int]:
    """The checkpoint, and how many entries were found without a seal. What cannot be read is for the chain to say."""
    try:
        members = orjson.loads(entry)
        return int(members["checkpoint"]), int(members.get("count") or 0)
    except (ValueError, KeyError, TypeError):
        return 0, 0
