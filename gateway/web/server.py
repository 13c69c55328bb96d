"""Listening: an application behind a socket, with the limits that aiohttp leaves open."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.web.app import METER
from gateway.web.connection import Connection, Patience, Room

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

_BACKLOG = 1024
_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen; port 0 takes a free one. `grace_seconds` is how long open requests get at the end."""

    host: str
    port: int = 0
    tls: ssl.SSLContext | None = None
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
        server = await _listen(runner, app, bind)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, app: web.Application, bind: Bind) -> asyncio.Server:
    manager = runner.server
    if manager is None:  # pragma: no cover -- set up just now; the type cannot say it
        raise RuntimeError("the runner is not set up")
    loop = asyncio.get_running_loop()
    room = Room(_most(bind.patience.connections))

    methods = ",".join(sorted({route.method for route in app.router.routes()}))

    def connection() -> Connection:
        return Connection(manager, loop=loop, patience=bind.patience, room=room, meter=app.get(METER), methods=methods)

    return await loop.create_server(
        connection,
        bind.host,
        bind.port,
        ssl=bind.tls,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS if bind.tls else None,
        reuse_port=bind.reuse_port or None,
        backlog=_BACKLOG,
    )


def _most(connections: int) -> int:
    """At most half of the files that this process may have open: the other half is for store, journal and vendors."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if files == resource.RLIM_INFINITY else min(connections, max(files // 2, 1))
