"""The worst of many, so that a bad year does not make a file that nobody can open."""

from __future__ import annotations

from heapq import heappush, heappushpop
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 1_000


class Worst(Generic[T]):
    """Keeps the `most` with the highest weight, and counts all."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heap: list[tuple[float, int, T]] = []
        self.count = 0

    def add(self, weight: float, item: T) -> None:
        self.count += 1
        entry = (weight, -self.count, item)
        if len(self._heap) < self._most:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    @property
    def kept(self) -> list[T]:
        """The worst first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]

    @property
    def left_out(self) -> int:
        return self.count - len(self._heap)
