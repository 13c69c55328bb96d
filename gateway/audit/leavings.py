"""What is left of the trail when the store is gone: the lines that the log stream and the journal have of it.

The log says where each entry stood, and has the checkpoints; of an entry with a call's id that looks like a card
number it has a masked text alone. The journal has every entry of a call, and of most of them where they stood.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.entry import healed
from gateway.audit.note import Ack, Note, Void, journal_key
from gateway.audit.schema import faults
from gateway.audit.segments import Reading, file_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.audit.keyring import Keyring

_EVENTS = (b'"entry.', b'"seal.made"')
_PLACED = frozenset({"entry.written", "entry.healed", "entry.found"})
_UNPLACED = frozenset({"entry.journaled", "entry.unwritten"})
_MASK = "*"  # no member of an entry may hold it


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where an entry stood. `entries` are what it may have been, none where that is not known; `at` is 0
    where that is not known. `keyed`: the journal says it, whose lines are chained with a key of ours."""

    bucket: int
    seq: int
    at: int
    link: str
    entries: tuple[bytes, ...]
    keyed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """An entry that no store is known to have taken. `keyed` as in `Placed`."""

    entry: bytes
    keyed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The line of a checkpoint."""

    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A line that holds no entry as one has to be, or `lines` of a journal that do not follow from those before."""

    text: str
    lines: int = 1


Leaving = Placed | Unplaced | Sealed | Spoiled


def logged(path: Path) -> Iterator[Leaving]:
    """What a file of the log stream has; lines of another form are passed over. `OSError` when it cannot be read."""
    with path.open("rb") as file:
        for line in file:
            if any(event in line for event in _EVENTS) and (found := _read(line)) is not None:
                yield found


def _read(line: bytes) -> Leaving | None:
    try:
        return _leaving(orjson.loads(line))
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def _leaving(members: dict[str, Any]) -> Leaving | None:
    event = members["event"]
    if event == "seal.made":
        return Sealed(line=base64.b64decode(members["seal"], validate=True))
    entry = str(members["entry"])
    if event in _PLACED | _UNPLACED and _MASK not in entry and faults(entry.encode()):
        return Spoiled(text="lines of the log hold no entry as one has to be")
    if event in _PLACED and members["seq"]:
        bucket, seq, at = int(members["bucket"]), int(members["seq"]), int(members["at"])
        known = () if _MASK in entry else (entry.encode(),)
        return Placed(bucket=bucket, seq=seq, at=at, link=str(members["hash"]), entries=known)
    if event in _UNPLACED and _MASK not in entry:
        return Unplaced(entry=entry.encode())
    return None


def journaled(directory: Path, keyring: Keyring) -> Iterator[Leaving]:
    """What the journals of all processes in this directory have. `OSError` when they cannot be read."""
    keys = [journal_key(one.key) for one in keyring.chains]
    notes: dict[tuple[str, str], Note] = {}
    for path in sorted((*directory.glob("*-*.jsonl"), *directory.glob("*-*.torn"))):
        slot = path.name.partition("-")[0]
        reading = Reading()
        for line in file_lines(path, keys, reading):
            match line:
                case Note():
                    notes[slot, line.op] = line
                case Ack() if (slot, line.op) in notes:
                    yield _placed(notes.pop((slot, line.op)), line)
                case Void():
                    notes.pop((slot, line.op), None)
                case _:
                    pass
        if reading.spoiled and path.suffix == ".jsonl":
            yield Spoiled(text=f"lines do not follow in {path.name}", lines=reading.spoiled)
    yield from (Unplaced(entry=note.entry, keyed=True) for note in notes.values() if not note.needed)


def _placed(note: Note, ack: Ack) -> Placed:
    """It does not say whether the entry came late."""
    entries = (note.entry, healed(note.entry))
    return Placed(bucket=ack.bucket, seq=ack.seq, at=ack.at, link=ack.link, entries=entries, keyed=True)
