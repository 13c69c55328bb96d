"""Which core a process runs on: the service under test alone on one, everything that drives it on the other."""

from __future__ import annotations

import os
from pathlib import Path


def available() -> tuple[int, ...]:
    """The cores that this process may use; none where the system does not say."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def pin(pid: int, core: int | None) -> None:
    """Keep every thread of `pid` (0: this process, and what it starts) on `core`; None leaves it as it is."""
    if core is None:
        return
    for task in Path(f"/proc/{pid or 'self'}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def split() -> tuple[int | None, int | None]:
    """The core of the service under test and the core of everything else; none where there is only one."""
    cores = available()
    return (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
