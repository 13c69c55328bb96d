"""A disk that loses power: which bytes of which files had been synced, as the kernel has it.

The server runs under ptrace: every fsync and fdatasync of all its threads is seen from both sides. What a file held
when the call began is safe once it has returned 0; whoever called it does not go on before that is written down. The
cut leaves exactly this, or, as a disk may, a part of what came after.

Linux on x86-64 and arm64; no right of any kind is needed to trace one's own child.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRACEME, SYSCALL, SETOPTIONS, GETREGSET = 0, 24, 0x4200, 0x4204
SYSGOOD, FORKS, CLONES, KILLED_WITH_US = 1, 2, 8, 0x100000
NT_PRSTATUS = 1
SYSCALL_STOP = signal.SIGTRAP | 0x80
WALL = 0x40000000
# (fsync, fdatasync), and where number, first argument and result stand among the registers
MACHINES = {"x86_64": ((74, 75), 15, 14, 10), "aarch64": ((82, 83), 8, 0, 0)}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def ptrace(request: int, pid: int, address: int, data: int) -> None:
    if libc.ptrace(request, pid, address, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def registers(pid: int) -> list[int]:
    room = (ctypes.c_ulonglong * 64)()
    span = _Span(ctypes.addressof(room), ctypes.sizeof(room))
    ptrace(GETREGSET, pid, NT_PRSTATUS, ctypes.addressof(span))
    return list(room)


@dataclass(kw_only=True)
class Tracer:
    """Follows one process with its threads; writes ``inode size`` for each sync that has ended well."""

    log: int
    pid: int
    inside: dict[int, tuple[int, int] | None] = field(default_factory=dict)

    def follow(self) -> int:
        """Until the process is over; gives its exit code."""
        numbers, *places = MACHINES[platform.machine()]
        while True:
            pid, status = os.waitpid(-1, WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if pid == self.pid:
                    return os.waitstatus_to_exitcode(status)
                continue
            stopped = os.WSTOPSIG(status)
            if stopped == SYSCALL_STOP:
                self._crossed(pid, numbers, places)
            quiet = stopped in {SYSCALL_STOP, signal.SIGTRAP, signal.SIGSTOP}
            try:
                ptrace(SYSCALL, pid, 0, 0 if quiet else stopped)
            except ProcessLookupError:
                continue  # it was killed meanwhile; the next wait tells

    def _crossed(self, pid: int, numbers: tuple[int, int], places: list[int]) -> None:
        """The border between a thread and the kernel, in or out."""
        try:
            values = registers(pid)
        except ProcessLookupError:
            return
        number, argument, result = (values[place] for place in places)
        if pid not in self.inside:
            self.inside[pid] = self._file(pid, argument) if number in numbers else None
            return
        begun = self.inside.pop(pid)
        if begun is not None and result == 0:
            os.write(self.log, b"%d %d\n" % begun)

    def _file(self, pid: int, descriptor: int) -> tuple[int, int] | None:
        """A file is known by its inode: it may get another name later."""
        try:
            found = Path(f"/proc/{pid}/fd/{descriptor}").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size


def trace(log: Path, words: list[str]) -> int:
    pid = os.fork()
    if not pid:
        ptrace(TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execv(words[0], words)  # noqa: S606 -- the server that the test names
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, 0, SYSGOOD | CLONES | FORKS | KILLED_WITH_US)
    ptrace(SYSCALL, pid, 0, 0)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return Tracer(log=file, pid=pid).follow()


@dataclass(kw_only=True)
class Disk:
    """The files of one directory, and how much of each is safe, by inode. Names are taken to be safe at once."""

    directory: Path
    log: Path
    safe: dict[int, int] = field(default_factory=dict)

    def files(self) -> list[Path]:
        return [path for path in self.directory.rglob("*") if path.is_file()]

    def power_on(self) -> None:
        """What is there has survived."""
        self.log.unlink(missing_ok=True)
        self.safe = {path.stat().st_ino: path.stat().st_size for path in self.files()}

    def power_lost(self, part: Callable[[int, int], int]) -> int:
        """Cut every file somewhere between what is safe and what was written, where `part` says; gives how many bytes
        were never synced."""
        for line in self.log.read_text().splitlines():
            inode, size = map(int, line.split())
            self.safe[inode] = max(size, self.safe.get(inode, 0))
        unsafe = 0
        for path in self.files():
            found = path.stat()
            safe = min(self.safe.get(found.st_ino, 0), found.st_size)
            unsafe += found.st_size - safe
            os.truncate(path, part(safe, found.st_size))
        return unsafe


if __name__ == "__main__":
    sys.exit(trace(Path(sys.argv[1]), sys.argv[2:]))
