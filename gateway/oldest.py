"""The least of many times, each under a name, without looking at all of them."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")

SPARE = 64  # names that are gone and may still lie about, and as many more as there are names


class Oldest(Generic[K]):
    """`put` and `drop` cost next to nothing, whatever there is; so does `least`, over time."""

    def __init__(self) -> None:
        self._times: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, name: object) -> bool:
        return name in self._times

    def put(self, name: K, time: int) -> None:
        if self._times.get(name) == time:
            return
        self._times[name] = time
        heapq.heappush(self._heap, (time, next(self._order), name))
        if len(self._heap) > 2 * len(self._times) + SPARE:
            self._heap = [(at, next(self._order), one) for one, at in self._times.items()]
            heapq.heapify(self._heap)

    def drop(self, name: K) -> None:
        self._times.pop(name, None)

    def least(self) -> tuple[K, int] | None:
        """Whose time is the least; None when there is nobody."""
        while self._heap:
            time, _, name = self._heap[0]
            if self._times.get(name) == time:
                return name, time
            heapq.heappop(self._heap)
        return None
