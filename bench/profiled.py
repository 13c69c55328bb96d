"""`redaction-gateway` with a profiler: `python -m bench.profiled serve`.

SIGUSR1 turns it on; SIGUSR2 turns it off and prints what every group of modules took for itself, in seconds. What is
built in counts for whoever called it. A profiler makes small functions dearer than they are: shares, not times.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import pstats
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gateway
from gateway.cli import loop
from gateway.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

T = TypeVar("T")
Place = tuple[str, int, str]  # file, line, function
_run = loop.run

OURS = str(Path(gateway.__file__).parent)
LOOP = "the event loop: tasks, futures, timers"
_GROUPS = (
    ("web", "HTTP in: our layer"),
    ("auth", "key, limits, admission"),
    ("admission", "key, limits, admission"),
    ("backends", "vendor: our layer"),
    ("recorders", "vendor: our layer"),
    ("line", "vendor: our layer"),
    ("circuit", "vendor: our layer"),
    ("store", "store"),
    ("audit", "entry, chain, journal"),
    ("describe", "entry, chain, journal"),
    ("logs", "log lines"),
    ("cards", "log lines"),
    ("metrics", "metrics"),
    ("scrape", "metrics"),
    ("", "decision: state, evidence, claims"),
)
_LIBRARIES = (
    ("aiohttp/client", "vendor: aiohttp's client"),
    ("aiohttp/connector", "vendor: aiohttp's client"),
    ("aiohttp/cookie", "vendor: aiohttp's client"),
    ("aiohttp/web", "HTTP in: aiohttp's server"),
    ("aiohttp", "aiohttp, either way"),
    ("yarl", "aiohttp, either way"),
    ("multidict", "aiohttp, either way"),
    ("redis", "store"),
    ("structlog", "log lines"),
    ("logging", "log lines"),
    ("prometheus_client", "metrics"),
    ("pydantic", "JSON in and out, validation"),
    ("json", "JSON in and out, validation"),
    ("asyncio", LOOP),
    ("contextlib", LOOP),
)


def group(file: str) -> str:
    """Whose work a function in this file is."""
    if file.startswith(OURS):
        module = file[len(OURS) + 1 :].removesuffix(".py")
        return next(name for word, name in _GROUPS if not word or module.split("/")[0] == word)
    return next((name for word, name in _LIBRARIES if f"/{word}" in file), "the rest of Python")


def shares(stats: Mapping[Place, Any]) -> dict[str, float]:
    """Seconds of each group."""
    found: defaultdict[str, float] = defaultdict(float)
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file != "~":
            found[group(file)] += own
            continue
        for (caller, _, _), (_, _, part, _) in callers.items():
            found[LOOP if caller == "~" else group(caller)] += part
            own -= part  # noqa: PLW2901 -- what is left of it
        found[LOOP] += max(0.0, own)
    return dict(found)


async def _profiled(work: Coroutine[None, None, T]) -> T:
    profiler, running = cProfile.Profile(), asyncio.get_running_loop()

    def tell() -> None:
        profiler.disable()
        stats: Any = pstats.Stats(profiler)
        sys.stdout.write(json.dumps({"profile": shares(stats.stats)}) + "\n")
        sys.stdout.flush()

    running.add_signal_handler(signal.SIGUSR1, profiler.enable)
    running.add_signal_handler(signal.SIGUSR2, tell)
    return await work


if __name__ == "__main__":
    loop.run = lambda work: _run(_profiled(work))
    sys.exit(main())
