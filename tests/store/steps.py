"""Steps to take on a store, and patience with one that is failing over."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from servers import PATIENCE_SECONDS

from gateway.audit.chain import GENESIS, link
from gateway.model import CallKey, Order, OrderKind, Redaction
from gateway.store.contract import BUCKETS, Change, Committed, Stored, StoreUnavailable, bucket
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_T = TypeVar("_T")

ORDER = Order(op="o", kind=OrderKind.RESUME, drops=(), lands_before=1)


@asynccontextmanager
async def opened(url: str, *, strict: bool = True, replicas: int = 0) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, strict=strict, replicas=replicas)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


def call_in(number: int) -> CallKey:
    """Some call of bucket `number`."""
    names = (CallKey(tenant="acme", call_id=f"call-{index}") for index in range(100 * BUCKETS))
    return next(key for key in names if bucket(key) == number)


def change(key: CallKey, op: str, before: Stored | None = None, *, order: Order | None = None) -> Change:
    head = before.head if before else GENESIS
    revision = before.redaction.revision + 1 if before else 1
    return Change(
        op=op,
        before=before,
        after=Redaction(key=key, revision=revision, order=order),
        entry=b"{}",
        link=link(b"k", head, b"{}"),
        due_at=5,
        keep_ms=None,
    )


async def commit(store: RedisStore, step: Change, *, within: float = 5) -> Committed:
    done = await store.commit(step, within=within)
    assert isinstance(done, Committed), done
    return done


def stored(step: Change, done: Committed) -> Stored:
    return Stored(redaction=step.after, head=done.link, seq=done.seq)


async def eventually(work: Callable[[], Awaitable[_T]]) -> _T:
    """Again until the store is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await work()
            except StoreUnavailable:
                await asyncio.sleep(0.05)
