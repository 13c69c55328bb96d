"""Health is what can be read back; who meets the trouble first waits, nobody after."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from gateway.metrics import Metrics
from gateway.model import CallKey, Redaction
from gateway.store.contract import (
    Asked,
    Change,
    Committed,
    StoreUnavailable,
    StoreUnfit,
    StoreUnsettled,
    Turn,
    Word,
    bucket,
)
from gateway.store.embedded import EmbeddedServer, socket_path
from gateway.store.guard import HURRIED_SECONDS
from gateway.store.redis import RedisStore
from gateway.store.watch import StoreWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Tell = Callable[..., Awaitable[Any]]

KEY = CallKey(tenant="acme", call_id="c1")
PATIENT = 2 * HURRIED_SECONDS


@pytest.fixture
def frozen(server: EmbeddedServer) -> Iterator[Callable[[bool], None]]:
    """Freezes the server, and thaws it."""
    assert server.pid is not None
    pid = server.pid

    def freeze(yes: bool) -> None:  # noqa: FBT001 -- a switch
        os.kill(pid, signal.SIGSTOP if yes else signal.SIGCONT)

    yield freeze
    freeze(False)


@pytest.fixture
async def tell(server: EmbeddedServer) -> AsyncIterator[Tell]:
    """The operator's own connection."""
    client: Any = Redis(unix_socket_path=str(socket_path(server.directory)))
    yield client.execute_command
    await client.aclose()


@asynccontextmanager
async def watched(store: RedisStore, every_seconds: float = 1.0) -> AsyncIterator[StoreWatch]:
    watch = StoreWatch(store, node="n1", metrics=Metrics({}, version="0"), every_seconds=every_seconds)
    async with watch.watching():
        yield watch


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


async def test_the_first_trouble_is_everybodys(store: RedisStore, frozen: Callable[[bool], None]) -> None:
    """One command that gets no answer, and the next in a hurry is told at once without asking; whoever has time gets
    the verdict; when the store is back everybody is let in."""
    async with watched(store, every_seconds=60.0) as watch:
        assert await watch.store.load(KEY, within=PATIENT) is None
        frozen(True)
        with pytest.raises(StoreUnavailable, match="in time"):
            await watch.store.load(KEY, within=0.05)
        assert watch.doubted
        for within in (0.1, PATIENT):
            with pytest.raises(StoreUnavailable, match="away"):
                await watch.store.load(KEY, within=within)
        assert not watch.up
        frozen(False)
        await until(lambda: watch.up)
        assert await watch.store.load(KEY, within=PATIENT) is None


async def test_a_false_alarm_costs_nobody_anything(store: RedisStore) -> None:
    """Somebody gave up too early: whoever has time waits for the verdict and is let in."""
    async with watched(store, every_seconds=60.0) as watch:
        watch.doubt()
        assert await watch.store.load(KEY, within=PATIENT) is None
        assert watch.up


