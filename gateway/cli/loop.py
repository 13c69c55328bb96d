"""Run until told to stop, on the fast loop."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, TypeVar

import uvloop

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run(work: Coroutine[None, None, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def told_to_stop() -> asyncio.Event:
    """Set at the first SIGTERM or SIGINT from now on: made before anything is started, so that being told during
    the start still ends in order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
