"""Real servers for the tests: single ones, a primary under Sentinels, a cluster. Loopback only, ended by pid."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.store.embedded import binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

SERVICE = "calls"
DOWN_MS = 1_000
PATIENCE_SECONDS = 30.0
FIT = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
SLOTS = 16_384


def free_ports(count: int) -> list[int]:
    """Ports that the kernel has just given, all at once, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(kw_only=True)
class Server:
    """One process; `start` again after `kill` finds the same directory."""

    port: int
    directory: Path
    options: dict[str, str]
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    client: Redis = field(init=False)

    def __post_init__(self) -> None:
        self.client = Redis(
            host="127.0.0.1", port=self.port, socket_timeout=2.0, retry=Retry(NoBackoff(), 0), decode_responses=True
        )

    async def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        everywhere = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), "daemonize": "no"}
        options = {**everywhere, "logfile": str(self.directory / "log"), **self.options}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = await asyncio.create_subprocess_exec(binary(), *self.arguments, *words, cwd=self.directory)
        await until(self.answers)

    async def answers(self) -> bool:
        try:
            return bool(await self.client.ping())
        except (RedisError, OSError):
            return False

    async def ask(self, *words: str | int) -> Any:  # noqa: ANN401 -- whatever the command gives
        return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]  # -- the library's

    async def info(self, section: str = "replication") -> dict[str, Any]:
        found: dict[str, Any] = await self.client.info(section)
        return found

    async def role(self) -> str:
        """`none` for a server that is away. A Sentinel that promotes a server cuts its connections once."""
        for _ in range(2):
            try:
                return str((await self.info())["role"])
            except (RedisError, OSError):
                pass
        return "none"

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            os.kill(self.process.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        await self.process.wait()
        await self.client.connection_pool.disconnect()

    async def end(self) -> None:
        if self.process is not None:
            await self.kill()
        await self.client.aclose()


async def until(true: Callable[[], Awaitable[bool]], *, every: float = 0.02) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await true():  # noqa: ASYNC110 -- what is waited for is in other processes
            await asyncio.sleep(every)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store of several servers: what the gateway is given, and what the test meddles with."""

    url: str
    servers: tuple[Server, ...]
    sentinels: tuple[Server, ...] = ()
    shards: int = 1

    async def primaries(self) -> tuple[Server, ...]:
        roles = await asyncio.gather(*(server.role() for server in self.servers))
        return tuple(server for server, role in zip(self.servers, roles, strict=True) if role == "master")

    async def primary_of(self, key: str) -> Server:
        """The server that has the slot of `key`; only one does, of those that are alive."""
        for server in await self.primaries():
            try:
                await server.client.type(key)
            except RedisError:
                continue
            return server
        raise AssertionError(key)

    async def replicas_of(self, primary: Server) -> tuple[Server, ...]:
        infos = [(server, await server.info()) for server in self.servers if await server.role() == "slave"]
        return tuple(server for server, info in infos if info["master_port"] == primary.port)

    async def leaders(self) -> tuple[Server, ...]:
        """Who should be primary: one that was deposed believes it still is, for ten seconds."""
        if not self.sentinels:
            return await self.primaries()
        _, port = await self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return tuple(server for server in self.servers if server.port == int(port))

    async def whole(self) -> bool:
        """Everybody alive and in its place, no failover under way."""
        if len(await self.primaries()) != self.shards or not await self.synced():
            return False
        if not self.sentinels:
            return await cluster_whole(self)
        states = [await sentinel_state(sentinel) for sentinel in self.sentinels]
        return all(state["flags"] == "master" for state in states) and len({state["port"] for state in states}) == 1

    async def synced(self) -> bool:
        """Every server is a primary, or a replica that follows one."""
        try:
            infos = await asyncio.gather(*(server.info() for server in self.servers))
        except (RedisError, OSError):
            return False
        return all(info["role"] == "master" or info["master_link_status"] == "up" for info in infos)


@asynccontextmanager
async def single(directory: Path, **options: str) -> AsyncIterator[Server]:
    (port,) = free_ports(1)
    server = Server(port=port, directory=directory / f"server-{port}", options={**FIT, **options})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.end)
        await server.start()
        yield server


@asynccontextmanager
async def under_sentinels(directory: Path, *, replicas: int = 2, **options: str) -> AsyncIterator[Place]:
    """A primary, its replicas, three Sentinels that replace it within a few seconds."""
    ports = free_ports(1 + replicas + 3)
    servers, sentinels = ports[: 1 + replicas], ports[1 + replicas :]
    shared = {**FIT, "repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", **options}
    async with AsyncExitStack() as stack:
        data = [
            Server(
                port=port,
                directory=directory / f"data-{port}",
                options=shared if port == servers[0] else {**shared, "replicaof": f"127.0.0.1 {servers[0]}"},
            )
            for port in servers
        ]
        watchers = [_sentinel(directory, port, servers[0]) for port in sentinels]
        for server in (*data, *watchers):
            stack.push_async_callback(server.end)
            await server.start()
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        place = Place(url=f"redis+sentinel://{hosts}/{SERVICE}", servers=tuple(data), sentinels=tuple(watchers))
        await until(place.synced)
        await until(lambda: _all_know(place, replicas))
        yield place


def _sentinel(directory: Path, port: int, primary: int) -> Server:
    home = directory / f"sentinel-{port}"
    home.mkdir()
    config = home / "sentinel.conf"
    config.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
        f"sentinel parallel-syncs {SERVICE} 2\n"
    )
    return Server(port=port, directory=home, options={}, arguments=(str(config), "--sentinel"))


async def _all_know(place: Place, replicas: int) -> bool:
    """Every Sentinel has met the others and all replicas."""
    states = [await sentinel_state(sentinel) for sentinel in place.sentinels]
    return all(
        int(state["num-other-sentinels"]) == len(place.sentinels) - 1 and int(state["num-slaves"]) == replicas
        for state in states
    )


async def sentinel_state(sentinel: Server) -> dict[str, Any]:
    answer = await sentinel.ask("SENTINEL", "MASTER", SERVICE)
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


@asynccontextmanager
async def clustered(directory: Path, *, shards: int = 3, replicas: int = 1, **options: str) -> AsyncIterator[Place]:
    """Shards with replicas, the slots spread over them."""
    count = shards * (1 + replicas)
    ports = free_ports(2 * count)
    shared = {
        **FIT,
        "cluster-enabled": "yes",
        "cluster-announce-ip": "127.0.0.1",
        "cluster-node-timeout": str(DOWN_MS),
        "cluster-replica-validity-factor": "0",
        "repl-diskless-sync-delay": "0",
        "repl-ping-replica-period": "1",
        **options,
    }
    async with AsyncExitStack() as stack:
        servers = [
            Server(port=port, directory=directory / f"node-{port}", options={**shared, "cluster-port": str(bus)})
            for port, bus in zip(ports[:count], ports[count:], strict=True)
        ]
        for server in servers:
            stack.push_async_callback(server.end)
            await server.start()
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])
        place = Place(url=f"redis+cluster://{hosts}", servers=tuple(servers), shards=shards)
        await _introduce(place, shards)
        yield place


async def _introduce(place: Place, shards: int) -> None:
    first, *others = place.servers
    for server in others:
        bus = server.options["cluster-port"]
        await first.ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
    await until(lambda: _nodes_known(place))
    for index, server in enumerate(place.servers[:shards]):
        start, end = index * SLOTS // shards, (index + 1) * SLOTS // shards - 1
        await server.ask("CLUSTER", "ADDSLOTSRANGE", start, end)
    names = [await server.ask("CLUSTER", "MYID") for server in place.servers]
    for index, server in enumerate(place.servers[shards:]):
        await server.ask("CLUSTER", "REPLICATE", names[index % shards])
    await until(lambda: cluster_whole(place))


async def _nodes_known(place: Place) -> bool:
    infos = [await cluster_info(server) for server in place.servers]
    return all(int(info["cluster_known_nodes"]) == len(place.servers) for info in infos)


async def cluster_whole(place: Place) -> bool:
    try:
        infos = [await cluster_info(server) for server in place.servers]
    except (RedisError, OSError):
        return False
    return all(info["cluster_state"] == "ok" for info in infos) and await place.synced()


async def cluster_info(server: Server) -> dict[str, str]:
    answer = await server.ask("CLUSTER", "INFO")
    if isinstance(answer, dict):
        return answer
    return dict(line.split(":", 1) for line in answer.split())
