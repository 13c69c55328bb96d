"""How much may be asked: by clients that are known, and by those who fail to be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs

from gateway.asks import Code, Failure
from gateway.auth.keys import Reason
from gateway.auth.limits import Kind

if TYPE_CHECKING:
    from gateway.asks import Sought
    from gateway.auth.keys import Denied
    from gateway.auth.limits import Limits
    from gateway.auth.throttle import Throttle
    from gateway.model import Principal
    from gateway.web.exchange import Exchange, Meter

# Whoever has a good key is no stranger: with a bad token or certificate it is told so every time.
_KNOWN = frozenset(
    {
        Reason.CERTIFICATE,
        Reason.TOKEN_MISSING,
        Reason.TOKEN_INVALID,
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_KEY_UNKNOWN,
        Reason.TOKEN_SUBJECT,
    }
)
WAIT = "Too many requests: wait for as long as Retry-After says."
PACE_SECONDS = 0.002  # four times what it costs; a whole room of them is through before a stop is over
_KINDS = {hdrs.METH_PUT: Kind.MUTE, hdrs.METH_POST: Kind.MUTE, hdrs.METH_DELETE: Kind.CHANGE}


class Denials(Protocol):
    def denied(self, denied: Denied, sought: Sought, *, address: str | None, request_id: str) -> None:
        """Somebody was not let in."""
        ...

    def throttled(self, address: str | None) -> None:
        """Somebody nobody knows, from where there were too many of them already."""
        ...

    def refused(self, code: Code, *, address: str | None, request_id: str | None) -> None:
        """What never became a request."""
        ...

    def card_found(self, principal: Principal, *, names: tuple[str, ...], address: str | None, request_id: str) -> None:
        """Somebody put a card number where none belongs."""
        ...


class Queue:
    """Strangers are answered one after the other, `pace_seconds` for each: however many there are, a mute waits for
    one of them at a time, and all of them together take a fraction of the processor."""

    def __init__(self, pace_seconds: float = 0.0) -> None:
        self._pace_seconds = pace_seconds
        self._first = asyncio.Lock()

    async def passed(self) -> None:
        async with self._first:
            await asyncio.sleep(self._pace_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    limits: Limits
    throttle: Throttle
    denials: Denials
    strangers: Queue = field(default_factory=Queue)
    throttled: Queue = field(default_factory=lambda: Queue(PACE_SECONDS))

    def enter(self, client: str, method: str, exchange: Exchange) -> bool:
        """Whether the client still keeps within its limit. Raises the `Failure` of what is refused beyond it: never
        a mute, and a POST may be one."""
        kind = _KINDS.get(method, Kind.READ)
        standing = self.limits.take(client, kind)
        exchange.headers.update(standing.headers)
        if standing.short_seconds and kind is not Kind.MUTE:
            raise refused(exchange, standing.short_seconds)
        return not standing.short_seconds

    async def turn_away(self, denied: Denied, sought: Sought, exchange: Exchange, meter: Meter) -> Failure:
        """What somebody who is not let in is told, when it is their turn."""
        address = exchange.address
        self.denials.denied(denied, sought, address=address, request_id=exchange.request_id)
        wait = None if denied.reason in _KNOWN else self.throttle.failed(address)
        meter.auth_denied(reason=Reason.THROTTLED if wait else denied.reason)
        await (self.throttled if wait else self.strangers).passed()
        if wait:
            return refused(exchange, wait)
        return Failure(Code.UNAUTHENTICATED, "A valid key in the header X-API-Key is needed.")


def refused(exchange: Exchange, wait_seconds: int = 1) -> Failure:
    exchange.headers[hdrs.RETRY_AFTER] = str(wait_seconds)
    return Failure(Code.RATE_LIMITED, WAIT)
