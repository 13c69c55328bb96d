"""The names of what is stored, and what stands there as data. Everything of a bucket carries its hash tag."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from gateway.model import CallKey
from gateway.store.codec import decode, encode
from gateway.store.contract import BUCKETS, Claim, Stored, StoreUnavailable, TrailEntry, Use, Word, bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.contract import Change

CHANGES = "{b*}:audit:changes"  # the channels on which every change is told, as a pattern


@cache
def tag(number: int) -> str:
    """The hash tag of everything in bucket `number`."""
    return f"{{b{number}}}"


class Keys:
    """The names of one call's and its bucket's keys."""

    def __init__(self, key: CallKey) -> None:
        self.bucket = bucket(key)
        self.call = f"{tag(self.bucket)}:call:{member(key)}"
        self.index = f"{tag(self.bucket)}:entries:{member(key)}"
        self.trail = trail(self.bucket)
        self.sequence = sequence(self.bucket)
        self.due = due(self.bucket)

    def all(self) -> tuple[str, ...]:
        return self.call, self.index, self.trail, self.sequence, self.due


@cache
def trail(number: int) -> str:
    return f"{tag(number)}:audit"


@cache
def sequence(number: int) -> str:
    return f"{tag(number)}:seq"


@cache
def due(number: int) -> str:
    return f"{tag(number)}:due"


@cache
def lease(number: int) -> str:
    return f"{tag(number)}:lease"


def probe(number: int, name: str) -> str:
    return f"{tag(number)}:probe:{name}"


def spread(kind: str, name: str) -> tuple[int, str]:
    """A key that belongs to no call, and the bucket that its name gives it."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % BUCKETS
    return number, f"{tag(number)}:{kind}:{name}"


def member(key: CallKey) -> str:
    return f"{key.tenant}:{key.call_id}"


def claims(found: list[bytes]) -> tuple[Claim, ...]:
    pairs = zip(found[::2], found[1::2], strict=True)
    return tuple(Claim(key=_from_member(word.decode()), token=token.decode()) for word, token in pairs)


def uses(found: list[bytes]) -> dict[str, Use]:
    """What stands there of keys, names and times in turn: ``<kid>:seen`` and, once it was used, ``<kid>``."""
    times = {name.decode(): int(at) for name, at in zip(found[::2], found[1::2], strict=True)}
    kids = [name.removesuffix(":seen") for name in times if name.endswith(":seen")]
    return {kid: Use(seen_at=times[f"{kid}:seen"], used_at=times.get(kid)) for kid in kids}


def word(said: bytes) -> Word | None:
    """What is told of a change: the name of the call's hash, marked where somebody was let go. None for anything else,
    which is not the gateway's."""
    try:
        return Word(key=call_key(said), lets_go=said.startswith(b"!"))
    except (ValueError, IndexError):
        return None


def call_key(name: bytes) -> CallKey:
    """A call's key from the name of its hash; a tenant has no colon."""
    return _from_member(name.decode().split(":", 2)[2])


def _from_member(word: str) -> CallKey:
    tenant, call_id = word.split(":", 1)
    return CallKey(tenant=tenant, call_id=call_id)


def arguments(change: Change) -> tuple[str | bytes | int, ...]:
    """A step as the function takes it."""
    before = change.before
    return (
        change.op,
        before.redaction.revision if before else 0,
        before.head if before else "",
        change.after.revision,
        change.state or encode(change.after),
        change.entry,
        change.link,
        "" if change.due_at is None else change.due_at,
        "" if change.keep_ms is None else change.keep_ms,
        "!" if change.lets_go else "",
    )


def stored(key: CallKey, *, head: bytes | None, seq: bytes | int | None, state: bytes | None) -> Stored | None:
    if not state or not head:
        return None
    redaction = decode(state)
    if redaction.key != key:
        raise StoreUnavailable("the state is another call's")
    return Stored(redaction=redaction, head=head.decode(), seq=int(seq or 0))


_ROW = [b"e", b"h", b"t"]
_ROW_LENGTH = 2 * len(_ROW)


def trail_entry(number: int, row: Sequence[Any]) -> TrailEntry:
    """A row of the stream: its id, and its members one after the other."""
    name: bytes = row[0]
    flat: list[bytes] = row[1]
    seq = int(name.partition(b"-")[0])
    if len(flat) == _ROW_LENGTH and flat[::2] == _ROW:
        entry, link, time = flat[1::2]
    else:
        members = dict(zip(flat[::2], flat[1::2], strict=True))
        entry, link, time = members[b"e"], members[b"h"], members[b"t"]
        name = b""
    at = int(time)
    ours = time == b"%d" % at and name == b"%d-0" % seq
    return TrailEntry(bucket=number, seq=seq, at=at, link=link.decode(), entry=entry, beside=not ours)
