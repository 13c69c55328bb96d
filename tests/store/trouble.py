"""A gateway on its embedded store before one recorder, and ways to give its two devices trouble."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from redis.asyncio import Redis

from gateway import settings
from gateway.app import running
from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.model import Parties
from gateway.sandbox.verba import VerbaFake
from gateway.store.embedded import socket_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from gateway.sandbox.desk import FakeCall

PATIENCE_SECONDS = 10.0


# What the operator does to the server, and undoes.
REFUSALS: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "out of memory": ([("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")]),
    "read-only replica": ([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")]),
    "replica without its primary": (
        [("CONFIG", "SET", "replica-serve-stale-data", "no"), ("REPLICAOF", "127.0.0.1", "1")],
        [("REPLICAOF", "NO", "ONE")],
    ),
    "too few replicas": (
        [("CONFIG", "SET", "min-replicas-to-write", "1")],
        [("CONFIG", "SET", "min-replicas-to-write", "0")],
    ),
    "disk trouble": (
        [("CONFIG", "SET", "save", "3600 1"), ("SET", "any", "thing"), ("BGSAVE",)],
        [("CONFIG", "SET", "save", "")],
    ),
    "no rights": (
        [("ACL", "SETUSER", "default", "-fcall", "-set")],
        [("ACL", "SETUSER", "default", "+fcall", "+set")],
    ),
}


@dataclass(kw_only=True)
class Desk:
    """What outlives a gateway: its directory, its keys, the recorder."""

    directory: Path
    fake: VerbaFake
    tree: dict[str, Any]
    key: str

    def call(self) -> FakeCall:
        return self.fake.add_call(f"call-{secrets.token_hex(4)}", extension="8856")

    @property
    def journal(self) -> Path:
        return self.directory / "journal"


@dataclass(kw_only=True)
class Gateway:
    desk: Desk
    port: int
    admin_port: int
    redis: Redis
    store_pid: int
    session: aiohttp.ClientSession

    async def ask(self, method: str, call: FakeCall, query: str = "", **body: object) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}/v1/calls/{call.call_id}/redaction{query}"
        headers = {"X-API-Key": self.desk.key, "Content-Type": "application/json"}
        data = orjson.dumps(body) if method == "PUT" else None
        async with self.session.request(method, url, data=data, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    async def get(self, call: FakeCall, query: str = "") -> Any:  # noqa: ANN401 -- a document
        status, document = await self.ask("GET", call, query)
        assert status == 200, document
        return document

    async def types(self, call: FakeCall) -> list[tuple[str, bool]]:
        """The call's trail: what happened, and whether it came late."""
        entries = (await self.get(call, "?include=audit"))["entries"]
        return [(entry["type"], entry.get("healed", False)) for entry in entries]

    async def metric(self, name: str) -> float:
        async with self.session.get(f"http://127.0.0.1:{self.admin_port}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))

    def freeze(self) -> None:
        os.kill(self.store_pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with suppress(ProcessLookupError):  # it may have been killed
            os.kill(self.store_pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.store_pid, signal.SIGKILL)

    async def healed(self) -> None:
        """Both devices are up and nothing is missing."""

        async def so() -> bool:
            return await self.metric("store_up") == 1 and await self.metric("audit_gap_entries") == 0

        await until(so)

    async def numbers(self) -> list[list[int]]:
        """Every bucket's numbers as the store has them."""
        found = []
        for bucket in range(64):
            rows: Any = await self.redis.xrange(f"{{b{bucket}}}:audit")
            found.append([int(row[0].split(b"-")[0]) for row in rows])
        return [numbers for numbers in found if numbers]


def dense(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


def silent(call: FakeCall, *, since: int) -> bool:
    return call.tape.silent(Parties.BOTH, since=since, until=time.time_ns())


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so; `TimeoutError` when it never gets so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await true():  # noqa: ASYNC110 -- nobody tells when it changes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    fake = VerbaFake()
    await fake.start()
    pepper, key = secrets.token_bytes(32), mint(secrets.token_bytes)
    tree: dict[str, Any] = {
        "environment": "development",
        "listen": {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0},
        "store": {"url": "embedded", "directory": str(directory)},
        "policy": {"deadline_seconds": 1.0, "reassert_seconds": 0.5},
        "audit": {"pepper": base64.b64encode(pepper).decode()},
        "backends": {"verba": {**fake.settings(), "timeout_seconds": 0.5}},
        "routes": [{"backends": ["verba"]}],
        "clients": {
            "crm": {
                "tenant": "acme",
                "scopes": list(Scope),
                "keys": [{"kid": key.kid, "hash": hash_secret(pepper, key.secret)}],
                "requests_per_second": 10_000,
            }
        },
    }
    yield Desk(directory=directory, fake=fake, tree=tree, key=key.text)
    await fake.stop()


@asynccontextmanager
async def gateway(desk: Desk) -> AsyncIterator[Gateway]:
    """One life of a gateway."""
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(running(settings.parse(desk.tree)))
        redis = Redis(unix_socket_path=str(socket_path(desk.directory.resolve())))
        stack.push_async_callback(redis.aclose)
        info: Any = await redis.info("server")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = Gateway(
            desk=desk,
            port=state.port,
            admin_port=state.admin_port,
            redis=redis,
            store_pid=info["process_id"],
            session=session,
        )
        stack.callback(gateway.thaw)
        yield gateway


def lines(directory: Path) -> Iterator[dict[str, Any]]:
    """Every line of a journal."""
    for path in sorted(directory.glob("*.jsonl")):
        yield from map(orjson.loads, path.read_bytes().splitlines())


async def refuse(tell: Callable[..., Awaitable[Any]], name: str) -> None:
    """The server takes no writes any more when this returns."""
    for words in REFUSALS[name][0]:
        await tell(*words)
    if name == "disk trouble":

        async def failed() -> bool:
            return b"rdb_last_bgsave_status:err" in _bytes(await tell("INFO", "persistence"))

        await until(failed)


def _bytes(info: Any) -> bytes:  # noqa: ANN401 -- the client library reads it into a dictionary
    return b"\n".join(f"{name}:{value}".encode() for name, value in info.items())
