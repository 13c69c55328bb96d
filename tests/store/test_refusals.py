"""A store that answers and will not write: one kind of error for all of it, and the same step taken once after."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from trouble import REFUSALS, refuse

from gateway.audit.chain import GENESIS, link
from gateway.model import CallKey, Redaction
from gateway.store.contract import Change, Committed, StoreUnavailable
from gateway.store.embedded import EmbeddedServer, socket_path
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Tell = Callable[..., Awaitable[Any]]

KEY = CallKey(tenant="acme", call_id="c1")
CHANGE = Change(
    op="op1",
    before=None,
    after=Redaction(key=KEY, revision=1),
    entry=b"{}",
    link=link(b"k", GENESIS, b"{}"),
    due_at=5,
    keep_ms=None,
)


@pytest.fixture
async def tell(server: EmbeddedServer) -> AsyncIterator[Tell]:
    """The operator's own connection."""
    client: Any = Redis(unix_socket_path=str(socket_path(server.directory)))
    yield client.execute_command
    await client.aclose()


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_unavailable_and_nothing_is_lost_by_it(
    server: EmbeddedServer, store: RedisStore, tell: Tell, name: str
) -> None:
    """The step is not taken, nor half of it; health says no; when the server takes writes again the same step is
    taken once."""
    (server.directory / "dump.rdb").mkdir()  # a snapshot cannot be written there
    await refuse(tell, name)
    with pytest.raises(StoreUnavailable):
        await store.commit(CHANGE, within=5)
    with pytest.raises(StoreUnavailable):
        await store.probe("n1", word="w", within=5)
    for words in REFUSALS[name][1]:
        await tell(*words)
    done = await store.commit(CHANGE, within=5)
    assert isinstance(done, Committed)
    assert done.seq == 1
    assert len(await store.entries(KEY, within=5)) == 1


async def test_a_killed_server_that_starts_again_has_what_it_confirmed(short_server: EmbeddedServer) -> None:
    """SIGKILL, the same directory: the confirmed step is there, connections of before are no trouble, the same step
    again is the same step."""
    store = RedisStore(short_server.url, strict=True)
    await store.open()
    first = await store.commit(CHANGE, within=5)
    assert short_server.pid is not None
    os.kill(short_server.pid, signal.SIGKILL)
    await short_server.stop()
    with pytest.raises(StoreUnavailable):
        await store.load(KEY, within=1)
    again = EmbeddedServer(short_server.directory)
    await again.start()
    second = await store.commit(CHANGE, within=5)
    assert isinstance(first, Committed)
    assert isinstance(second, Committed)
    assert (second.seq, second.link) == (first.seq, first.link)
    assert len(await store.entries(KEY, within=5)) == 1
    await store.close()
    await again.stop()


@pytest.fixture
async def short_server(server: EmbeddedServer) -> EmbeddedServer:
    """A server that the test ends itself."""
    return server


async def test_a_dropped_connection_is_another_try(store: RedisStore, tell: Tell) -> None:
    """The server closes every connection: the step is taken all the same, once."""
    assert await store.load(KEY, within=5) is None
    await tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    done = await store.commit(CHANGE, within=5)
    assert isinstance(done, Committed)
    assert len(await store.entries(KEY, within=5)) == 1
