"""PUT: hold the call, mute it at every recorder, prove it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import decide
from gateway.asks import Answer
from gateway.audit.entry import EntryType
from gateway.clock import new_id
from gateway.decide import MuteAsked, Reported, Result
from gateway.describe import Act
from gateway.evidence import pending, protected, proven
from gateway.model import Action, Hold, HoldKey, Recorder
from gateway.routing import says_where
from gateway.service.problems import failure, not_found
from gateway.service.tools import LANDS_SECONDS, MUTE_STORE_SECONDS, STORE_SECONDS

CLAIM_AGAIN_SECONDS = 0.02

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.asks import Mute
    from gateway.ledger import Recorded
    from gateway.model import Redaction
    from gateway.service.claims import Claimed
    from gateway.service.tools import Tools


class Mutes:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def mute(self, ask: Mute) -> Answer:
        """Hold the call and prove it muted. Returns only when protected (or pending a call to come)."""
        deadline = self._tools.clock.deadline(self._tools.settings.deadline_seconds)
        recorders = self._tools.routed(ask)
        self._tools.require_able(recorders, Action.MUTE, ask.parties)
        act = Act(op=new_id(), origin=ask.origin, action=Action.MUTE, hold=ask.hold)
        asked = self._mute_asked(ask, recorders)
        begun, claimed = await asyncio.gather(
            self._begin_mute(ask, act, asked),
            self._tools.claims.claim(ask.key, recorders, within=MUTE_STORE_SECONDS),
        )
        await self._require_own(ask, act, asked, claimed)
        redaction = decide.loosened(begun.redaction, before=claimed.loose_until)
        results, again = await asyncio.gather(
            self._tools.mute_all(redaction, deadline), self._claimed_again(ask, recorders, claimed, begun, deadline)
        )
        if again.sure and not claimed.sure:  # what was proven before the claim stood proves nothing
            redaction = decide.loosened(redaction, before=again.loose_until)
            results = await self._tools.mute_all(redaction, deadline)
        claimed = again
        await self._require_own(ask, act, asked, claimed)
        done = await self._finish_mute(ask, act, begun, asked, results, claimed)
        if not done.redaction.open:
            await self._unclaim(ask, claimed)
        self._count(ask, begun, done)
        return self._muted(done, begun)

    async def _claimed_again(
        self, ask: Mute, recorders: tuple[Recorder, ...], claimed: Claimed, begun: Recorded[None], deadline: float
    ) -> Claimed:
        """A claim that was not confirmed in time is made again while the recorders are at work. Who has a store and
        no claim cannot be called protected: another redaction's unmute may be on its way."""
        again = claimed
        while not again.sure and self._tools.clock.left(deadline) > MUTE_STORE_SECONDS:
            again = await self._tools.claims.claim(ask.key, recorders, within=MUTE_STORE_SECONDS)
            if begun.durability in {"journal", "none"}:
                return again
            await self._tools.clock.sleep(0 if again.sure else CLAIM_AGAIN_SECONDS)
        if again.sure:
            return again
        lands = int(1000 * (self._tools.settings.loosen_seconds + LANDS_SECONDS))
        return replace(again, loose_until=self._tools.clock.ms() + lands)

    def _mute_asked(self, ask: Mute, recorders: tuple[Recorder, ...]) -> MuteAsked:
        now = self._tools.clock.ms()
        hold = Hold(
            key=HoldKey(client=ask.origin.principal.client, name=ask.hold),
            parties=ask.parties,
            actor=ask.origin.actor,
            resume_at=now + 1000 * ask.resume_after_seconds if ask.resume_after_seconds else None,
        )
        where = says_where(ask.where)
        return MuteAsked(at=now, received_at=ask.received_at, hold=hold, recorders=recorders, retarget=where)

    async def _begin_mute(self, ask: Mute, act: Act, asked: MuteAsked) -> Recorded[None]:
        def begin(redaction: Redaction) -> tuple[Redaction, None]:
            self._tools.require_version(ask, redaction)
            return decide.mute(redaction, asked), None

        return await self._tools.record(
            ask.key,
            act,
            "intended",
            begin,
            lambda _: EntryType.MUTE_INTENDED,
            MUTE_STORE_SECONDS,
            needed=False,
            busy_ms=self._tools.settings.busy_ms,
        )

    async def _require_own(self, ask: Mute, act: Act, asked: MuteAsked, claimed: Claimed) -> None:
        """Another tenant means this recorder's call already: for this one there is no such call."""
        if not claimed.foreign:
            return

        def withdraw(redaction: Redaction) -> tuple[Redaction, None]:
            return decide.withdraw(redaction, hold=asked.hold.key, at=self._tools.clock.ms()), None

        withdrawn = await self._tools.record(
            ask.key, act, "withdrawn", withdraw, lambda _: EntryType.MUTE_FAILED, MUTE_STORE_SECONDS, needed=False
        )
        if not withdrawn.redaction.open and withdrawn.durability in {"stored", "replicated"}:
            await self._unclaim(ask, claimed)
        raise not_found()

    async def _unclaim(self, ask: Mute, claimed: Claimed) -> None:
        await self._tools.claims.release(ask.key, claimed.own, over=True, landed=None, within=STORE_SECONDS)

    async def _finish_mute(
        self,
        ask: Mute,
        act: Act,
        begun: Recorded[None],
        asked: MuteAsked,
        results: Mapping[str, Result],
        claimed: Claimed,
    ) -> Recorded[bool]:
        def finish(redaction: Redaction) -> tuple[Redaction, bool]:
            if begun.durability == "none":  # the intent is nowhere: it comes with its outcome
                redaction = decide.mute(redaction, asked)
            redaction = decide.loosened(redaction, before=claimed.loose_until)
            now = self._tools.clock.ms()
            report = Reported(at=now, asked_at_revision=begun.redaction.revision, results=results)
            redaction = decide.learn(redaction, report, policy=self._tools.settings.policy)
            return redaction, protected(redaction, now=now, policy=self._tools.settings.policy)

        def kind(done: bool) -> EntryType:  # noqa: FBT001 -- the step's own word
            return EntryType.MUTE_CONFIRMED if done else EntryType.MUTE_FAILED

        return await self._tools.record(ask.key, act, "outcome", finish, kind, MUTE_STORE_SECONDS, needed=False)

    def _count(self, ask: Mute, begun: Recorded[None], done: Recorded[bool]) -> None:
        """How long each recorder was wanted silent and not proven so; and the exposure, once it has ended."""
        now, policy = self._tools.clock.ms(), self._tools.settings.policy
        for recorder in done.redaction.recorders:
            safe = proven(done.redaction, recorder, now=now, policy=policy)
            until = recorder.seen.at if safe and recorder.seen is not None else now
            self._tools.metrics.unprotected(recorder.backend, max(0, until - ask.received_at) / 1000)
        if begun.redaction.exposure_ms is None and done.redaction.exposure_ms is not None:
            self._tools.metrics.exposed(done.redaction.exposure_ms / 1000)

    def _muted(self, done: Recorded[bool], begun: Recorded[None]) -> Answer:
        view = self._tools.document(done)
        if done.outcome:
            return Answer(document=view)
        if pending(done.redaction, now=self._tools.clock.ms()):
            return Answer(document=view, pending=True)
        redaction = done.redaction if done.redaction.recorders else begun.redaction
        raise failure(redaction, redaction.recorders, view if done.redaction.open else None)
