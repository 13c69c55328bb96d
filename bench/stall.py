"""How long the loop stands still: for a scrape of a gateway that has counted much, and by itself."""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import servers, subject
from bench.subject import Wish

if TYPE_CHECKING:
    from bench.field import Ground
    from bench.subject import Subject

LAUNCHER = (sys.executable, "-m", "bench.watched")
CALM_SECONDS = 2.0  # longer than anything that a gateway does by itself again and again
SCRAPE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The longest turn of the loop (ms) while each of the scrapes was answered; `calm_ms` while nobody asked."""

    scrapes_ms: tuple[float, ...]
    calm_ms: float
    series: int


def measured(ground: Ground, scrapes: int) -> Stall:
    with (
        servers.store(ground.home / "stall", core=ground.others) as store,
        servers.vendor(ground.home, core=ground.others) as vendor,
    ):
        wish = Wish(store=store.port, vendors=vendor.ports, launcher=LAUNCHER)
        with subject.gateway(ground.home / "watched", wish, core=ground.mine) as gateway:
            found = [_scraped(gateway) for _ in range(scrapes)]
            calm = statistics.median(calm_ms(gateway) for _ in range(3))
    return Stall(scrapes_ms=tuple(ms for ms, _ in found), calm_ms=calm, series=found[0][1])


def _scraped(gateway: Subject) -> tuple[float, int]:
    mark = _begin(gateway)
    url = f"http://127.0.0.1:{gateway.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=SCRAPE_SECONDS) as response:
        text = response.read()
    return _end(gateway, mark), sum(not line.startswith(b"#") for line in text.splitlines())


def calm_ms(gateway: Subject) -> float:
    """The longest turn while nobody asks for anything."""
    mark = _begin(gateway)
    time.sleep(CALM_SECONDS)
    return _end(gateway, mark)


def _log(gateway: Subject) -> bytes:
    return (gateway.home / "log.jsonl").read_bytes()


def _begin(gateway: Subject) -> int:
    """How many watches have ended so far."""
    mark = _log(gateway).count(b'"turn_ms"')
    os.kill(gateway.popen.pid, signal.SIGUSR1)
    time.sleep(0.02)
    return mark


def _end(gateway: Subject, mark: int) -> float:
    os.kill(gateway.popen.pid, signal.SIGUSR2)
    end_at = time.monotonic() + SCRAPE_SECONDS
    while time.monotonic() < end_at:
        lines = [line for line in _log(gateway).splitlines() if line.startswith(b'{"turn_ms"')]
        if len(lines) > mark:
            return float(json.loads(lines[-1])["turn_ms"])
        time.sleep(0.01)
    raise servers.Unstarted("the watch did not end")
