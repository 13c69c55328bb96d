"""Strangers with bad keys: after many failures a source is told to wait. A good key always gets in.

Only failures count and only failures are refused, so nobody can lock anybody out. A source is an address, or the
/64 of an IPv6 one, which is what one machine is given.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES_A_SECOND = 10.0
FAILURES_AT_ONCE = 300.0
SOURCES = 10_000
_NOWHERE = "-"


class Throttle:
    """`now` is a monotonic clock in seconds. At most `SOURCES` are remembered, those heard of last."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._sources: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Nobody has failed so far."""
        return not self._sources

    def waits(self, address: str | None) -> bool:
        """Whether one more failure from `address` would be too many."""
        return self._level(_source(address), self._now()) + 1.0 > FAILURES_AT_ONCE

    def failed(self, address: str | None) -> int | None:
        """Count one failure from `address`; seconds to wait once there were too many."""
        source, now = _source(address), self._now()
        level = self._level(source, now)
        self._sources.pop(source, None)
        waits = level + 1.0 > FAILURES_AT_ONCE
        self._sources[source] = (level if waits else level + 1.0, now)
        if len(self._sources) > SOURCES:
            self._sources.popitem(last=False)
        return max(1, math.ceil((level + 1.0 - FAILURES_AT_ONCE) / FAILURES_A_SECOND)) if waits else None

    def _level(self, source: str, now: float) -> float:
        level, at = self._sources.get(source, (0.0, now))
        return max(0.0, level - (now - at) * FAILURES_A_SECOND)


@lru_cache(maxsize=1024)
def _source(address: str | None) -> str:
    if address is None:
        return _NOWHERE
    found = ip_address(address)
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found)
