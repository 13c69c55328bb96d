"""The internal application: is it alive, can it mute, what has it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from gateway.web.headers import COMMON

if TYPE_CHECKING:
    from collections.abc import Callable


def build_admin(*, ready: Callable[[], bool], metrics: Callable[[], bytes], metrics_type: str) -> web.Application:
    """``/livez``, ``/readyz``, ``/metrics``. `ready` says whether a mute could be carried out now: 503 if not."""

    async def livez(_: web.Request) -> web.Response:
        return _said("ok")

    async def readyz(_: web.Request) -> web.Response:
        return _said("ready") if ready() else _said("not ready", status=503)

    async def metricsz(_: web.Request) -> web.Response:
        headers = {**COMMON, hdrs.CONTENT_TYPE: metrics_type}
        return web.Response(body=metrics(), headers=headers)

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metricsz)
    return app


def _said(word: str, *, status: int = 200) -> web.Response:
    return web.Response(text=f"{word}\n", status=status, headers=COMMON)
