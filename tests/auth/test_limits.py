"""How much a client may ask, what is given up first, and how pods agree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.auth.limits import Kind, Limits
from gateway.auth.throttle import FAILURES_A_SECOND, FAILURES_AT_ONCE, SOURCES, Throttle
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from gateway.store.redis import RedisStore


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def asked(limits: Limits, kind: Kind, times: int = 1_000) -> int:
    """How many of so many at once get through."""
    return sum(not limits.take("crm", kind).short_seconds for _ in range(times))


@pytest.mark.parametrize("rate", [10.0, 50.0, 1_000.0])
def test_reads_go_first_and_leave_a_reserve(rate: float) -> None:
    """A fifth of the bucket is left for what changes something; a mute always has its turn, so nothing is asked."""
    limits = Limits({"crm": rate}, now=Time())
    assert asked(limits, Kind.READ) == rate * 0.8
    assert asked(limits, Kind.CHANGE) == rate * 0.2
    assert asked(limits, Kind.MUTE) == 0


def test_a_bucket_fills_at_its_rate_and_no_further() -> None:
    """A second gives a second's worth; an hour gives no more than a bucket."""
    time = Time()
    limits = Limits({"crm": 10.0}, now=time)
    assert asked(limits, Kind.CHANGE) == 10
    time.now += 0.5
    assert asked(limits, Kind.CHANGE) == 5
    time.now += 3_600
    assert asked(limits, Kind.CHANGE) == 10


@pytest.mark.parametrize(("rate", "policy"), [(50.0, "q=50;w=1"), (0.1, "q=1;w=10"), (1.0, "q=1;w=1")])
def test_the_headers_say_what_is_left_and_for_how_long_to_wait(rate: float, policy: str) -> None:
    """A client that keeps to them is not refused."""
    time = Time()
    limits = Limits({"crm": rate}, now=time)
    first = limits.take("crm", Kind.CHANGE)
    assert first.headers["RateLimit-Policy"] == f'"client";{policy}'
    assert first.headers["RateLimit"].startswith(f'"client";r={first.remaining};t=')
    asked(limits, Kind.CHANGE)
    refused = limits.take("crm", Kind.CHANGE)
    assert refused.short_seconds
    assert refused.remaining == 0
    time.now += refused.short_seconds
    assert not limits.take("crm", Kind.CHANGE).short_seconds


def test_a_new_rate_counts_at_once_and_others_go_on() -> None:
    """Who is removed under its own request is still judged."""
    limits = Limits({"crm": 10.0, "ivr": 10.0}, now=Time())
    asked(limits, Kind.CHANGE)
    limits.replace({"crm": 10.0})
    assert asked(limits, Kind.CHANGE) == 0
    limits.replace({"crm": 20.0})
    assert asked(limits, Kind.CHANGE) == 20
    assert not limits.take("ivr", Kind.READ).short_seconds


async def test_pods_share_one_bucket(store: RedisStore) -> None:
    """What one gave away the other has not."""
    pods = [Limits({"crm": 0.01}, now=Time()) for _ in range(2)]
    assert asked(pods[0], Kind.CHANGE, 4) == 4
    await pods[0].share(store)
    assert asked(pods[1], Kind.CHANGE, 1) == 1
    await pods[1].share(store)
    await pods[0].share(store)
    assert [asked(pod, Kind.CHANGE) for pod in pods] == [0, 0]


async def test_the_store_fills_by_its_own_clock(store: RedisStore) -> None:
    """And to the brim only; nobody's clock can draw more."""
    assert await store.take("crm", 100, rate=1_000_000, burst=100, within=1) == 0
    left = [await store.take("crm", 0, rate=1_000_000, burst=100, within=1) for _ in range(50)]
    assert left[-1] == 100
    assert left == sorted(left)


class Away:
    async def take(self, name: str, used: float, *, rate: float, burst: float, within: float) -> float:
        raise StoreUnavailable(f"{name} {used} {rate} {burst} {within}")


async def test_without_the_store_each_pod_limits_by_itself(store: RedisStore) -> None:
    """And tells the store later what it gave away meanwhile."""
    limits = Limits({"crm": 0.01}, now=Time())
    assert asked(limits, Kind.CHANGE) == 5
    await limits.share(Away())
    assert asked(limits, Kind.CHANGE) == 0
    await limits.share(store)
    assert await store.take("crm", 0, rate=0.01, burst=5, within=1) < 1


async def test_a_store_that_comes_back_refuses_nobody_for_what_is_long_made_good(store: RedisStore) -> None:
    """Through an outage a client kept within its limit: its next read gets through."""
    time = Time()
    limits = Limits({"crm": 50.0}, now=time)
    await limits.share(store)
    for _ in range(20):
        assert asked(limits, Kind.CHANGE, 10) == 10
        await limits.share(Away())
        time.now += 0.25
    await limits.share(store)
    assert asked(limits, Kind.READ, 20) == 20


async def test_sharing_goes_on_by_itself(store: RedisStore) -> None:
    """As long as the block runs."""
    pods = [Limits({"crm": 0.01}, now=Time()) for _ in range(2)]
    asked(pods[0], Kind.CHANGE)
    asked(pods[1], Kind.CHANGE, 1)
    async with pods[0].sharing(store), pods[1].sharing(store):
        async with asyncio.timeout(30):
            while pods[1].take("crm", Kind.READ).remaining:
                await store.ping(within=1)


def test_a_source_of_failures_waits_and_then_may_fail_again() -> None:
    """After so many at once, at its own pace; others are not touched."""
    time = Time()
    throttle = Throttle(now=time)
    assert [throttle.failed("192.0.2.1") for _ in range(int(FAILURES_AT_ONCE))] == [None] * int(FAILURES_AT_ONCE)
    assert [throttle.waits(address) for address in ("192.0.2.1", "192.0.2.2")] == [True, False]
    assert throttle.failed("192.0.2.1") == 1
    assert throttle.failed("192.0.2.2") is None
    assert throttle.failed(None) is None
    time.now += 1 / FAILURES_A_SECOND
    assert throttle.failed("192.0.2.1") is None
    assert throttle.failed("192.0.2.1") == 1


def test_one_machine_is_one_source() -> None:
    """However many addresses of its network it uses."""
    throttle = Throttle(now=Time())
    waits = [throttle.failed(f"2001:db8::{number:x}") for number in range(int(FAILURES_AT_ONCE) + 1)]
    assert waits[-1] == 1
    assert throttle.failed("2001:db8:0:1::1") is None


def test_sources_are_forgotten_and_memory_is_bounded() -> None:
    """The one heard of longest ago first."""
    throttle = Throttle(now=Time())
    for _ in range(int(FAILURES_AT_ONCE)):
        throttle.failed("192.0.2.1")
    for number in range(SOURCES):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert throttle.failed("192.0.2.1") is None
