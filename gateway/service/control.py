"""POST keep, discard, start, stop: one-shot commands to the recorders. They create no hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import decide
from gateway.asks import Answer, Code, Failure
from gateway.audit.entry import EntryType
from gateway.backends.contract import Command
from gateway.clock import new_id
from gateway.describe import Act
from gateway.model import Action, Fault, Recorder, Redaction, Result
from gateway.service.claims import Held
from gateway.service.oneshot import Given, news, remembered, shown, with_outcomes
from gateway.service.problems import control_outcome, control_view, failure, held_view, not_found, with_results
from gateway.service.tools import STORE_SECONDS
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from gateway.asks import Control
    from gateway.ledger import Recorded
    from gateway.service.tools import Tools
    from gateway.view import Document, RecorderView

SENT = "It was sent, and what came of it cannot be written down: treat the call as being recorded."


class Controls:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def control(self, ask: Control) -> Answer:
        """Keep, discard, start or stop at every recorder, once. Creates no hold."""
        deadline = self._tools.clock.deadline(self._tools.settings.loosen_seconds)
        act = Act(op=new_id(), origin=ask.origin, action=ask.action)
        try:
            known = await self._tools.ledger.load(ask.key, within=STORE_SECONDS)
            self._require_closed(ask, known.redaction if known else None)
            recorders = self._tools.addressed(ask, known.redaction if known else None)
            self._tools.require_able(recorders, ask.action)
            lands_before = self._tools.sharing.lands_before()
            held = await self._require_free(ask, recorders, lands_before, deadline)
            begun = await self._begin_control(ask, act, lands_before)
            claimed = await self._tools.sharing.claimed(begun.redaction, within=STORE_SECONDS)
            results = await self._control_all(ask, recorders, deadline)
            given = Given(action=ask.action, recorders=recorders, results=results, at_revision=claimed.revision)
        except StoreUnavailable:
            raise Failure(Code.STORE_UNAVAILABLE, "The command cannot be written down, so it is not given.") from None
        try:
            done = await self._finish_control(ask, act, given, claimed)
        except StoreUnavailable:
            raise Failure(Code.RECORDER_UNCONFIRMED, SENT, recorders=self._views(ask, given, claimed)) from None
        await self._tools.claims.release(
            ask.key,
            held.own,
            over=False,
            landed=None,
            within=STORE_SECONDS,
        )
        return self._controlled(ask, given, done)

    def _require_closed(self, ask: Control, redaction: Redaction | None) -> None:
        """A start would put the recording on while it must be silent; that comes before what recorders can do."""
        if ask.action is Action.START and redaction is not None and redaction.open:
            raise Failure(Code.REDACTION_OPEN, "The call must be silent now.", document=self._tools.plain(redaction))

    async def _require_free(
        self, ask: Control, recorders: tuple[Recorder, ...], lands_before: int, deadline: float
    ) -> Held:
        """Another tenant's call is nobody's here. A start must not put on what another redaction holds silent."""
        if ask.action is not Action.START:
            asked = await self._tools.claims.held(ask.key, recorders, lands_before=0, within=STORE_SECONDS)
            if asked.foreign:
                raise not_found()
            return Held(backends=frozenset(), own={})
        known = await self._tools.sharing.identified(recorders, deadline)
        if known.unknown:
            raise failure(Redaction(key=ask.key), with_results(recorders, known.unknown), None)
        held = await self._tools.claims.held(ask.key, known.recorders, lands_before=lands_before, within=STORE_SECONDS)
        if held.foreign:
            raise not_found()
        if held.unsure:
            doubtful = {backend: Result(fault=Fault.BUSY) for backend in held.unsure}
            raise failure(Redaction(key=ask.key), with_results(recorders, doubtful), None)
        if held.backends or held.calls:
            silent = held.backends | held.calls.keys()
            raise Failure(
                Code.REDACTION_OPEN,
                "Another redaction holds this recorder silent.",
                recorders=tuple(held_view(recorder, silent) for recorder in recorders),
            )
        return held

    async def _begin_control(self, ask: Control, act: Act, lands_before: int) -> Recorded[None]:
        def begin(redaction: Redaction) -> tuple[Redaction, None]:
            self._tools.require_version(ask, redaction)
            if ask.action is not Action.START:
                return redaction, None
            if redaction.open:
                raise Failure(
                    Code.REDACTION_OPEN, "The call must be silent now.", document=self._tools.plain(redaction)
                )
            return decide.start(redaction, op=act.op, at=self._tools.clock.ms(), lands_before=lands_before), None

        return await self._tools.record(
            ask.key, act, "intended", begin, lambda _: EntryType.CONTROL_INTENDED, STORE_SECONDS
        )

    async def _control_all(self, ask: Control, recorders: tuple[Recorder, ...], deadline: float) -> dict[str, Result]:
        def command(recorder: Recorder) -> Command:
            return Command(action=ask.action, target=recorder.target, format=ask.format, mark=ask.mark)

        commands = [self._tools.recorders.control(r, command(r), deadline=deadline) for r in recorders]
        results = await asyncio.gather(*commands)
        return {recorder.backend: result for recorder, result in zip(recorders, results, strict=True)}

    async def _finish_control(self, ask: Control, act: Act, given: Given, claimed: Redaction) -> Recorded[bool]:
        """What was seen proves no more than what a reader sees: others' commands may still land."""
        done = all(result.fault is None for result in given.results.values())
        told = await self._tools.sharing.told(claimed, news(claimed, given), within=STORE_SECONDS)

        def finish(redaction: Redaction) -> tuple[Redaction, bool]:
            now, policy = self._tools.clock.ms(), self._tools.settings.policy
            if told.open and news(redaction, given):
                redaction = decide.loosened(redaction, before=told.loose_before, ordered_at=told.ordered_at)
            return remembered(redaction, given, op=act.op, at=now, policy=policy), done

        def kind(_: bool) -> EntryType:  # noqa: FBT001 -- the step's own word
            return EntryType.CONTROL_CONFIRMED if done else EntryType.CONTROL_FAILED

        return await self._tools.record(ask.key, act, "outcome", finish, kind, STORE_SECONDS)

    def _controlled(self, ask: Control, given: Given, done: Recorded[bool]) -> Answer:
        if done.outcome:
            outcomes = {name: control_outcome(result) for name, result in given.results.items()}
            return Answer(document=with_outcomes(self._shown(given, done), ask.action, outcomes))
        views = self._views(ask, given, done.redaction)
        failed = with_results(given.recorders, given.results)
        view = self._tools.document(done) if done.redaction.open else None
        raise failure(done.redaction, failed, view, views=views)

    def _views(self, ask: Control, given: Given, redaction: Redaction) -> tuple[RecorderView, ...]:
        return tuple(control_view(ask, r, given.results[r.backend], redaction.wanted) for r in given.recorders)

    def _shown(self, given: Given, done: Recorded[bool]) -> Document:
        """`state` follows the recorders that are shown; another call's silence protects nobody."""
        own = self._tools.document(done)
        asked = self._tools.document(replace(done, redaction=shown(done.redaction, given)))
        return replace(asked, protected=own.protected and asked.protected)
