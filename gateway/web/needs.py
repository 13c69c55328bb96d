"""What each route needs of its caller. A route that does not say so keeps the gateway from starting."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.auth.scopes import Scope

if TYPE_CHECKING:
    from aiohttp.web_urldispatcher import AbstractRoute


class Open(enum.Enum):
    """A route without a scope of its own: it asks nobody, or what it needs is in the body."""

    TO_ALL = enum.auto()
    BY_ACTION = enum.auto()


Needs = Scope | Open
NEEDS: web.AppKey[dict[AbstractRoute, Needs]] = web.AppKey("needs")


class UndeclaredRouteError(Exception):
    """A route that would let in whoever asks."""


def declare(app: web.Application) -> None:
    """From now on the application starts only when all of its routes say what they need."""
    app[NEEDS] = {}
    app.on_startup.append(_checked)


def needed(request: web.Request) -> Needs:
    """What the route of this request needs. Raises `UndeclaredRouteError`."""
    try:
        return request.app[NEEDS][request.match_info.route]
    except KeyError:
        raise UndeclaredRouteError(request.match_info.route.method) from None


async def _checked(app: web.Application) -> None:
    for route in app.router.routes():
        if route not in app[NEEDS]:
            raise UndeclaredRouteError(f"{route.method} {route.resource.canonical if route.resource else ''}")
