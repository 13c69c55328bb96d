"""What more than one folder of tests needs: a real store, and a clock."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


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
