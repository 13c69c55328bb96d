"""The last line of an export, which is signed, and the question which entries are in it.

It covers every byte before it, has the head of every bucket, and carries what the entries are held against: the
newest checkpoint with the heads that it sealed; the one that says that the trail begins later than at its first
entry; and those that say that a bucket lost sealed entries.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.seal import Head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.store.contract import TrailEntry

BEGINS = b'{"type":"export.ended",'
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries: from `since` (ms, by the store's clock) until before `until`, of one tenant, of one call.
    Seals cover whole buckets: what was selected is not held against them."""

    since: int | None = None
    until: int | None = None
    tenant: str | None = None
    call_id: str | None = None

    @property
    def everything(self) -> bool:
        return self == Selection()

    def takes(self, entry: TrailEntry) -> bool:
        return self._when(entry.at) and self._whose(entry.entry)

    def _when(self, at: int) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def _whose(self, entry: bytes) -> bool:
        if self.tenant is None and self.call_id is None:
            return True
        members = orjson.loads(entry)
        calls = {None, members.get("call_id"), members.get("target")}
        return self.tenant in {None, members["tenant"]} and self.call_id in calls

    def members(self) -> dict[str, object]:
        each = {"since": self.since, "until": self.until, "tenant": self.tenant, "call_id": self.call_id}
        return {name: value for name, value in each.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """Lines of checkpoints: the newest with the heads of all buckets that it sealed, the one that trimmed last, and
    those that told of a loss."""

    newest: bytes | None = None
    heads: Mapping[int, Head] = field(default_factory=dict)
    trimmed: bytes | None = None
    lost: tuple[bytes, ...] = ()

    def members(self) -> dict[str, object]:
        return {
            "checkpoint": _text(self.newest),
            "sealed": {str(number): [head.seq, head.digest] for number, head in self.heads.items()},
            "trimmed": _text(self.trimmed),
            "lost": [_text(line) for line in self.lost],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """The numbers from `first` to `last` are known to have been given, and nothing has their entries any more. `sealed`
    is the next place behind it where a checkpoint says what the bucket's digest was; None for none."""

    first: int
    last: int
    sealed: Head | None = None

    def members(self) -> list[object]:
        return [self.first, self.last, *([self.sealed.seq, self.sealed.digest] if self.sealed else ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`digest` is the SHA-256 (hex) of all lines before. `heads` is by bucket the newest number and link, (0, "")
    for none. `key` is the id of the key that signs. `at` is the exporting node's clock, ms. `rebuilt`: the trail was
    put together again after the loss of the store, and these holes are left, by bucket and in order. `begun` is when
    the newest checkpoint was asked for, by the store's clock (ms)."""

    at: int
    entries: int
    digest: str
    heads: Mapping[int, tuple[int, str]]
    key: str
    selection: Selection = field(default_factory=Selection)
    seals: Seals = field(default_factory=Seals)
    rebuilt: Mapping[int, tuple[Hole, ...]] | None = None
    begun: int | None = None

    def body(self) -> bytes:
        members: dict[str, object] = {
            "version": VERSION,
            "at": self.at,
            "entries": self.entries,
            "digest": self.digest,
            "selection": self.selection.members(),
            "heads": {str(number): {"seq": seq, "hash": link} for number, (seq, link) in self.heads.items()},
            **self.seals.members(),
            "key": self.key,
        }
        if self.begun is not None:
            members["begun"] = self.begun
        if self.rebuilt is not None:
            members["rebuilt"] = {
                str(number): [one.members() for one in holes] for number, holes in self.rebuilt.items()
            }
        return BEGINS + orjson.dumps(members)[1:]


def read(line: bytes) -> Ended:
    """`ValueError` for any other line."""
    try:
        members = orjson.loads(line)
        if members["type"] != "export.ended" or members["version"] != VERSION:
            raise ValueError("not the last line of an export")
        return _read(members)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not the last line of an export") from error


def _read(members: Mapping[str, Any]) -> Ended:
    return Ended(
        at=int(members["at"]),
        entries=int(members["entries"]),
        digest=members["digest"],
        heads={int(number): (int(head["seq"]), head["hash"]) for number, head in members["heads"].items()},
        key=members["key"],
        selection=Selection(**members["selection"]),
        seals=Seals(
            newest=_bytes(members["checkpoint"]),
            heads={int(number): Head(seq=int(seq), digest=d) for number, (seq, d) in members["sealed"].items()},
            trimmed=_bytes(members["trimmed"]),
            lost=tuple(base64.b64decode(text, validate=True) for text in members["lost"]),
        ),
        rebuilt=_holes(members["rebuilt"]) if "rebuilt" in members else None,
        begun=int(members["begun"]) if "begun" in members else None,
    )


def _holes(members: Mapping[str, list[list[Any]]]) -> dict[int, tuple[Hole, ...]]:
    return {int(number): tuple(_hole(*one) for one in holes) for number, holes in members.items()}


def _hole(first: int, last: int, seq: int | None = None, digest: str = "") -> Hole:
    return Hole(first=int(first), last=int(last), sealed=None if seq is None else Head(seq=int(seq), digest=digest))


def _text(line: bytes | None) -> str | None:
    """In base64: the signature is over the very bytes."""
    return None if line is None else base64.b64encode(line).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
