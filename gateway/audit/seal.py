"""Seals: signed checkpoints over the heads of all buckets, each naming the one before.

The chain of a call shows what its entries were; it says neither their numbers nor when the store took them. The
digest of a bucket does: it is the hash of the digest before and of the bucket's next line as it is exported, with
number, time, link and entry. A checkpoint has the digests that have changed since the one before it, and `root`, a
hash over those of all buckets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIND = "checkpoint"
BUCKETS = 64
VERSION = 1
BEFORE_ALL = ""  # what the first checkpoint names as the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far a bucket is sealed: the newest number, and the digest (hex) over all of its lines up to it."""

    seq: int = 0
    digest: str = ""


Heads = dict[int, Head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A bucket lost what was sealed: the numbers after `kept` up to `had` were given anew. `entries` are the
    SHA-256 (hex) of entries that were there and are gone, as far as they are known; the journal brings them back,
    marked as healed."""

    had: int
    kept: int
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where the trail begins, when what came before was taken away: the heads of all buckets at a checkpoint."""

    number: int
    hash: str
    heads: Mapping[int, Head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`at` is the sealing node's clock, ms. `heads` are the changed ones. `chain_key` and `key` are the ids of the
    keys in use. `lost` is by bucket. `trimmed`: from now on the trail may begin there."""

    number: int
    previous: str
    at: int
    node: str
    heads: Mapping[int, Head]
    root: str
    chain_key: str
    key: str
    lost: Mapping[int, Lost] = field(default_factory=dict)
    trimmed: Base | None = None

    def body(self) -> bytes:
        """What is signed."""
        members: dict[str, object] = {
            "type": KIND,
            "version": VERSION,
            "n": self.number,
            "previous": self.previous,
            "at": self.at,
            "node": self.node,
            "buckets": _heads(self.heads),
            "root": self.root,
            "chain_key": self.chain_key,
            "key": self.key,
        }
        if self.lost:
            members["lost"] = {str(number): [one.had, one.kept, *one.entries] for number, one in self.lost.items()}
        if self.trimmed is not None:
            members["trimmed"] = base_members(self.trimmed)
        return orjson.dumps(members)


def read(line: bytes) -> Checkpoint:
    """The checkpoint that the line holds; whether it is signed is another question. `ValueError`: none."""
    try:
        members = orjson.loads(line)
        return _read(members)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError("not a checkpoint") from error


def _read(members: Mapping[str, Any]) -> Checkpoint:
    if members["type"] != KIND or members["version"] != VERSION:
        raise ValueError("not a checkpoint")
    trimmed = members.get("trimmed")
    return Checkpoint(
        number=int(members["n"]),
        previous=members["previous"],
        at=int(members["at"]),
        node=members["node"],
        heads=_read_heads(members["buckets"]),
        root=members["root"],
        chain_key=members["chain_key"],
        key=members["key"],
        lost={
            int(number): Lost(had=int(had), kept=int(kept), entries=tuple(entries))
            for number, (had, kept, *entries) in members.get("lost", {}).items()
        },
        trimmed=read_base(trimmed) if trimmed is not None else None,
    )


def base_members(base: Base) -> dict[str, object]:
    return {"n": base.number, "hash": base.hash, "buckets": _heads(base.heads)}


def read_base(members: Mapping[str, Any]) -> Base:
    """`KeyError`, `TypeError`, `ValueError` for what is none."""
    return Base(number=int(members["n"]), hash=members["hash"], heads=_read_heads(members["buckets"]))


def extended(head: Head, lines: Iterable[bytes], seq: int) -> Head:
    """The head after these lines, each with its newline, the last of them number `seq`."""
    digest = head.digest.encode()
    for line in lines:
        digest = hashlib.sha256(digest + line).hexdigest().encode()
    return Head(seq=seq, digest=digest.decode())


def root(heads: Mapping[int, Head]) -> str:
    """One hash over the heads of all buckets; one without entries counts as empty."""
    nothing = Head()
    each = (heads.get(number, nothing) for number in range(BUCKETS))
    text = "".join(f"{number} {head.seq} {head.digest}\n" for number, head in enumerate(each))
    return hashlib.sha256(text.encode()).hexdigest()


def _heads(heads: Mapping[int, Head]) -> dict[str, list[object]]:
    return {str(number): [heads[number].seq, heads[number].digest] for number in sorted(heads)}


def _read_heads(members: Mapping[str, Any]) -> Heads:
    return {int(number): Head(seq=int(seq), digest=digest) for number, (seq, digest) in members.items()}
