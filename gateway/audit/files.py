"""Verify an export that is a file."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from gateway.audit import export
from gateway.audit.export import BEGINS, Seals, Selection
from gateway.audit.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from gateway.audit.export import Hole
    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring

BLOCK = 2**20
_LONGEST_END = 2**26


def verify_file(
    path: Path,
    keyring: Keyring,
    *,
    known: Iterable[bytes] = (),
    progress: Callable[[int], None] | None = None,
    good: Callable[[bytes], None] | None = None,
) -> Verdict:
    """`progress` is told how many bytes were read, `good` gets what `verified_lines` gives. `OSError` when the file
    cannot be read."""
    with path.open("rb") as file:
        return judged(file, keyring, known=known, progress=progress, good=good)


def judged(
    file: IO[bytes],
    keyring: Keyring,
    *,
    known: Iterable[bytes] = (),
    progress: Callable[[int], None] | None = None,
    good: Callable[[bytes], None] | None = None,
) -> Verdict:
    """As `verify_file`, of a file that is open and can be sought in."""
    last, length = last_line(file)
    verifier = _verifier(last, keyring, known)
    for block in blocks(file, length):
        verifier.feed_to(block, good)
        if progress is not None:
            progress(len(block))
    verifier.ends(last)
    return verifier.close()


def verified_lines(path: Path, keyring: Keyring, *, known: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Every line of the export for which nothing was found, with its newline, in order: what a report is made of.
    What is wrong with the rest and with the whole is `verify_file`'s to say."""
    with path.open("rb") as file:
        last, length = last_line(file)
        verifier = _verifier(last, keyring, known)
        for block in blocks(file, length):
            yield from verifier.feed_verified(block)


def _verifier(last: bytes | None, keyring: Keyring, known: Iterable[bytes]) -> Verifier:
    try:
        ended = export.read(last or b"")
    except ValueError:
        return Verifier(keyring, Seals(), known=known)
    selection, rebuilt = ended.selection, ended.rebuilt
    return Verifier(keyring, ended.seals, selection=selection, known=known, rebuilt=rebuilt, ended=ended)


def seals_of(last: bytes | None) -> tuple[Seals, Selection]:
    """What the entries are held against stands at the end, which is read first; nothing where there is no end."""
    try:
        ended = export.read(last or b"")
    except ValueError:
        return Seals(), Selection()
    return ended.seals, ended.selection


def whole(path: Path) -> bool:
    """Not a selection, as far as it says so."""
    with path.open("rb") as file:
        last, _ = last_line(file)
    return seals_of(last)[1].everything


def rebuilt_of(last: bytes | None) -> Mapping[int, tuple[Hole, ...]] | None:
    """The holes of an export that was put together again; None for any other."""
    try:
        return export.read(last or b"").rebuilt
    except ValueError:
        return None


def last_line(file: IO[bytes]) -> tuple[bytes | None, int]:
    """The signed last line, without its newline, and where it begins; None and the size where there is none."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    for back in (2**16, 2**20, _LONGEST_END):
        file.seek(max(0, size - back))
        tail = file.read()
        begin = tail.rfind(b"\n", 0, -1) + 1
        if begin or len(tail) == size:
            break
    else:
        return None, size
    line = tail[begin:]
    if not line.startswith(BEGINS) or not line.endswith(b"\n"):
        return None, size
    return line[:-1], size - len(line)


def blocks(file: IO[bytes], length: int) -> Iterator[bytes]:
    """The first `length` bytes, in blocks of whole lines."""
    file.seek(0)
    rest = b""
    while length > 0 and (data := file.read(min(BLOCK, length))):
        length -= len(data)
        whole, newline, end = (rest + data).rpartition(b"\n")
        if newline:
            yield whole + newline
        rest = end
    if rest:
        yield rest
