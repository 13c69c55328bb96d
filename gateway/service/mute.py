"""PUT: hold the call, mute it at every recorder, prove it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gateway import decide, exposure
from gateway.asks import Answer, Code, Failure
from gateway.audit.entry import EntryType
from gateway.beside import both
from gateway.clock import new_id
from gateway.decide import MuteAsked, Reported
from gateway.describe import Act
from gateway.evidence import pending, protected, proven
from gateway.frozen import replace
from gateway.meant import leaves
from gateway.model import Action, Hold, HoldKey, Recorder, Result
from gateway.routing import says_where
from gateway.service.problems import failure, not_found
from gateway.service.sharing import HURRIED_SECONDS, MUTE_STORE_SECONDS
from gateway.service.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.asks import Mute
    from gateway.ledger import Recorded
    from gateway.model import Redaction
    from gateway.service.claims import Claimed
    from gateway.service.tools import Tools

ELSEWHERE = "The redaction holds another call at a recorder that this request points elsewhere. End it first."
DURABLE = frozenset({"stored", "replicated"})
_log = structlog.stdlib.get_logger("mute")


class Mutes:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._standing = Standing(tools)

    async def mute(self, ask: Mute) -> Answer:
        """Hold the call and prove it muted. Returns only when protected (or pending a call to come)."""
        deadline = self._tools.clock.deadline(self._tools.settings.deadline_seconds)
        act = Act(op=new_id(), origin=ask.origin, action=Action.MUTE, hold=ask.hold)
        known = self._tools.ledger.last_known(ask.key)
        asked = await self._mute_asked(ask, known, deadline)
        begun, claimed = await both(
            self._begin_mute(ask, act, asked),
            self._tools.claims.claim(ask.key, decide.meant(known, asked), within=MUTE_STORE_SECONDS),
        )
        claimed = await self._standing.meant(begun, claimed)
        await self._require_own(ask, act, claimed, begun.outcome)
        results, claimed = await self._proven(ask, act, begun, claimed, deadline)
        done = await self._finish_mute(ask, act, begun, asked, results, claimed)
        if done.redaction.open and done.durability in DURABLE and not (claimed.sure or begun.durability in DURABLE):
            # The store came back in between: now it has the redaction, and lacks its claims.
            stored = replace(begun, redaction=done.redaction, durability=done.durability)
            results, claimed = await self._proven(ask, act, stored, claimed, deadline)
            done = await self._finish_mute(ask, act, stored, asked, results, claimed, name="claimed")
        if not done.redaction.open:
            await self._unclaim(ask, claimed)
        self._count(ask, begun, done)
        return self._muted(done, begun)

    async def _proven(
        self, ask: Mute, act: Act, begun: Recorded[Redaction], claimed: Claimed, deadline: float
    ) -> tuple[Mapping[str, Result], Claimed]:
        """Mute while the claims are made sure of; what was proven before they stood proves nothing."""
        claimed = await self._standing.known(begun, claimed)
        redaction = decide.loosened(begun.redaction, before=claimed.loose_until)
        if claimed.sure:
            again, results = claimed, await self._tools.mute_all(redaction, deadline)
        else:
            again, results = await asyncio.gather(
                self._standing.sure(claimed, begun, deadline), self._tools.mute_all(redaction, deadline)
            )
        if again.sure and not claimed.sure:
            redaction = decide.loosened(redaction, before=again.loose_until)
            results = await self._tools.mute_all(redaction, deadline)
        await self._require_own(ask, act, again, begun.outcome)
        told, claimed = await self._standing.told(redaction, results, again, deadline)
        await self._require_own(ask, act, claimed, begun.outcome)
        return told, claimed

    async def _mute_asked(self, ask: Mute, known: Redaction, deadline: float) -> MuteAsked:
        """`known` may be old: what it makes of the request is looked at once more when the state is changed."""
        recorders = await self._tools.sharing.sparing(self._recorders(ask, known), deadline)
        now = self._tools.clock.ms()
        hold = Hold(
            key=HoldKey(client=ask.origin.principal.client, name=ask.hold),
            parties=ask.parties,
            actor=ask.origin.actor,
            resume_at=now + 1000 * ask.resume_after_seconds if ask.resume_after_seconds else None,
        )
        return MuteAsked(
            at=now,
            received_at=ask.received_at,
            hold=hold,
            recorders=recorders,
            retarget=says_where(ask.where),
            extension=ask.where.extension,
        )

    def _recorders(self, ask: Mute, known: Redaction) -> tuple[Recorder, ...]:
        """None at all where the request does not say enough and it is not known whether others did."""
        try:
            return self._routed(ask, known)
        except Failure:
            if ask.where.extension is not None:
                raise
            return ()

    def _routed(self, ask: Mute, known: Redaction) -> tuple[Recorder, ...]:
        recorders = self._tools.routed(ask, known)
        self._tools.require_able(recorders, Action.MUTE, ask.parties)
        return recorders

    def _as_known(self, ask: Mute, asked: MuteAsked, redaction: Redaction) -> MuteAsked:
        """Where the request does not say by whom the call is recorded it is for the redaction to say."""
        if ask.where.extension is not None:
            return asked
        said = {recorder.backend: recorder for recorder in asked.recorders}
        routed = self._routed(ask, redaction)
        return replace(asked, recorders=tuple(_same(said.get(one.backend, one), one) for one in routed))

    async def _begin_mute(self, ask: Mute, act: Act, asked: MuteAsked) -> Recorded[Redaction]:
        """Its outcome is the redaction as it was before."""

        def begin(redaction: Redaction) -> tuple[Redaction, Redaction]:
            self._tools.require_version(ask, redaction)
            if leaves(redaction, asked.recorders, retarget=asked.retarget):
                view = self._tools.plain(redaction)
                raise Failure(Code.REDACTION_OPEN, ELSEWHERE, document=view)
            return decide.mute(redaction, self._as_known(ask, asked, redaction)), redaction

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

    async def _require_own(self, ask: Mute, act: Act, claimed: Claimed, before: Redaction) -> None:
        """Another tenant means this recorder's call already: for this one there is no such call."""
        if not claimed.foreign:
            return

        hold = HoldKey(client=ask.origin.principal.client, name=ask.hold)

        def withdraw(redaction: Redaction) -> tuple[Redaction, None]:
            return decide.withdraw(redaction, before=before, hold=hold, at=self._tools.clock.ms()), None

        withdrawn = await self._tools.record(
            ask.key, act, "withdrawn", withdraw, lambda _: EntryType.MUTE_FAILED, MUTE_STORE_SECONDS, needed=False
        )
        if not withdrawn.redaction.open and withdrawn.durability in DURABLE:
            await self._unclaim(ask, claimed)
        raise not_found()

    async def _unclaim(self, ask: Mute, claimed: Claimed) -> None:
        await self._tools.claims.release(ask.key, claimed.own, over=True, landed=None, within=MUTE_STORE_SECONDS)

    async def _finish_mute(
        self,
        ask: Mute,
        act: Act,
        begun: Recorded[Redaction],
        asked: MuteAsked,
        results: Mapping[str, Result],
        claimed: Claimed,
        *,
        name: str = "outcome",
    ) -> Recorded[EntryType]:
        def finish(redaction: Redaction, *, loose_until: int) -> tuple[Redaction, EntryType]:
            if begun.durability == "none":  # the intent is nowhere: it comes with its outcome
                redaction = decide.mute(redaction, self._as_known(ask, asked, redaction))
            redaction = decide.loosened(redaction, before=loose_until, ordered_at=loose_until)
            if claimed.sure:
                redaction = replace(redaction, stood_at=max(redaction.stood_at, claimed.stood_at))
            now = self._tools.clock.ms()
            report = Reported(at=now, asked_at_revision=begun.redaction.revision, results=results)
            late = decide.overtaken(redaction, report)
            if late != redaction:
                return late, EntryType.MUTE_OVERTAKEN
            redaction = decide.learn(redaction, report, policy=self._tools.settings.policy)
            done = protected(redaction, now=now, policy=self._tools.settings.policy)
            return redaction, EntryType.MUTE_CONFIRMED if done else EntryType.MUTE_FAILED

        within = MUTE_STORE_SECONDS if claimed.sure and begun.durability in DURABLE else HURRIED_SECONDS
        stored = partial(finish, loose_until=max(claimed.loose_until, claimed.doubt_until))
        alone = partial(finish, loose_until=claimed.loose_until)
        done = await self._tools.record(
            ask.key, act, name, stored, lambda word: word, within, needed=False, alone=alone
        )
        if done.outcome is EntryType.MUTE_OVERTAKEN:
            _log.error("mute.overtaken")
        return done

    def _count(self, ask: Mute, begun: Recorded[Redaction], done: Recorded[EntryType]) -> None:
        """How long each recorder was wanted silent and not proven so; and exposures that have ended."""
        now, policy = self._tools.clock.ms(), self._tools.settings.policy
        for recorder in done.redaction.recorders:
            safe = proven(done.redaction, recorder, now=now, policy=policy)
            until = recorder.seen.at if safe and recorder.seen is not None else now
            self._tools.metrics.unprotected(recorder.backend, max(0, until - ask.received_at) / 1000)
        exposure.count(
            self._tools.metrics, begun.redaction, done.redaction, first=not begun.outcome.open, now=now, policy=policy
        )

    def _muted(self, done: Recorded[EntryType], begun: Recorded[Redaction]) -> Answer:
        view = self._tools.document(done)
        if done.outcome is EntryType.MUTE_CONFIRMED:
            return Answer(document=view)
        if pending(done.redaction, now=self._tools.clock.ms()):
            return Answer(document=view, pending=True)
        redaction = done.redaction if done.redaction.recorders else begun.redaction
        raise failure(redaction, redaction.recorders, view if done.redaction.open else None)


def _same(asked: Recorder, routed: Recorder) -> Recorder:
    """What was found out about the recorder's calls holds where it still means them."""
    return asked if replace(asked.target, excluded=routed.target.excluded) == routed.target else routed
