"""Before anything else: who has failed too often already, and fails again, is told to wait, and costs next to nothing.

No task, no log line, no entry of its own: how many there were is in the trail, each second and source in one entry, and
in `auth_denied_total`. A good key from the same place goes through.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from gateway.asks import Code, Failure
from gateway.auth.keys import STRANGERS, Denied, Reason
from gateway.web import headers, problems
from gateway.web.door import WAIT
from gateway.web.exchange import METHODS
from gateway.web.needs import NEEDS, Open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.typedefs import Handler, Middleware

    from gateway.clock import Clock
    from gateway.web.door import Door
    from gateway.web.exchange import Meter
    from gateway.web.reception import Authenticator


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnstile:
    authenticator: Authenticator
    door: Door
    meter: Meter
    clock: Clock
    trusted_proxies: Sequence[headers.Network]

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def turned(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.door.throttle.idle or request.app[NEEDS].get(request.match_info.route, Open.TO_ALL) is Open.TO_ALL:
                return await handler(request)
            address = headers.peer_address(request.remote, request.headers, self.trusted_proxies)
            if self.door.throttle.waits(address) and self._is_strange(request):
                return await self._refused(request, address)
            return await handler(request)

        return turned

    def _is_strange(self, request: web.Request) -> bool:
        now = datetime.fromtimestamp(self.clock.ms() / 1000, UTC)
        found = self.authenticator.owner(headers.single(request.headers, headers.API_KEY_HEADER), now)
        return isinstance(found, Denied) and found.reason in STRANGERS

    async def _refused(self, request: web.Request, address: str | None) -> web.Response:
        began = asyncio.get_running_loop().time()
        wait = self.door.throttle.failed(address) or 1
        self.door.denials.throttled(address)
        self.meter.auth_denied(reason=Reason.THROTTLED)
        await self.door.throttled.passed()
        name = headers.request_id(request.headers, self.authenticator.holds_secret)
        said = {**headers.COMMON, headers.REQUEST_ID: name}
        response = problems.response(Failure(Code.RATE_LIMITED, WAIT), name, said)
        response.headers[hdrs.RETRY_AFTER] = str(wait)
        method = request.method if request.method in METHODS else "other"
        seconds = asyncio.get_running_loop().time() - began
        self.meter.request_served(method=method, outcome=Code.RATE_LIMITED.value, seconds=seconds)
        return response
