"""The internal application: is it alive, can it mute, what has it counted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web

from gateway.web.headers import COMMON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Page(Protocol):
    @property
    def body(self) -> bytes: ...

    @property
    def content_type(self) -> str: ...


def build_admin(*, ready: Callable[[], bool], metrics: Callable[[str], Page | Awaitable[Page]]) -> web.Application:
    """``/livez``, ``/readyz``, ``/metrics``. `ready` says whether a mute could be carried out now: 503 if not;
    `metrics` what was counted, for who accepts this."""

    async def livez(_: web.Request) -> web.Response:
        return _said("ok")

    async def readyz(_: web.Request) -> web.Response:
        return _said("ready") if ready() else _said("not ready", status=503)

    async def metricsz(request: web.Request) -> web.Response:
        counted = metrics(",".join(request.headers.getall(hdrs.ACCEPT, [])))
        page = await counted if inspect.isawaitable(counted) else counted
        return web.Response(body=page.body, headers={**COMMON, hdrs.CONTENT_TYPE: page.content_type})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metricsz)
    return app


def _said(word: str, *, status: int = 200) -> web.Response:
    return web.Response(text=f"{word}\n", status=status, headers=COMMON)
