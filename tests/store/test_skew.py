"""How far the clocks of node and store are apart is told, or nothing is."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.store.skew import Skew

if TYPE_CHECKING:
    from gateway.store.embedded import EmbeddedServer
    from gateway.store.redis import RedisStore


class Bench:
    """A look at the store with a clock that is wrong by so much."""

    def __init__(self, store: RedisStore, ahead_ms: int) -> None:
        self._metrics = Metrics({}, version="1")
        clock = Clock(ms=lambda: time.time_ns() // 1_000_000 + ahead_ms)
        self.skew = Skew(store, clock=clock, metrics=self._metrics)

    @property
    def told(self) -> float | None:
        return self._metrics.registry.get_sample_value("store_clock_skew_seconds")


@pytest.mark.pci("10.6")
@pytest.mark.parametrize("ahead_ms", [5_000, -5_000, 0])
async def test_a_wrong_clock_is_told(store: RedisStore, ahead_ms: int) -> None:
    """Whichever way, to half of what the answer was on its way."""
    bench = Bench(store, ahead_ms)
    looked = [await bench.skew.look() for _ in range(5)]
    assert any(looked)
    assert bench.told == pytest.approx(ahead_ms / 1000, abs=0.15)


async def test_a_store_that_does_not_answer_tells_nothing(store: RedisStore, server: EmbeddedServer) -> None:
    """Neither an error nor a number: what was known stands."""
    bench = Bench(store, 5_000)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert not await bench.skew.look()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert bench.told == 0
