"""What more than one folder of tests needs: a real store; and every entry of the trail that any test has made in this
process is held against the schema."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from gateway.audit import schema
from gateway.audit.entry import Entry
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


_canonical = Entry.canonical
_outside: list[tuple[str, bytes]] = []


def _held(self: Entry) -> bytes:
    data = _canonical(self)
    _outside.extend((name, data) for name in schema.faults(data))
    return data


Entry.canonical = _held  # type: ignore[method-assign]  # wherever entries are made, also where errors are swallowed


@pytest.fixture(autouse=True)
def every_entry_is_in_the_schema() -> Iterator[None]:
    yield
    found, _outside[:] = [*_outside], []
    assert not found


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose name is short enough to hold a socket."""
    directory = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def server(short_dir: Path) -> AsyncIterator[EmbeddedServer]:
    """A real Valkey process, fsync always."""
    server = EmbeddedServer(short_dir)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def redis(server: EmbeddedServer) -> AsyncIterator[Redis]:
    """A client beside the store's own, to look and to meddle."""
    async with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def store(server: EmbeddedServer) -> AsyncIterator[RedisStore]:
    """The production store class on a real server."""
    store = RedisStore(server.url, strict=True)
    await store.open()
    yield store
    await store.close()
