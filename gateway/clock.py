"""Time and chance, handed in, so that a simulation can own both."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`ms` is the wall clock in whole milliseconds since the epoch; deadlines are in the running loop's time."""

    ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def deadline(self, seconds: float) -> float:
        """The loop time `seconds` from now."""
        return asyncio.get_running_loop().time() + seconds

    def left(self, deadline: float) -> float:
        """Seconds until `deadline`; negative when it is past."""
        return deadline - asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def new_id() -> str:
    """An operation's name, unlike any other."""
    return uuid.uuid4().hex
