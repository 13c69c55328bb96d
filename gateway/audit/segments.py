"""The journal's files: append, fsync, rotate, read. Plain blocking calls, for one thread alone.

A file is named by the number of its first line, under the slot of its writer: every process that uses the
directory has a slot of its own, and the next process takes over the slot of one that is gone.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import structlog

from gateway.audit.chain import GENESIS
from gateway.audit.note import Head, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.audit.note import Line

_log = structlog.stdlib.get_logger("journal")

SLOTS = 256  # processes that may share a directory
SEGMENT_BYTES = 8 * 2**20


@dataclass(slots=True, kw_only=True)
class Reading:
    """How far one file's lines follow from each other. `end` is where the last good one ends; `begins` is the number of
    the first good one, and `skipped` how often the number is not the next one behind it."""

    link: str = GENESIS
    number: int = 0
    end: int = 0
    bad: int = 0
    bad_inside: int = 0
    torn: int = 0  # bad ones without their end
    begins: int = 0
    skipped: int = 0

    @property
    def spoiled(self) -> int:
        """Lines that somebody has changed, or cut the ones before of: a crash leaves none."""
        return self.bad_inside + self.bad - self.torn


class Segments:
    """`key` chains the lines. Every method raises `OSError` for what the disk does not do; after that the files
    are opened anew by the next append, and what the failed one left behind is cut."""

    def __init__(self, directory: Path, *, key: bytes, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._key = key
        self._limit = segment_bytes
        self._lock: IO[str] | None = None
        self._slot = 0
        self._fd = -1
        self._path = directory
        self._size = 0
        self._link = GENESIS
        self._number = 0
        self._last = b""
        self._failed = False

    def open(self) -> None:
        """Ready to append when this returns."""
        try:
            self._open()
        except OSError:
            self._give_up()
            raise

    def append(self, lines: Sequence[Line], *, durable: bool) -> str:
        """Write the lines, `durable` ones to the disk itself. Gives the name of the file that they are in."""
        try:
            if self._fd < 0 or os.fstat(self._fd).st_nlink == 0:
                self._open()
            if self._size >= self._limit:
                self._start()
            self._write(lines)
            if durable:
                os.fdatasync(self._fd)
        except OSError:
            self._give_up()
            raise
        return self._path.name

    @property
    def current(self) -> str:
        """The name of the file that is written."""
        return self._path.name

    def read_back(self) -> bool:
        """Whether the newest line stands in the file of that name. If not, another file may have taken its place: the
        next append begins anew."""
        stands = self._stands()
        if not stands:
            self._give_up()
        return stands

    def _stands(self) -> bool:
        try:
            with self._path.open("rb") as file:
                file.seek(self._size - len(self._last))
                return bool(self._last) and file.read(len(self._last)) == self._last
        except OSError:
            return False

    def read(self) -> Iterator[tuple[str, Line]]:
        """Every good line with the name of its file, oldest first."""
        for path in self.files():
            yield from self._read(path, Reading())

    def files(self) -> list[Path]:
        return sorted(self._directory.glob(f"{self._slot}-*.jsonl"))

    def total_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files())

    def drop(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def close(self) -> None:
        self._close_file()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # ── inside ──

    def _open(self) -> None:
        self.close()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_slot()
        for path in reversed(self.files()):
            if self._resume(path):
                return
        self._start()

    def _take_slot(self) -> None:
        for slot in range(SLOTS):
            lock = (self._directory / f"{slot}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock, self._slot = lock, slot
            return
        raise OSError("no slot is free")

    def _resume(self, path: Path) -> bool:
        """Go on after the newest file's last good line; in another file when this one has failed us. False for a
        file without a good line."""
        reading = Reading()
        for _ in self._read(path, reading):
            pass
        self._cut(path, reading.end)
        if not reading.end:
            path.unlink()
            return False
        self._link, self._number = reading.link, reading.number
        if self._failed:
            self._start()
        else:
            self._path, self._size = path, reading.end
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return True

    def _cut(self, path: Path, end: int) -> None:
        """What follows the last good line was never acknowledged: it is put aside."""
        with path.open("r+b") as file:
            file.seek(end)
            torn = file.read()
            if not torn:
                return
            _log.warning("journal.cut", file=path.name, at=end, bytes=len(torn))
            path.with_suffix(".torn").write_bytes(torn)
            file.truncate(end)
            os.fsync(file.fileno())

    def _start(self) -> None:
        self._close_file()
        self._path = self._directory / f"{self._slot}-{self._number + 1:016}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)
        self._size = 0
        self._write([Head(previous=self._link)])
        os.fsync(self._fd)
        self._sync_directory()
        self._failed = False

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _write(self, lines: Sequence[Line]) -> None:
        following, number, texts = self._link, self._number, []
        for line in lines:
            number += 1
            text, following = write_line(self._key, following, number, line)
            texts.append(text)
        data = b"".join(texts)
        written = 0
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self._link, self._number, self._size = following, number, self._size + len(data)
        self._last = texts[-1] if texts else self._last

    def _read(self, path: Path, reading: Reading) -> Iterator[tuple[str, Line]]:
        at, previous = 0, reading.link
        with path.open("rb") as file:
            for data in file:
                at += len(data)
                found = read_line(self._key, previous, data[:-1]) if data.endswith(b"\n") else None
                if found is None:
                    reading.bad += 1
                    reading.torn += not data.endswith(b"\n")
                    previous = _stated_link(data) or previous
                    continue
                line, number, previous = found
                reading.skipped += bool(reading.begins) and number != reading.number + 1
                reading.begins = reading.begins or number
                reading.link, reading.number = previous, number
                reading.end, reading.bad, reading.bad_inside = at, 0, reading.bad_inside + reading.bad
                yield path.name, line
        if reading.bad_inside:
            _log.error("journal.broken", file=path.name, lines=reading.bad_inside)

    def _give_up(self) -> None:
        """After a failed write or sync nobody knows what the file holds: it is read again before it is used."""
        self._failed = True
        self._last = b""
        self.close()

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def file_lines(path: Path, keys: Iterable[bytes], reading: Reading) -> Iterator[Line]:
    """Every good line of one file, by the first of these keys that wrote any of it; for whoever only reads.
    `reading` is then how far they follow."""
    for key in keys:
        reading.bad = reading.bad_inside = reading.torn = reading.begins = reading.skipped = reading.number = 0
        lines = Segments(path.parent, key=key)._read(path, reading)  # noqa: SLF001 -- the same module
        first = next(lines, None)
        if first is not None:
            yield first[1]
            yield from (line for _, line in lines)
            return


def _stated_link(data: bytes) -> str | None:
    """A changed line still says which link the next one follows."""
    stated = data.rstrip(b"\n")[-66:-2]
    return stated.decode(errors="replace") if len(stated) == 64 else None  # noqa: PLR2004 -- a SHA-256 in hex
