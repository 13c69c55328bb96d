"""How much each client may ask: a bucket of tokens, shared by all pods through the store.

A request is judged by this process's own bucket, without waiting; what was taken is told to the store every
`SHARE_SECONDS`, which answers with what all pods together left. Without the store each pod limits by itself.

A mute takes a token where there is one; it is never refused for want of one. A read must leave a part of the bucket
to the rest, so that it goes first; whatever lets a party be recorded goes next.
"""

from __future__ import annotations

import asyncio
import enum
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.beside import beside
from gateway.frozen import quick
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

SHARE_SECONDS = 0.25
SHARE_WITHIN_SECONDS = 0.2
SMALLEST_BURST = 5.0
_RESERVED_FROM_READS = 0.2  # of a bucket


class Kind(enum.Enum):
    """What a request asks for, in the order in which it is given up last."""

    MUTE = enum.auto()
    CHANGE = enum.auto()
    READ = enum.auto()


class Shared(Protocol):
    async def take(self, name: str, used: float, *, rate: float, burst: float, within: float) -> float:
        """What is left in the bucket `name` after `used` was taken out. Raises `StoreUnavailable`."""
        ...


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a client stands after a request: `remaining` more at once, full again after `reset_seconds`;
    `short_seconds` is how long there is nothing left for a request like this one, 0 when there was."""

    per_second: float
    remaining: int
    reset_seconds: int
    short_seconds: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """As in the IETF's draft-ietf-httpapi-ratelimit-headers-10: a rate below one a second is one in so many."""
        window = 1 if self.per_second >= 1 else math.ceil(1 / self.per_second)
        return {
            "RateLimit-Policy": f'"client";q={math.floor(self.per_second * window)};w={window}',
            "RateLimit": f'"client";r={self.remaining};t={self.reset_seconds}',
        }


class _Bucket:
    """`used` is what was taken and not told yet."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.burst = max(rate, SMALLEST_BURST)
        self.level = self.burst
        self.at = now
        self.used = 0.0

    def refill(self, now: float) -> None:
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.rate)
        self.at = now

    def take(self, kind: Kind) -> Standing:
        needed = 1.0 + (self.burst * _RESERVED_FROM_READS if kind is Kind.READ else 0.0)
        missing = max(0.0, needed - self.level)
        if not missing:
            self.level -= 1.0
            self.used += 1.0
        return Standing(
            per_second=self.rate,
            remaining=math.floor(self.level),
            reset_seconds=math.ceil((self.burst - self.level) / self.rate),
            short_seconds=math.ceil(missing / self.rate),
        )


class Limits:
    """`rates` are requests a second by client, `now` a monotonic clock in seconds."""

    def __init__(self, rates: Mapping[str, float], *, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: dict[str, _Bucket] = {}
        self.replace(rates)

    def replace(self, rates: Mapping[str, float]) -> None:
        """From now on these rates; a client whose rate is the old one goes on where it stands."""
        have, now = self._buckets, self._now()
        self._buckets = {
            name: have[name] if name in have and have[name].rate == rate else _Bucket(rate, now)
            for name, rate in rates.items()
        }

    def take(self, client: str, kind: Kind) -> Standing:
        """Count one request of a client that is known."""
        bucket = self._buckets.get(client)
        if bucket is None:  # it was removed while this request of its was looked at
            bucket = _Bucket(SMALLEST_BURST, self._now())
        bucket.refill(self._now())
        return bucket.take(kind)

    @asynccontextmanager
    async def sharing(self, store: Shared) -> AsyncIterator[None]:
        """Agree with the other pods while the block runs."""
        async with beside(self._share_on(store)):
            yield

    async def _share_on(self, store: Shared) -> None:
        while True:
            await asyncio.sleep(SHARE_SECONDS)
            await self.share(store)

    async def share(self, store: Shared) -> None:
        """Tell the store what was taken here, and take over what all pods together left."""
        busy = [(name, bucket) for name, bucket in self._buckets.items() if bucket.used or bucket.level < bucket.burst]
        await asyncio.gather(*(self._agree(store, name, bucket) for name, bucket in busy))

    async def _agree(self, store: Shared, name: str, bucket: _Bucket) -> None:
        used, bucket.used = bucket.used, 0.0
        try:
            left = await store.take(name, used, rate=bucket.rate, burst=bucket.burst, within=SHARE_WITHIN_SECONDS)
        except StoreUnavailable:
            bucket.refill(self._now())
            bucket.used = min(bucket.burst - bucket.level, bucket.used + used)  # the store's one fills meanwhile, too
            return
        # What came while the store was asked is not in its answer yet.
        bucket.level, bucket.at = max(0.0, left - bucket.used), self._now()
