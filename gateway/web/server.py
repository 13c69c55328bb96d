"""Listening: an application behind a socket, with the limits that aiohttp leaves open."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.web.app import DENIALS, HOLDS_SECRET, METER
from gateway.web.connection import Connection, Patience, Room
from gateway.web.schema import nobodys
from gateway.web.tls import Porter
from gateway.web.told import Told

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from gateway.web.connection import Welcome

_BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen; port 0 takes a free one. `tls` is asked for each connection, None: in the clear.
    `grace_seconds` is how long open requests get at the end."""

    host: str
    port: int = 0
    tls: Callable[[], ssl.SSLContext] | None = None
    reuse_port: bool = False
    grace_seconds: float = 30.0
    patience: Patience = field(default_factory=Patience)


@asynccontextmanager
async def listening(app: web.Application, bind: Bind) -> AsyncIterator[int]:
    """Serve `app` while the block runs; gives the port. At the end no new request is taken, those under way are
    finished."""
    runner = web.AppRunner(app, shutdown_timeout=bind.grace_seconds)
    await runner.setup()
    try:
        async with _open(_Served(app=app, manager=_manager(runner), bind=bind)) as port:
            yield port
    finally:
        await runner.cleanup()


def _manager(runner: web.AppRunner) -> web.Server:
    if runner.server is None:  # pragma: no cover -- set up just now; the type cannot say it
        raise RuntimeError("the runner is not set up")
    return runner.server


@asynccontextmanager
async def _open(served: _Served) -> AsyncIterator[int]:
    porter = served.porter(served.bind.tls) if served.bind.tls else None
    server = await served.listen(porter.greet if porter else served.connection)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if porter is not None:
            await porter.end()


class _Served:
    """What the connections of one socket have in common."""

    def __init__(self, *, app: web.Application, manager: web.Server, bind: Bind) -> None:
        self.bind = bind
        self._manager = manager
        holds_secret = app.get(HOLDS_SECRET, nobodys)
        self._told = Told(meter=app.get(METER), denials=app.get(DENIALS), holds_secret=holds_secret)
        self._methods = ",".join(sorted({route.method for route in app.router.routes()}))
        self._room = Room(_most(bind.patience.connections))

    def connection(self, welcome: Welcome | None = None) -> Connection:
        return Connection(
            self._manager,
            loop=asyncio.get_running_loop(),
            patience=self.bind.patience,
            room=self._room,
            told=self._told,
            methods=self._methods,
            welcome=welcome,
        )

    def porter(self, tls: Callable[[], ssl.SSLContext]) -> Porter:
        return Porter(
            room=self._room,
            context=tls,
            make=self.connection,
            told=self._told,
            handshake_seconds=self.bind.patience.handshake_seconds,
        )

    async def listen(self, greet: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
        host, port, reuse = self.bind.host, self.bind.port, self.bind.reuse_port or None
        loop = asyncio.get_running_loop()
        return await loop.create_server(greet, host, port, reuse_port=reuse, backlog=_BACKLOG)


def _most(connections: int) -> int:
    """At most half of the files that this process may have open: the other half is for store, journal and vendors."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if files == resource.RLIM_INFINITY else min(connections, max(files // 2, 1))
