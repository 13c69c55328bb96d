"""What a request costs while so many redactions are open: the gateways with few and with many are asked in turn.

All are made by the gateway itself, one PUT each, so that whatever it keeps of them it has.
"""

from __future__ import annotations

import random
import statistics
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop
from redis import Redis

from bench import asks, listeners, load, servers, stall, subject
from bench.accounting import cpu_seconds, resident_bytes
from bench.asks import TENANT, Scene
from bench.subject import Wish
from gateway.model import CallKey
from gateway.store.contract import BUCKETS
from gateway.store.keys import Keys, due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.field import Ground
    from bench.listeners import Listening
    from bench.servers import Server
    from bench.subject import Subject

SMALLEST, MIDDLE = 10, 1_000
LOADING_SECONDS = 600.0
AT_ONCE = 8
LOADING_AT_ONCE = 8  # no more than a gateway that gets a part of a core only can answer in time
CHUNK = 500
LOOKED = 500
LOOKING_SECONDS = 60.0
SOON_MS = 60_000  # what is due before this has not been looked at again


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Processor time in µs, memory for each open redaction in KiB; `puts` and `gets` have one for each round."""

    open: int
    puts: tuple[float, ...]
    gets: tuple[float, ...]
    look_us: float
    turn_ms: float
    gateway_kib: float
    store_kib: float

    @property
    def put_us(self) -> float:
        return statistics.median(self.puts)

    @property
    def get_us(self) -> float:
        return statistics.median(self.gets)


@dataclass(slots=True, kw_only=True)
class House:
    """A gateway, its store, and what is open there."""

    gateway: Subject
    store: Server
    calls: list[str] = field(default_factory=list)
    puts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    gateway_kib: float = 0.0
    store_kib: float = 0.0

    def fill(self, count: int) -> None:
        """`count` open redactions, or as many as could be made in the time there is."""
        memory, end_at = self._memory(), time.monotonic() + LOADING_SECONDS
        for first in range(0, count, CHUNK):
            if time.monotonic() > end_at:
                break
            calls = asks.fresh(Scene.ANSWER, min(CHUNK, count - first))
            with suppress(TimeoutError):  # those that are open by now are as good
                self._ask("PUT", calls, LOADING_AT_ONCE)
            self.calls += calls
        after = self._memory()
        self.gateway_kib, self.store_kib = (
            (b - a) / 1024 / len(self.calls) for a, b in zip(memory, after, strict=True)
        )

    def round(self, asked: int) -> None:
        calls = asks.fresh(Scene.ANSWER, asked)
        self.puts.append(self._ask("PUT", calls, AT_ONCE))
        self._ask("DELETE", calls, AT_ONCE)
        self.gets.append(self._ask("GET", random.choices(self.calls, k=asked), AT_ONCE))

    def _ask(self, method: str, calls: Sequence[str], connections: int) -> float:
        """Processor time of one request, in µs."""
        requests = [asks.at_gateway(method, Scene.ANSWER, call, self.gateway.key) for call in calls]
        before = cpu_seconds(self.gateway.pids)
        uvloop.run(load.fire(self.gateway.port, requests, min(connections, len(requests))))
        return 1e6 * (cpu_seconds(self.gateway.pids) - before) / len(requests)

    def look(self) -> float:
        """Processor time of one look at an open redaction, in µs: some are made due, and the gateway sees to them."""
        chosen = random.sample(self.calls, min(LOOKED, len(self.calls)))
        now = time.time_ns() // 1_000_000
        with Redis(port=self.store.port) as client:
            before, end_at = cpu_seconds(self.gateway.pids), time.monotonic() + LOOKING_SECONDS
            for call in chosen:
                names = Keys(CallKey(tenant=TENANT, call_id=call))
                client.zadd(names.due, {names.call: now})
            while self._due(client, now + SOON_MS) and time.monotonic() < end_at:
                time.sleep(0.05)
            return 1e6 * (cpu_seconds(self.gateway.pids) - before) / len(chosen)

    def _due(self, client: Redis, until: int) -> int:
        return sum(int(client.zcount(due(number), 0, until)) for number in range(BUCKETS))

    def _memory(self) -> tuple[int, int]:
        with Redis(port=self.store.port) as client:
            return resident_bytes(self.gateway.pids), int(client.info("memory")["used_memory"])

    def size(self) -> Size:
        return Size(
            open=len(self.calls),
            puts=tuple(self.puts),
            gets=tuple(self.gets),
            look_us=self.look(),
            turn_ms=stall.calm_ms(self.gateway),
            gateway_kib=self.gateway_kib,
            store_kib=self.store_kib,
        )


def measured(ground: Ground, largest: int, rounds: int, asked: int) -> tuple[list[Size], Listening]:
    """At the smallest number of open redactions, at a middle one, and at the largest; `asked` requests a round. At the
    middle one also what listeners cost."""
    with ExitStack() as stack:
        vendor = stack.enter_context(servers.vendor(ground.home, core=ground.others))
        houses: list[House] = []
        for count in sorted({SMALLEST, min(MIDDLE, largest), largest}):
            store = stack.enter_context(servers.store(ground.home / f"store-{count}", core=ground.others))
            wish = Wish(store=store.port, vendors=vendor.ports, launcher=stall.LAUNCHER)
            place = ground.home / f"growth-{count}"
            gateway = stack.enter_context(subject.gateway(place, wish, core=ground.mine))
            house = House(gateway=gateway, store=store)
            house.fill(count)
            houses.append(house)
        for _ in range(rounds):
            for house in random.sample(houses, len(houses)):
                house.round(asked)
        sizes = [house.size() for house in houses]
        middle = houses[min(1, len(houses) - 1)]
        return sizes, listeners.measured(middle.gateway, Scene.ANSWER, middle.calls)
