"""Gateways that are killed and started again, as the nursery's children, and what is asked of them."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from servers import free_ports

from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from doom import Doom

    from gateway.auth.keys import MintedKey
    from gateway.sandbox.desk import Fake

TENANT = "acme"
PATIENCE_SECONDS = 90.0  # many processes on few cores


async def until(true: Callable[[], Awaitable[bool]], *, every: float = 0.02) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await true():  # noqa: ASYNC110 -- what is waited for is in other processes
            await asyncio.sleep(every)


class Nursery:
    """The process that starts gateways. `launch` gives the pid and what its exit status will be."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._starting: list[asyncio.Future[int]] = []
        self._living: dict[int, asyncio.Future[int]] = {}

    async def launch(
        self, config: Path, log: Path, doom: Doom | None = None, *, patient: bool = False
    ) -> tuple[int, asyncio.Future[int]]:
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._starting.append(started)
        where = {"place": doom.place, "passage": doom.passage, "armed": str(doom.armed)} if doom else {}
        assert self._process.stdin is not None
        start = {"config": str(config), "log": str(log), "patient": patient, **where}
        self._process.stdin.write(orjson.dumps(start) + b"\n")
        pid = await started
        return pid, self._living[pid]

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            match orjson.loads(line):
                case {"started": pid}:
                    self._living[pid] = asyncio.get_running_loop().create_future()
                    self._starting.pop(0).set_result(pid)
                case {"ended": pid, "status": status}:
                    self._living.pop(pid).set_result(status)
                case other:
                    raise AssertionError(other)


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("nursery.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    children = Nursery(process)
    listening = asyncio.create_task(children.listen())
    try:
        yield children
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        await listening


@dataclass(kw_only=True)
class Pod:
    """One gateway's place: its directory and ports stay when it dies."""

    nursery: Nursery
    home: Path
    session: aiohttp.ClientSession
    port: int
    admin_port: int
    key: str
    patient: bool = False
    pid: int = 0
    ended: asyncio.Future[int] | None = None
    _reserved: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        """While the pod is down nobody else's connection may come by its ports."""
        self._reserved = [_reserve(port) for port in (self.port, self.admin_port)]

    def configure(self, common: Mapping[str, Any]) -> None:
        """`common` is what all pods of a store share."""
        self.home.mkdir()
        listen = {"host": "127.0.0.1", "port": self.port, "admin_host": "127.0.0.1", "admin_port": self.admin_port}
        tree = {**common, "listen": listen, "store": {**common["store"], "directory": str(self.home / "data")}}
        (self.home / "gateway.yaml").write_bytes(orjson.dumps(tree))

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    async def launch(self, doom: Doom | None = None) -> None:
        config, log = self.home / "gateway.yaml", self.home / "log"
        self.pid, self.ended = await self.nursery.launch(config, log, doom, patient=self.patient)

    async def start(self) -> None:
        """Ready when this returns."""
        await self.launch()
        await until(self.ready)

    async def ready(self) -> bool:
        assert self.ended is not None
        assert not self.ended.done(), (self.ended.result(), self.log[-5000:])
        return await self.readiness() == 200

    async def readiness(self) -> int:
        """What `/readyz` says; 0 for no answer."""
        try:
            async with self.session.get(f"http://127.0.0.1:{self.admin_port}/readyz") as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    def signal(self, number: signal.Signals) -> None:
        assert self.ended is not None
        if not self.ended.done():
            os.kill(self.pid, number)

    async def over(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit status, negative for a signal."""
        assert self.ended is not None
        return await asyncio.wait_for(asyncio.shield(self.ended), seconds)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.over()

    async def end(self) -> None:
        """As an operator ends it."""
        if self.ended is not None and not self.ended.done():
            self.signal(signal.SIGTERM)
            assert await self.over() == 0, self.log[-5000:]
        for one in self._reserved:
            one.close()

    async def ask(self, method: str, call_id: str, **body: object) -> tuple[int, Any]:
        """The status, 0 for no answer, and the document."""
        url = f"http://127.0.0.1:{self.port}/v1/calls/{call_id}/redaction"
        data = orjson.dumps(body) if method == "PUT" else None
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        try:
            async with self.session.request(method, url, data=data, headers=headers) as response:
                return response.status, orjson.loads(await response.read())
        except (TimeoutError, aiohttp.ClientError, orjson.JSONDecodeError):
            return 0, None


def _reserve(port: int) -> socket.socket:
    """Bound without listening: a server that may reuse addresses still gets the port, nobody else does."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one


@dataclass(kw_only=True)
class Site:
    """What all pods of a store share: the settings, the client's key, and the key of the trail."""

    common: dict[str, Any]
    minted: MintedKey
    hmac_key: bytes


def site(url: str, fakes: Sequence[Fake], **policy: float) -> Site:
    minted = mint(secrets.token_bytes)
    audit = {name: secrets.token_bytes(32) for name in ("hmac_key", "signing_key", "pepper")}
    key = {"kid": minted.kid, "hash": hash_secret(audit["pepper"], minted.secret)}
    names = [f"verba_{number}" for number, _ in enumerate(fakes, start=1)]
    common = {
        "environment": "development",
        "store": {"url": url},
        "policy": policy,
        "audit": {name: base64.b64encode(value).decode() for name, value in audit.items()},
        "backends": {name: fake.settings() for name, fake in zip(names, fakes, strict=True)},
        "routes": [{"backends": names}],
        "clients": {"crm": {"tenant": TENANT, "scopes": list(Scope), "keys": [key]}},
    }
    return Site(common=common, minted=minted, hmac_key=audit["hmac_key"])


def pods(children: Nursery, directory: Path, place: Site, session: aiohttp.ClientSession, count: int) -> list[Pod]:
    ports = free_ports(2 * count)
    made = [
        Pod(
            nursery=children,
            home=directory / f"pod-{number}",
            session=session,
            port=ports[2 * number],
            admin_port=ports[2 * number + 1],
            key=place.minted.text,
        )
        for number in range(count)
    ]
    for pod in made:
        pod.configure(place.common)
    return made
