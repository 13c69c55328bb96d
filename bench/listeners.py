"""Event streams: what it costs that a thousand callers listen, and how soon one hears of a change."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import uvloop

from bench import asks, load, wire
from bench.accounting import cpu_seconds, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.asks import Scene
    from bench.subject import Subject

MOST = 1_000  # that one gateway takes
CALM_SECONDS = 5.0
PATIENCE_SECONDS = 120.0
CHANGES = 20
_EVENT = b"event: redaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """`busy` is the part of a core that the gateway uses while nothing changes, with and without the listeners;
    `told_ms` from sending a PUT to the event at another connection."""

    count: int
    busy: float
    busy_alone: float
    kib_each: float
    told_ms: float


class _Ear(asyncio.Protocol):
    """One listener: how many events it has heard."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.events = 0
        self.at = 0.0
        self.more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if (found := data.count(_EVENT)) > 0:
            self.events += found
            self.at = time.perf_counter()
            self.more.set()


def measured(gateway: Subject, scene: Scene, calls: Sequence[str]) -> Listening:
    """With a listener at each of `calls`, which are open."""
    return uvloop.run(_measured(gateway, scene, calls[:MOST]))


async def _measured(gateway: Subject, scene: Scene, calls: Sequence[str]) -> Listening:
    alone = await _busy(gateway)
    before = resident_bytes(gateway.pids)
    ears = [await _ear(gateway, call) for call in calls]
    async with asyncio.timeout(PATIENCE_SECONDS):
        for ear in ears:
            await ear.more.wait()
    each = (resident_bytes(gateway.pids) - before) / 1024 / len(ears)
    busy = await _busy(gateway)
    told = [await _told(gateway, scene, call, ear) for call, ear in list(zip(calls, ears, strict=True))[:CHANGES]]
    for ear in ears:
        ear.transport.close()
    return Listening(count=len(ears), busy=busy, busy_alone=alone, kib_each=each, told_ms=statistics.median(told))


async def _ear(gateway: Subject, call: str) -> _Ear:
    headers = {"X-API-Key": gateway.key, "Accept": "text/event-stream"}
    request = wire.request("GET", f"/v1/calls/{call}/redaction", headers)
    _, ear = await asyncio.get_running_loop().create_connection(lambda: _Ear(request), "127.0.0.1", gateway.port)
    return ear


async def _busy(gateway: Subject) -> float:
    before = cpu_seconds(gateway.pids)
    await asyncio.sleep(CALM_SECONDS)
    return (cpu_seconds(gateway.pids) - before) / CALM_SECONDS


async def _told(gateway: Subject, scene: Scene, call: str, ear: _Ear) -> float:
    """One more hold of the call is a change."""
    ear.more.clear()
    began = time.perf_counter()
    body = json.dumps({"hold": "second", **asks.target(scene, call)}).encode()
    headers = {"X-API-Key": gateway.key, "Content-Type": "application/json"}
    await load.fire(gateway.port, [wire.request("PUT", f"/v1/calls/{call}/redaction", headers, body)], 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ear.more.wait()
    return 1000 * (ear.at - began)
