"""One server of the store: its connections, and what it must be like before it is used.

The client library never tries again by itself: one increment whose replies were lost was applied three times by
its defaults. It does not follow redirections either: that is `primaries`' work.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ReadOnlyError, RedisError

from gateway.store.contract import StoreUnfit
from gateway.store.ear import Ear
from gateway.store.wire import Command, Wire, wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from gateway.store.address import Access, Place, Tls

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("store")

LIBRARY = importlib.resources.files("gateway.store").joinpath("functions.lua").read_text()
CONNECTIONS = 64
COMMAND_SECONDS = 1.0  # a command nobody waits for any more gives its connection up after this
FIT = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
READ = ("INFO", "CONFIG GET", "CLUSTER INFO", "SENTINEL MASTER")  # read into dictionaries; all else stays as it comes
GUARD = "min-replicas-to-write"


class Shared(Generic[_T]):
    """One run of `work` at a time; whoever asks while it runs gets its outcome."""

    def __init__(self, work: Callable[[], Awaitable[_T]]) -> None:
        self._work = work
        self._running: asyncio.Task[_T] | None = None

    async def run(self) -> _T:
        if self._running is None:
            self._running = asyncio.ensure_future(self._run())
        return await asyncio.shield(self._running)

    async def anew(self) -> _T:
        """The outcome of a run that began after this was asked."""
        if self._running is not None:
            await asyncio.wait({self._running})
        return await self.run()

    async def _run(self) -> _T:
        try:
            return await self._work()
        finally:
            self._running = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What is asked of a primary. `strict` refuses one that could lose or evict what it was given. `guarded`: it
    has replicas, one of which may take its place."""

    strict: bool
    guarded: bool


class Node:
    """A server and our connections to it: one wire that all share, and a pool for what would keep others waiting.
    Nothing here is tried again."""

    def __init__(self, place: Place, access: Access, *, connections: int = CONNECTIONS) -> None:
        self.place = place
        self.client = Redis(connection_pool=_pool(place, access, connections))
        self.client.response_callbacks = {name: self.client.response_callbacks[name] for name in READ}
        self._access = access
        self._wire: Wire | None = None
        self._wiring = Shared(self._connect)
        self._busy = 0
        self._retired = False

    @property
    def wired(self) -> bool:
        """A command can be sent without waiting for anything."""
        return self._wire is not None and not self._wire.lost

    @property
    def lost(self) -> bool:
        """It had a wire and has none any more: whether it still is what it was has to be found out."""
        return self._wire is not None and self._wire.lost

    async def ask(
        self, commands: tuple[Command, ...], *, asking: bool = False, within: float | None = None
    ) -> list[Any]:
        """As `send`, over the wire: for commands that the server answers at once. `StoreUnavailable` when that was
        not `within` so many seconds."""
        if asking:
            commands = tuple(one for command in commands for one in (("ASKING",), command))
        wire = self._wire or await self._wiring.run()
        replies = await wire.ask(commands, within=within)
        return replies[1::2] if asking else replies

    async def _connect(self) -> Wire:
        if self._wire is None:
            self._wire = await wired(self.place, self._access, Wire)
            if self._retired:
                self._wire.end()
        return self._wire

    async def listen(self, pattern: str) -> Ear:
        """A connection of its own for what is told on channels of this pattern; whoever has it ends it."""
        ear = await wired(self.place, self._access, Ear)
        try:
            await ear.listen(pattern, within=COMMAND_SECONDS)
        except BaseException:
            ear.end()
            raise
        return ear

    async def send(self, commands: tuple[Command, ...], *, asking: bool = False) -> list[Any]:
        """All of them on one connection, in order; an answer may be a `ResponseError`. `asking`: the server takes
        them although their slot is only on its way to it."""
        async with self.busy():
            pipe = self.client.pipeline(transaction=False)
            for command in commands:
                if asking:
                    pipe.execute_command("ASKING")
                pipe.execute_command(*command)
            with told_as_lost():
                async with asyncio.timeout(COMMAND_SECONDS):
                    replies = await pipe.execute(raise_on_error=False)
        return replies[1::2] if asking else replies

    async def history(self) -> str:
        """The name of its line of writes. `ReadOnlyError`: it is not a primary."""
        (info,) = await self.send((("INFO", "replication"),))
        return _history(info)

    async def load(self) -> None:
        """The functions are there afterwards; replicas get them from their primary."""
        _raise(await self.send((("FUNCTION", "LOAD", "REPLACE", LIBRARY),)))

    async def vet(self, fitness: Fitness) -> str:
        """The functions are there and the settings are fit; gives the history. `StoreUnfit` names the setting.

        A primary that was cut off from its replicas goes on acknowledging writes which the next primary never
        had: only `min-replicas-to-write` of at least 1, with a `min-replicas-max-lag` shorter than the time
        after which it is replaced, keeps it from that. Where replicas are expected its absence is logged.
        """
        asked = ("INFO", "replication"), ("CONFIG GET", *FIT, GUARD), ("FUNCTION", "LIST", "WITHCODE")
        info, config, libraries = await self.send(asked)
        _raise([info, config, libraries])
        history = _history(info)
        judge({_text(name): _text(value) for name, value in config.items()}, fitness)
        if LIBRARY.encode() not in _flat(libraries):
            await self.load()
        return history

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """The connections stay open while the block runs, also when the node is given up meanwhile."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            await self._end()

    async def retire(self) -> None:
        """Close the connections, those in use when they are free."""
        self._retired = True
        if self._wire is not None:
            self._wire.end()
        await self._end()

    async def _end(self) -> None:
        if self._retired and not self._busy:
            await self.client.aclose()
            await self.client.connection_pool.disconnect()


@contextmanager
def told_as_lost() -> Iterator[None]:
    """The loop has a word of its own for a connection that the peer closed under a write, which the client library
    passes on; it is a lost connection like any other."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionLost(str(error)) from error


