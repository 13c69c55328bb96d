"""A node's own disk, and the product's journal upon it: what was synced outlives the process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from virtual import never

from gateway.audit.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from client import Way

    from gateway.audit.note import Line
    from gateway.metrics import Metrics

_T = TypeVar("_T")


class Disk:
    """One endless file. `broken` until then, `slow` until then; what was not synced is lost with the process."""

    current = "0-1.jsonl"

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.synced = 0
        self.broken = 0.0
        self.slow = 0.0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def append(self, lines: Sequence[Line], *, durable: bool) -> str:
        self.lines.extend(lines)
        if durable:
            self.synced = len(self.lines)
        return self.current

    def read_back(self) -> bool:
        return True

    def read(self) -> Iterator[tuple[str, Line]]:
        return ((self.current, line) for line in list(self.lines))

    def files(self) -> list[Path]:
        return [Path(self.current)]

    def total_bytes(self) -> int:
        return 0

    def drop(self, path: Path) -> None: ...

    def lose_power(self) -> None:
        del self.lines[self.synced :]


class SimJournal(Journal):
    """The product's journal, without a thread and on a simulated disk."""

    def __init__(self, disk: Disk, way: Way, *, key: bytes, ms: Callable[[], int], metrics: Metrics) -> None:
        super().__init__(Path("nowhere"), key=key, ms=ms, metrics=metrics)
        self._disk = disk
        self._way = way
        self._segments = disk  # type: ignore[assignment]  # -- the same promises, kept in memory

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0.4 if now < self._disk.slow else 0.001)
        if self._way.dead:
            await never()
        if asyncio.get_running_loop().time() < self._disk.broken:
            raise OSError("disk full")
        return work()

    async def _beside(self, work: Callable[[], _T]) -> _T:
        return await self._in_thread(work)