async def test_a_store_that_is_not_settled_is_there(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, and says that it is too new for this: nobody doubts that it is there."""

    async def unsettled(*_: object, **__: object) -> None:
        raise StoreUnsettled

    async with watched(store, every_seconds=60.0) as watch:
        monkeypatch.setattr(store, "load", unsettled)
        with pytest.raises(StoreUnsettled):
            await watch.store.load(KEY, within=PATIENT)
        assert watch.up
        assert not watch.doubted


async def test_trouble_is_found_without_traffic(server: EmbeddedServer, store: RedisStore) -> None:
    """A store that dies is noticed by the next question."""
    async with watched(store, every_seconds=0.02) as watch:
        assert watch.up
        await server.stop()
        await until(lambda: not watch.up)
        watch.doubt()
        assert not watch.doubted


async def test_a_store_that_is_away_at_the_start_is_found_later(server: EmbeddedServer) -> None:
    """The gateway starts all the same; the healer hears when the store is there."""
    await server.stop()
    store = RedisStore(server.url, strict=True)
    reached: list[bool] = []
    async with watched(store) as watch:
        assert not watch.up
        watch.reached = lambda: reached.append(watch.up)
        again = EmbeddedServer(server.directory)
        await again.start()
        await until(lambda: watch.up)
        assert reached == [True]
    await store.close()
    await again.stop()


async def test_a_store_that_forgot_is_said(store: RedisStore, tell: Tell) -> None:
    """Up all the time, and yet what was written is not there: that is news."""
    async with watched(store, every_seconds=0.02) as watch:
        reached: list[bool] = []
        watch.reached = lambda: reached.append(watch.up)
        await asyncio.sleep(0.1)
        assert reached == []
        await tell("FLUSHALL")
        await until(lambda: reached == [True])


async def test_a_store_that_does_not_keep_what_is_written_is_down(store: RedisStore, tell: Tell) -> None:
    """Read-only: it answers every ping, and is not healthy."""
    async with watched(store, every_seconds=0.02) as watch:
        await tell("REPLICAOF", "127.0.0.1", "1")
        await until(lambda: not watch.up)
        await tell("REPLICAOF", "NO", "ONE")
        await until(lambda: watch.up)


async def test_a_store_that_comes_back_unfit_stays_out(store: RedisStore, tell: Tell) -> None:
    """What came back would lose what it is given: it is not used until it is fit again."""
    async with watched(store, every_seconds=0.02) as watch:
        await tell("CONFIG", "SET", "appendonly", "no")
        await tell("REPLICAOF", "127.0.0.1", "1")
        await until(lambda: not watch.up)
        await tell("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(0.3)
        assert not watch.up
        await tell("CONFIG", "SET", "appendonly", "yes")
        await until(lambda: watch.up)


class Counting(RedisStore):
    """Counts how often it is opened."""

    opened = 0

    async def open(self) -> None:
        self.opened += 1
        await super().open()


async def test_a_store_that_was_away_is_opened_anew(server: EmbeddedServer, frozen: Callable[[bool], None]) -> None:
    """What comes back is checked and given what it needs before anybody uses it."""
    store = Counting(server.url, strict=True)
    async with watched(store, every_seconds=0.02) as watch:
        assert store.opened == 1
        frozen(True)
        await until(lambda: not watch.up)
        frozen(False)
        await until(lambda: watch.up)
        assert store.opened == 2
    await store.close()


async def test_an_unfit_store_is_the_callers_at_the_start(server: EmbeddedServer, tell: Tell) -> None:
    """A gateway does not start on it."""
    store = RedisStore(server.url, strict=True)
    await tell("CONFIG", "SET", "appendonly", "no")
    with pytest.raises(StoreUnfit):
        async with watched(store):
            raise AssertionError
    await store.close()


async def test_the_guard_keeps_every_promise_of_the_store(store: RedisStore) -> None:
    """Each command goes through and comes back as it was."""
    async with watched(store) as watch:
        guarded = watch.store
        await guarded.open()
        await guarded.ping(within=PATIENT)
        change = Change(
            op="op", before=None, after=Redaction(key=KEY, revision=1), entry=b"{}", link="ab", due_at=5, keep_ms=None
        )
        assert isinstance(await guarded.commit(change, within=PATIENT), Committed)
        assert len(await guarded.entries(KEY, within=PATIENT)) == 1
        asked = Asked(owner="n1", to_take=(), lease_ms=9_000, until=9, most=9, enough=9)
        ((number,),) = guarded.together([bucket(KEY)])
        assert (await guarded.queues([number], asked, within=PATIENT))[number].keys == (KEY,)
        claims = await guarded.claim("t", KEY, within=PATIENT)
        await guarded.release("t", KEY, own=claims.own, landed=None, within=PATIENT)
        assert (await guarded.loosen("t", KEY, lands_before=1, over=(), within=PATIENT)).others == ()
        assert await guarded.once("o", "f", runs_ms=9_000, keep_ms=9_000, again=False, within=PATIENT) is Turn.NEW
        await guarded.once_over("o", "f", left=Turn.DONE, within=PATIENT)
        words = aiter(guarded.changes())
        assert await anext(words) is None
        heard = asyncio.ensure_future(anext(words))
        async with asyncio.timeout(10):
            for revision in range(2, 99):
                if heard.done():
                    break
                await guarded.commit(replace(change, op=f"op{revision}", before=None), within=PATIENT)
                stored = await guarded.load(KEY, within=PATIENT)
                after = replace(change.after, revision=revision)
                await guarded.commit(replace(change, op=f"o{revision}", before=stored, after=after), within=PATIENT)
                await asyncio.sleep(0.02)
        assert await heard == Word(key=KEY, lets_go=True)
        await guarded.close()
