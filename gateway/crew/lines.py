"""Standard output that several processes write to, a line at a time: a pipe that is full lets in the lines of others
in the middle of a long one, and a seal in the log that cannot be read is no witness."""

from __future__ import annotations

import fcntl
import io
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WHOLE = 2**20  # no line is that long: each comes in one piece


def turn() -> int:
    """A file that nobody else has, to be handed on: whoever writes a line holds it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lines")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _Shared(io.RawIOBase):
    def __init__(self, file: int, turn: int) -> None:
        self._file = file
        self._turn = turn

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        fcntl.lockf(self._turn, fcntl.LOCK_EX)
        try:
            whole = left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        finally:
            fcntl.lockf(self._turn, fcntl.LOCK_UN)
        return len(whole)


def shared(file: int, turn: int) -> io.TextIOWrapper:
    """`file` for whole lines: written when flushed, by nobody else meanwhile."""
    return io.TextIOWrapper(io.BufferedWriter(_Shared(file, turn), _WHOLE), encoding="utf-8", newline="\n")
