"""`resume_after_seconds`: the holder's own order for a time, carried out then, once, or not at all.

When nobody got to it in time (all pods were down), it is not carried out: much may have happened since. An entry
says so and the hold stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway import decide
from gateway.asks import Failure, Unmute
from gateway.audit.entry import EntryType
from gateway.clock import new_id
from gateway.describe import Act
from gateway.model import Origin, Principal
from gateway.service.tools import STORE_SECONDS
from gateway.service.unmute import Unmutes

if TYPE_CHECKING:
    from gateway.model import Hold, Redaction
    from gateway.service.tools import Tools

_log = structlog.stdlib.get_logger("dated")

LATE_MS = 10_000


class Dated:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._unmutes = Unmutes(tools)

    async def carry_out(self, redaction: Redaction) -> None:
        """Every hold of `redaction` whose time has come. `StoreUnavailable` where even that cannot be written."""
        now = self._tools.clock.ms()
        for hold in redaction.holds:
            if hold.resume_at is None or hold.resume_at > now:
                continue
            if now - hold.resume_at > LATE_MS:
                await self._miss(redaction, hold)
            else:
                await self._resume(redaction, hold, hold.resume_at)

    async def _resume(self, redaction: Redaction, hold: Hold, date: int) -> None:
        ask = Unmute(
            key=redaction.key,
            origin=_origin(redaction, hold),
            received_at=self._tools.clock.ms(),
            hold=hold.key.name,
            dated=date,
        )
        try:
            await self._unmutes.unmute(ask)
        except Failure as failure:
            _log.warning("resume.failed", code=failure.code.value)

    async def _miss(self, redaction: Redaction, hold: Hold) -> None:
        def miss(current: Redaction) -> tuple[Redaction, EntryType | None]:
            known = current.hold(hold.key)
            if known is None or known.resume_at != hold.resume_at:
                return current, None
            return decide.undated(current, hold=hold.key, at=self._tools.clock.ms()), EntryType.RESUME_MISSED

        act = Act(op=new_id(), origin=_origin(redaction, hold), hold=hold.key.name)
        await self._tools.record(redaction.key, act, "missed", miss, lambda word: word, STORE_SECONDS)
        _log.error("resume.missed")


def _origin(redaction: Redaction, hold: Hold) -> Origin:
    """The holder itself, by the order it gave when it muted."""
    principal = Principal(client=hold.key.client, tenant=redaction.key.tenant, kid="")
    return Origin(principal=principal, request_id=new_id(), actor=hold.actor, trigger="automated")
