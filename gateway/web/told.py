"""Who hears of what never became a request: whoever counts it, and the trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from gateway import logs
from gateway.asks import Code
from gateway.web.headers import peer_address
from gateway.web.schema import nobodys

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.web.door import Denials
    from gateway.web.exchange import Meter

CONNECTION_REFUSED = "connection.refused"

_NO_HEADERS: CIMultiDict[str] = CIMultiDict()
_log = logs.get("gateway.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who counts it, and who writes it down; None where nobody does. `holds_secret`: nobody may write that down."""

    meter: Meter | None = None
    denials: Denials | None = None
    holds_secret: Callable[[str], bool] = nobodys

    def refused(self, method: str, code: Code, *, address: str | None, request_id: str | None = None) -> None:
        if self.meter is not None:
            self.meter.request_served(method=method, outcome=code.value, seconds=0.0)
        if self.denials is not None:
            self.denials.refused(code, address=address, request_id=request_id)

    def full(self, address: str | None) -> None:
        """One connection too many."""
        _log.warning(CONNECTION_REFUSED)
        self.refused("other", Code.RATE_LIMITED, address=address)


def far_end(wire: asyncio.BaseTransport | None) -> str | None:
    """The address at the other end of a connection, where it still tells: nobody in between was heard."""
    peer = wire.get_extra_info("peername") if wire is not None else None
    return peer_address(peer[0], _NO_HEADERS, ()) if peer else None
