"""The public application: one endpoint, and its own description."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from gateway.auth.scopes import Scope
from gateway.web import openapi
from gateway.web.exchange import Frame, Work
from gateway.web.handlers import Endpoint
from gateway.web.needs import NEEDS, Open, declare
from gateway.web.reception import MAX_BODY_BYTES, Reception
from gateway.web.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp.typedefs import Handler

    from gateway.clock import Clock
    from gateway.web.door import Denials, Door, Queue
    from gateway.web.exchange import Meter
    from gateway.web.handlers import Service
    from gateway.web.needs import Needs
    from gateway.web.reception import Authenticator, Rules
    from gateway.web.stream import Changes

REDACTION_PATH = "/v1/calls/{call_id}/redaction"
OPENAPI_PATH = "/openapi.json"
METER: web.AppKey[Meter] = web.AppKey("meter")  # who counts what never gets as far as the application
DENIALS: web.AppKey[Denials] = web.AppKey("denials")
HOLDS_SECRET: web.AppKey[Callable[[str], bool]] = web.AppKey("holds_secret")
_DRAIN_SECONDS = 30.0  # longer than any request's deadline: only a defect gets there


def build_app(
    *,
    service: Service,
    changes: Changes,
    authenticator: Authenticator,
    meter: Meter,
    clock: Clock,
    rules: Rules,
    door: Door,
) -> web.Application:
    """The application; serve it with `gateway.web.server.listening`, which sets the limits it counts on."""
    work = Work()
    frame = Frame(clock=clock, meter=meter, work=work, denials=door.denials, holds_secret=authenticator.holds_secret)
    turnstile = Turnstile(
        authenticator=authenticator, door=door, meter=meter, clock=clock, trusted_proxies=rules.trusted_proxies
    )
    endpoint = Endpoint(service, Reception(authenticator, meter, rules, door, clock), changes)
    app = web.Application(middlewares=[turnstile.middleware, frame.middleware], client_max_size=MAX_BODY_BYTES)
    declare(app)
    _route(app, endpoint, door.strangers)
    app[METER] = meter
    app[DENIALS] = door.denials
    app[HOLDS_SECRET] = authenticator.holds_secret
    app.cleanup_ctx.append(_drained(work))
    return app


def _route(app: web.Application, endpoint: Endpoint, strangers: Queue) -> None:
    # Any segment is a call's id here, also the empty and the odd: the endpoint says what is wrong with it.
    redaction = app.router.add_resource("/v1/calls/{call_id:[^/]*}/redaction")
    declared: tuple[tuple[str, Handler, Needs], ...] = (
        (hdrs.METH_PUT, endpoint.put, Scope.MUTE),
        (hdrs.METH_DELETE, endpoint.delete, Scope.UNMUTE),
        (hdrs.METH_GET, endpoint.get, Scope.READ),
        (hdrs.METH_HEAD, endpoint.get, Scope.READ),
        (hdrs.METH_POST, endpoint.post, Open.BY_ACTION),
    )
    needs = app[NEEDS]
    for method, handler, need in declared:
        needs[redaction.add_route(method, handler)] = need
    description = app.router.add_resource(OPENAPI_PATH)
    describe = _describing(strangers)
    for method in (hdrs.METH_GET, hdrs.METH_HEAD):
        needs[description.add_route(method, describe)] = Open.TO_ALL


def _describing(strangers: Queue) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Made when somebody asks, and beside the loop: it takes longer than a mute may wait, and few ever ask. Whoever
    does is one of the strangers, and waits among them."""
    made: list[bytes] = []

    async def describe(_: web.Request) -> web.Response:
        if not made:
            text = await asyncio.to_thread(openapi.text)
            made.append(text.encode())
        await strangers.passed()
        return web.Response(body=made[0], content_type="application/json")

    return describe


def _drained(work: Work) -> Callable[[web.Application], AsyncIterator[None]]:
    async def drained(_: web.Application) -> AsyncIterator[None]:
        yield
        await work.drain(_DRAIN_SECONDS)

    return drained
