"""What the server tells by itself is heard, all of it and in order, until the connection ends; then that is said."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvloop
from redis.exceptions import NoPermissionError, RedisError
from servers import single

from gateway.store import ear as ear_module
from gateway.store.address import Access, Place
from gateway.store.contract import StoreUnavailable
from gateway.store.ear import Ear
from gateway.store.node import Node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from servers import Server

LONG = 10.0


@asynccontextmanager
async def listening(server: Server, *, access: Access | None = None) -> AsyncIterator[Ear]:
    node = Node(Place(host="127.0.0.1", port=server.port), access or Access())
    try:
        ear = await node.listen("news*")
        yield ear
        ear.end()
    finally:
        await node.retire()


async def test_all_that_is_told_is_heard_in_order(tmp_path: Path) -> None:
    """Also what came while nobody asked, and together; on other channels nothing."""
    async with single(tmp_path) as server, listening(server) as ear:
        told = [f"{number}" for number in range(40)]
        for word in told[:20]:
            await server.ask("PUBLISH", "news1", word)
        await server.ask("PUBLISH", "other", "x")
        hearing = asyncio.ensure_future(_heard(ear, 40))
        for word in told[20:]:
            await server.ask("PUBLISH", "news2", word)
        assert await hearing == [word.encode() for word in told]


async def test_silence_is_no_end(tmp_path: Path) -> None:
    """Whoever asks gets nothing after a while, and what comes later the next time."""
    async with single(tmp_path) as server, listening(server) as ear:
        assert await ear.heard(within=0.01) == []
        await server.ask("PUBLISH", "news", "late")
        assert await _heard(ear, 1) == [b"late"]


async def test_who_has_less_patience_is_told_sooner(tmp_path: Path) -> None:
    """However long was waited before, and however much was heard meanwhile."""
    async with single(tmp_path) as server, listening(server) as ear:
        for within in (0.05, 0.02):
            hearing = asyncio.ensure_future(ear.heard(within=LONG))
            await asyncio.sleep(0)
            await server.ask("PUBLISH", "news", "word")
            assert await hearing == [b"word"]
            async with asyncio.timeout(LONG / 2):
                assert await ear.heard(within=within) == []


def test_who_has_hardly_any_patience_is_told_on_the_loop_that_serves() -> None:
    """Which has no timers for less than half a millisecond."""

    async def wait() -> bool:
        ear = Ear()
        for seconds in (LONG, 0.0003, 0.0001, 0.0):
            ear._stir_in(seconds)
        async with asyncio.timeout(LONG / 2):
            return await ear._stir.wait()

    assert uvloop.run(wait())


async def test_a_server_that_is_silent_for_long_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there goes on telling; one that does not answer is gone, though the connection stands."""
    monkeypatch.setattr(ear_module, "ASKED_SECONDS", 0.01)
    async with single(tmp_path) as server, listening(server) as ear:
        assert await ear.heard(within=0.1) == []
        await server.ask("PUBLISH", "news", "after")
        assert await _heard(ear, 1) == [b"after"]
        server.signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await ear.heard(within=0.1)
        finally:
            server.signal(signal.SIGCONT)


async def test_the_end_is_told_to_whoever_listens(tmp_path: Path) -> None:
    """At once, and to whoever asks afterwards."""
    async with single(tmp_path) as server, listening(server) as ear:
        hearing = asyncio.ensure_future(ear.heard(within=LONG))
        await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        with pytest.raises(RedisError):
            await hearing
        with pytest.raises(RedisError):
            await ear.heard(within=LONG)


async def test_who_may_not_listen_is_told_so(tmp_path: Path) -> None:
    """A server that refuses leaves no connection behind."""
    async with single(tmp_path) as server:
        await server.ask("ACL", "SETUSER", "deaf", "on", ">word", "+@all", "resetchannels")
        with pytest.raises(NoPermissionError):
            async with listening(server, access=Access(username="deaf", password="word")):
                pytest.fail("it listens")
        assert await server.ask("PUBSUB", "NUMPAT") == 0


async def _heard(ear: Ear, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(LONG):
        while len(found) < count:
            found += await ear.heard(within=LONG)
    return found
