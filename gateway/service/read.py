"""GET: the state as it is known, or as the recorders say it now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import decide
from gateway.asks import Answer, Code, Failure
from gateway.audit.entry import EntryType
from gateway.clock import new_id
from gateway.decide import Reported
from gateway.describe import Act
from gateway.service.claims import SKEW_MS
from gateway.service.problems import not_found, require_known
from gateway.service.tools import STORE_SECONDS
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from gateway.asks import Read
    from gateway.ledger import Recorded
    from gateway.model import Redaction
    from gateway.service.tools import Tools
    from gateway.view import Document


class Reads:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def read(self, ask: Read) -> Answer:
        """The state as it is known; with `refresh` the recorders are asked first."""
        try:
            known = await self._tools.ledger.read(ask.key, within=STORE_SECONDS)
            if known is None:
                raise not_found()
            require_known(known.redaction)
            self._tools.require_version(ask, known.redaction)
            if ask.refresh:
                known = await self._refresh(ask, known.redaction)
            return Answer(document=await self._with_entries(ask, known))
        except StoreUnavailable:
            raise Failure(Code.STORE_UNAVAILABLE, "The state cannot be read now.") from None

    async def _refresh(self, ask: Read, redaction: Redaction) -> Recorded[None]:
        deadline = self._tools.clock.deadline(self._tools.settings.deadline_seconds)
        redaction = await self._tools.sharing.claimed(redaction, within=STORE_SECONDS)
        await self._let_it_count(redaction)
        looks = [self._tools.recorders.look(recorder, deadline=deadline) for recorder in redaction.recorders]
        looked = await asyncio.gather(*looks)
        results = {recorder.backend: result for recorder, result in zip(redaction.recorders, looked, strict=True)}

        told = await self._tools.sharing.told(redaction, results, within=STORE_SECONDS)

        def learn(current: Redaction) -> tuple[Redaction, None]:
            current = decide.loosened(current, before=told.loose_before, ordered_at=told.ordered_at)
            report = Reported(at=self._tools.clock.ms(), asked_at_revision=redaction.revision, results=results)
            if not current.open:
                return decide.witnessed(current, report), None
            return decide.learn(current, report, policy=self._tools.settings.policy), None

        act = Act(op=new_id(), origin=ask.origin)
        return await self._tools.record(
            ask.key, act, "refreshed", learn, lambda _: EntryType.STATE_REFRESHED, STORE_SECONDS
        )

    async def _let_it_count(self, redaction: Redaction) -> None:
        """Right after a mute what is seen would prove nothing yet: its claims stand for less than two clocks may be
        apart."""
        wait_ms = redaction.loose_before - self._tools.clock.ms()
        if 0 < wait_ms <= SKEW_MS:
            await self._tools.clock.sleep(wait_ms / 1000)

    async def _with_entries(self, ask: Read, known: Recorded[None]) -> Document:
        if not ask.audit:
            return self._tools.document(known)
        act = Act(op=new_id(), origin=ask.origin)
        read = await self._tools.record(
            ask.key, act, "read", lambda r: (r, None), lambda _: EntryType.TRAIL_READ, STORE_SECONDS
        )
        entries = await self._tools.ledger.entries(ask.key, within=STORE_SECONDS)
        return replace(self._tools.document(read), entries=tuple(entry.members() for entry in entries))
