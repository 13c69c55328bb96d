"""Listening: an application behind a socket, with the limits that aiohttp leaves open.

aiohttp's own answer to bytes that are no HTTP repeats them, and its log prints the headers, keys included:
both are said here instead.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway import logs
from gateway.asks import Code, Failure
from gateway.web import problems
from gateway.web.headers import COMMON, REQUEST_ID

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

REQUEST_MALFORMED = "request.malformed"
CONNECTION_FAILED = "connection.failed"
_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75.0  # longer than the usual load balancer's 60, so that it is the one to close
_LINGER_SECONDS = 1.0  # how long the rest of a body that nobody reads is waited for

_log = logs.get("gateway.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen; port 0 takes a free one. `grace_seconds` is how long open requests get at the end."""

    host: str
    port: int = 0
    tls: ssl.SSLContext | None = None
    reuse_port: bool = False
    grace_seconds: float = 30.0


class Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it repeats what was sent
    ) -> web.Response:
        request_id = uuid.uuid4().hex
        _log.warning(REQUEST_MALFORMED, status=status, error=type(exc).__name__, request_id=request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        code = Code.INVALID_REQUEST if status < 500 else Code.INTERNAL_ERROR  # noqa: PLR2004 -- HTTP's own border
        failure = Failure(code, "The request cannot be read.")
        response = problems.response(failure, request_id, {**COMMON, REQUEST_ID: request_id})
        response.force_close()
        return response

    def log_exception(self, *_: Any, **details: Any) -> None:  # noqa: ANN401 -- as the logging module has it
        _log.error(CONNECTION_FAILED, error=type(details.get("exc_info")).__name__)


@asynccontextmanager
async def listening(app: web.Application, bind: Bind) -> AsyncIterator[int]:
    """Serve `app` while the block runs; gives the port. At the end no new request is taken, those under way are
    finished."""
    runner = web.AppRunner(app, shutdown_timeout=bind.grace_seconds)
    await runner.setup()
    try:
        server = await _listen(runner, bind)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, bind: Bind) -> asyncio.Server:
    manager = runner.server
    if manager is None:  # pragma: no cover -- set up just now; the type cannot say it
        raise RuntimeError("the runner is not set up")
    loop = asyncio.get_running_loop()

    def connection() -> Connection:
        return Connection(
            manager,
            loop=loop,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # None switches it off, which the annotation forgets
            auto_decompress=False,
        )

    return await loop.create_server(
        connection,
        bind.host,
        bind.port,
        ssl=bind.tls,
        reuse_port=bind.reuse_port or None,
        backlog=_BACKLOG,
    )
