"""`redaction-gateway` with somebody who watches its loop: `python -m bench.watched serve`.

SIGUSR1 begins a watch, SIGUSR2 ends it and prints the longest turn of the loop, in milliseconds of the process's own
processor time, so that what else the machine does meanwhile does not count. During a watch the loop never rests.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from gateway import app
from gateway.cli import loop
from gateway.cli.main import main
from gateway.metrics import ACTIONS, BACKEND_OUTCOMES, METHODS, OUTCOMES, Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.settings import Settings

T = TypeVar("T")
_run, _metrics = loop.run, app._metrics  # noqa: SLF001 -- the bench alone looks inside


class Watch:
    """One at a time."""

    def __init__(self) -> None:
        self._on = False
        self._longest = self._last = 0.0

    def begin(self) -> None:
        self._on, self._longest, self._last = True, 0.0, time.process_time()
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now = time.process_time()
        self._longest, self._last = max(self._longest, now - self._last), now
        if self._on:
            asyncio.get_running_loop().call_soon(self._turn)

    def end(self) -> None:
        self._on = False
        sys.stdout.write(json.dumps({"turn_ms": 1000 * self._longest}) + "\n")
        sys.stdout.flush()


async def _watching(work: Coroutine[None, None, T]) -> T:
    watch, running = Watch(), asyncio.get_running_loop()
    running.add_signal_handler(signal.SIGUSR1, watch.begin)
    running.add_signal_handler(signal.SIGUSR2, watch.end)
    return await work


def _filled(settings: Settings, *beside: Any) -> Metrics:  # noqa: ANN401 -- handed on as it comes
    """With every series of requests that the closed sets allow: what a gateway has after a long bad day."""
    metrics = _metrics(settings, *beside)
    for method in METHODS:
        for outcome in OUTCOMES:
            metrics.request_served(method=method, outcome=outcome, seconds=0.01)
    for name, backend in settings.backends.items():
        for action in ACTIONS:
            for word in BACKEND_OUTCOMES:
                with metrics.backend_request(name, backend.vendor, action) as outcome_:
                    outcome_.set(word)
    return metrics


if __name__ == "__main__":
    loop.run = lambda work: _run(_watching(work))
    app._metrics = _filled  # type: ignore[assignment]  # noqa: SLF001 -- as above; it takes whatever comes
    sys.exit(main())
