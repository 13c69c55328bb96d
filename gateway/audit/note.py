"""What the journal keeps, one line each: steps of calls, and what has become of them in the store.

A line is one JSON object whose last member is its link, an HMAC over the line before and the rest of this one:
a line that was changed, moved or left out does not follow from the one before.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import orjson

from gateway.audit.chain import link
from gateway.frozen import quick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LINK = b',"link":"'
_LINK_BYTES = len(_LINK) + 64 + len(b'"}')


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One step: its entry, and the redaction after it. Written again under the same `op`, the newest counts.

    `held` are the holds that the store was not known to have, as (client, name). A `needed` step counts only when
    the store took it. `at` is the node's clock, ms.
    """

    op: str
    tenant: str
    call_id: str
    bucket: int
    at: int
    needed: bool
    open: bool
    held: tuple[tuple[str, str], ...]
    entry: bytes
    state: bytes


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The store has the entry of `op`, under this number and link of the bucket's trail. `at` is when, by the store's
    clock in ms; 0 when that is not known."""

    op: str
    bucket: int
    seq: int
    link: str
    at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    """The step was not taken after all."""

    op: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An open redaction whose steps stood in a file that is gone."""

    tenant: str
    call_id: str
    bucket: int
    state: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first line of every file. `previous` is the link of the line before, in the file before."""

    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Written to be read back."""

    at: int


Line = Note | Ack | Void | Kept | Head | Probe


def journal_key(key: bytes) -> bytes:
    """What chains the journal's lines, where `key` chains the entries."""
    return hmac.digest(key, b"journal", "sha256")


def write_line(key: bytes, previous: str, number: int, line: Line) -> tuple[bytes, str]:
    """The line, with its newline, and its link."""
    body = orjson.dumps({"n": number, "type": _TYPES[type(line)], **_members(line)})
    following = link(key, previous, body)
    return body[:-1] + _LINK + following.encode() + b'"}\n', following


def read_line(key: bytes, previous: str, data: bytes) -> tuple[Line, int, str] | None:
    """The line without its newline, its number and its link; None for what we have not written there."""
    body, following = data[:-_LINK_BYTES] + b"}", data[-66:-2].decode(errors="replace")
    try:
        members = orjson.loads(data)
        line = _LINES[members["type"]](members)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    before = line.previous if isinstance(line, Head) else previous
    ours = _LINK + following.encode() + b'"}'  # no link covers how it is itself written
    if link(key, before, body) != following or data[-_LINK_BYTES:] != ours:
        return None
    return line, int(members["n"]), following


def _members(line: Line) -> dict[str, object]:
    match line:
        case Note():
            return {
                "op": line.op,
                "tenant": line.tenant,
                "call": line.call_id,
                "bucket": line.bucket,
                "at": line.at,
                "needed": line.needed,
                "open": line.open,
                "held": line.held,
                "entry": orjson.Fragment(line.entry),
                "state": orjson.Fragment(line.state),
            }
        case Ack():
            return {"op": line.op, "bucket": line.bucket, "seq": line.seq, "hash": line.link, "at": line.at}
        case Void():
            return {"op": line.op}
        case Kept():
            state = orjson.Fragment(line.state)
            return {"tenant": line.tenant, "call": line.call_id, "bucket": line.bucket, "state": state}
        case Head():
            return {"previous": line.previous}
        case Probe():
            return {"at": line.at}
        case _:
            assert_never(line)


def _note(m: Mapping[str, Any]) -> Note:
    return Note(
        op=m["op"],
        tenant=m["tenant"],
        call_id=m["call"],
        bucket=m["bucket"],
        at=m["at"],
        needed=m["needed"],
        open=m["open"],
        held=tuple((client, name) for client, name in m["held"]),
        entry=orjson.dumps(m["entry"]),
        state=orjson.dumps(m["state"]),
    )


def _kept(m: Mapping[str, Any]) -> Kept:
    return Kept(tenant=m["tenant"], call_id=m["call"], bucket=m["bucket"], state=orjson.dumps(m["state"]))


_TYPES: dict[type[Line], str] = {
    Note: "note",
    Ack: "ack",
    Void: "void",
    Kept: "kept",
    Head: "head",
    Probe: "probe",
}
_LINES: dict[str, Callable[[Mapping[str, Any]], Line]] = {
    "note": _note,
    "ack": lambda m: Ack(op=m["op"], bucket=m["bucket"], seq=m["seq"], link=m["hash"], at=m.get("at", 0)),
    "void": lambda m: Void(op=m["op"]),
    "kept": _kept,
    "head": lambda m: Head(previous=m["previous"]),
    "probe": lambda m: Probe(at=m["at"]),
}
