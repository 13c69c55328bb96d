"""How much may be asked: by clients that are known, and by those who fail to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs

from gateway.asks import Code, Failure
from gateway.auth.keys import Reason
from gateway.auth.limits import Kind

if TYPE_CHECKING:
    from gateway.auth.keys import Denied
    from gateway.auth.limits import Limits
    from gateway.auth.throttle import Throttle
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
_KINDS = {hdrs.METH_PUT: Kind.MUTE, hdrs.METH_POST: Kind.MUTE, hdrs.METH_DELETE: Kind.CHANGE}


class Denials(Protocol):
    def denied(self, denied: Denied, *, address: str | None, request_id: str) -> None:
        """Somebody was not let in."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    limits: Limits
    throttle: Throttle
    denials: Denials

    def enter(self, client: str, method: str, exchange: Exchange) -> bool:
        """Whether the client still keeps within its limit. Raises the `Failure` of what is refused beyond it: never
        a mute, and a POST may be one."""
        kind = _KINDS.get(method, Kind.READ)
        standing = self.limits.take(client, kind)
        exchange.headers.update(standing.headers)
        if standing.short_seconds and kind is not Kind.MUTE:
            raise refused(exchange, standing.short_seconds)
        return not standing.short_seconds

    def turn_away(self, denied: Denied, exchange: Exchange, meter: Meter, address: str | None) -> Failure:
        """What somebody who is not let in is told."""
        self.denials.denied(denied, address=address, request_id=exchange.request_id)
        wait = None if denied.reason in _KNOWN else self.throttle.failed(address)
        meter.auth_denied(reason=Reason.THROTTLED if wait else denied.reason)
        if wait:
            return refused(exchange, wait)
        return Failure(Code.UNAUTHENTICATED, "A valid key in the header X-API-Key is needed.")


def refused(exchange: Exchange, wait_seconds: int = 1) -> Failure:
    exchange.headers[hdrs.RETRY_AFTER] = str(wait_seconds)
    return Failure(Code.RATE_LIMITED, "Too many requests: wait for as long as Retry-After says.")
