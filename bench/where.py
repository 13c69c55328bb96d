"""Where the processor time of a PUT goes, by groups of modules."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from bench import asks, load, servers, subject
from bench.asks import Scene
from bench.subject import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.field import Ground

LAUNCHER = (sys.executable, "-m", "bench.profiled")
CONNECTIONS = 16
PATIENCE_SECONDS = 30.0


def measured(ground: Ground, asked: int) -> Mapping[str, float]:
    """The share of each group in `asked` PUTs, from 0 to 1, the largest first."""
    with (
        servers.store(ground.home / "where", core=ground.others) as store,
        servers.vendor(ground.home, core=ground.others) as vendor,
    ):
        wish = Wish(store=store.port, vendors=vendor.ports, launcher=LAUNCHER)
        with subject.gateway(ground.home / "profiled", wish, core=ground.mine) as gateway:
            _ask(gateway, asked)
            os.kill(gateway.popen.pid, signal.SIGUSR1)
            time.sleep(0.05)
            _ask(gateway, asked)
            os.kill(gateway.popen.pid, signal.SIGUSR2)
            found = _told(gateway)
    whole = sum(found.values())
    return {name: took / whole for name, took in sorted(found.items(), key=lambda one: -one[1])}


def _ask(gateway: subject.Subject, asked: int) -> None:
    calls = asks.fresh(Scene.ANSWER, asked)
    requests = [asks.at_gateway("PUT", Scene.ANSWER, call, gateway.key) for call in calls]
    uvloop.run(load.fire(gateway.port, requests, min(CONNECTIONS, asked)))


def _told(gateway: subject.Subject) -> dict[str, float]:
    end_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end_at:
        for line in (gateway.home / "log.jsonl").read_bytes().splitlines():
            if line.startswith(b'{"profile"'):
                found: dict[str, float] = json.loads(line)["profile"]
                return found
        time.sleep(0.05)
    raise servers.Unstarted("the profile did not come")
