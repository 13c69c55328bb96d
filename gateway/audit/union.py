"""The journals beside the trail: does each follow from line to line and from file to file, and does the trail have
every entry of which a journal says that the store took it? Together they are the trail.

What it cannot tell: lines cut from the end of a journal's newest file, and a journal that is gone as a whole. The store
has what was in them, or the log.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.audit.buckets import parsed
from gateway.audit.findings import Findings, Kind
from gateway.audit.note import Ack, Head, Note, Void, journal_key
from gateway.audit.segments import Reading, file_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gateway.audit.keyring import Keyring

_FILE = re.compile(r"(\d+)-(\d{16})\.jsonl")


def is_journal(path: Path) -> bool:
    """A journal's directory, or one of its files."""
    return any(_files(path)) if path.is_dir() else _FILE.fullmatch(path.name) is not None


def journal_in(path: Path) -> Path | None:
    """The journal that is meant: `path` itself, or what a gateway whose `store.directory` it is has in it; None where
    there is none."""
    return next((one for one in (path, path / "journal") if one.exists() and is_journal(one)), None)


def _files(path: Path) -> list[Path]:
    each = path.iterdir() if path.is_dir() else [path]
    return sorted(one for one in each if _FILE.fullmatch(one.name))


@dataclass(slots=True, kw_only=True)
class Journals:
    """What was read of them. `acked` is by operation where the store is said to have put its entry."""

    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    lines: int = 0
    entries: int = 0
    waiting: int = 0
    acked: dict[str, Ack] = field(default_factory=dict)

    def read(self, path: Path, keyring: Keyring) -> None:
        """One more, a directory or a file. `OSError` when it cannot be read."""
        slots: defaultdict[str, list[Path]] = defaultdict(list)
        for one in _files(path):
            slots[one.name.partition("-")[0]].append(one)
        for files in slots.values():
            self._slot(files, [journal_key(one.key) for one in keyring.chains])
        if path.is_dir() and (torn := sorted(one.name for one in path.glob("*-*.torn"))):
            self.notes.append(f"put aside when a process went on after a crash, or with a new key: {', '.join(torn)}")

    def _slot(self, files: list[Path], keys: list[bytes]) -> None:
        """The files of one writer, oldest first."""
        open_: dict[str, Note] = {}
        before: Reading | None = None
        for path in files:
            reading = Reading()
            for line in file_lines(path, keys, reading):
                self.lines += 1
                self._line(line, open_)
                if isinstance(line, Head) and before is not None and line.previous != before.link:
                    self.findings.add(Kind.HOLE, f"{path.name} does not follow the file before it")
            self._judge(path, reading, first=before is None, last=path is files[-1])
            before = reading
        self.waiting += sum(not note.needed for note in open_.values())

    def _line(self, line: object, open_: dict[str, Note]) -> None:
        match line:
            case Note():
                self.entries += line.op not in open_ and line.op not in self.acked
                open_[line.op] = line
            case Ack():
                open_.pop(line.op, None)
                self.acked[line.op] = line
            case Void():
                open_.pop(line.op, None)
            case _:
                pass

    def _judge(self, path: Path, reading: Reading, *, first: bool, last: bool) -> None:
        begins = int(path.name.partition("-")[2].partition(".")[0])
        if not reading.number:
            self.findings.add(Kind.UNREADABLE, f"{path.name} has no line that a key of ours has written")
            return
        if reading.spoiled or (reading.bad and not last):
            bad = reading.bad_inside + reading.bad
            self.findings.add(Kind.EDITED, f"{bad} lines do not follow in {path.name}")
        elif reading.bad:
            self.notes.append(f"the last line of {path.name} has no end, as after a crash")
        if reading.begins != begins or reading.skipped:
            self.findings.add(Kind.HOLE, f"lines are missing in {path.name}")
        if first and begins > 1:
            self.notes.append(f"it begins with line {begins}: a journal drops files once the store has all of theirs")

    # ── together with the trail ──

    def union(self) -> Union:
        return Union({(ack.bucket, ack.seq, ack.link.encode()): ack for ack in self.acked.values() if ack.seq})


class Union:
    """`acked` is what has to stand in the trail, each until it was seen there."""

    def __init__(self, acked: Mapping[tuple[int, int, bytes], Ack]) -> None:
        self._missing = dict(acked)
        self.known = len(self._missing)

    def saw(self, line: bytes) -> None:
        """A good line of the trail, as it is exported."""
        if self._missing and (found := parsed(line)) is not None:
            number, seq, _, link, _ = found
            self._missing.pop((number, seq, link), None)

    def judge(self, findings: Findings, *, due: Callable[[Ack], bool]) -> int:
        """What is `due` and was not seen is a finding; gives how many are not due."""
        later = 0
        for ack in sorted(self._missing.values(), key=lambda one: (one.bucket, one.seq)):
            if due(ack):
                text = "the journal has an entry that the store took here, and the trail has not"
                findings.add(Kind.HOLE, text, bucket=ack.bucket, seq=ack.seq)
            else:
                later += 1
        return later


def read_all(paths: Iterable[Path], keyring: Keyring) -> Journals:
    """`OSError` when one of them cannot be read."""
    found = Journals()
    for path in paths:
        found.read(path, keyring)
    return found