def judge(config: dict[str, str], fitness: Fitness) -> None:
    """`StoreUnfit` for what would forget: no append-only file, no fsync per write, eviction."""
    wrong = [f"{name} is not {value}" for name, value in FIT.items() if config.get(name) != value]
    if wrong and fitness.strict:
        raise StoreUnfit("; ".join(wrong))
    if wrong:
        _log.warning("store.unfit", settings=wrong)
    if fitness.guarded and config.get(GUARD, "0") == "0":
        _log.warning("store.unguarded", setting=GUARD)


def _history(info: Any) -> str:  # noqa: ANN401 -- the client library's own dictionary
    _raise([info])
    if info["role"] != "master":
        raise ReadOnlyError("not a primary")
    return str(info["master_replid"])


def _flat(reply: Any) -> Iterator[Any]:  # noqa: ANN401 -- lists in lists
    for part in reply:
        if isinstance(part, list):
            yield from _flat(part)
        else:
            yield part


def _raise(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@cache
def _driver() -> DriverInfo:
    """How our connections are called in the server's list. The library would look it up for each of them, in files."""
    return DriverInfo()


def _pool(place: Place, access: Access, connections: int) -> BlockingConnectionPool:
    how: dict[str, Any] = {
        "username": access.username,
        "password": access.password,
        "db": access.db,
        # Sends are timed here: the library's own timeout costs a task each, and in Python 3.11 loses cancellations.
        "socket_timeout": None,
        "socket_connect_timeout": COMMAND_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "protocol": 2,  # what its successor adds is announcements that nobody here listens to
        "driver_info": _driver(),
    }
    if place.port is None:
        how |= {"connection_class": UnixDomainSocketConnection, "path": place.host}
        del how["socket_connect_timeout"]
    else:
        kind = Connection if access.tls is None else SSLConnection
        how |= {"connection_class": kind, "host": place.host, "port": place.port, **_tls(access.tls)}
    return BlockingConnectionPool(max_connections=connections, timeout=COMMAND_SECONDS, **how)


def _tls(tls: Tls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "ssl_ca_certs": tls.ca_file,
        "ssl_certfile": tls.client_certificate,
        "ssl_keyfile": tls.client_key,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }
