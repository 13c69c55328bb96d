"""DELETE: drop a hold; when nobody else holds those parties, resume. Sent once, on the client's own order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from gateway import decide
from gateway.asks import Answer, Code, Failure
from gateway.audit.entry import EntryType
from gateway.clock import new_id
from gateway.decide import OrderReported, Reported, Settled, UnmuteAsked
from gateway.describe import Act
from gateway.model import Action, Fault, HoldKey, OrderKind, Parties, Recorder, Result
from gateway.service.problems import failure, not_found, require_known, with_results
from gateway.service.sharing import LANDS_SECONDS, MUTE_STORE_SECONDS
from gateway.service.tools import STORE_SECONDS
from gateway.step import CALLED_OFF
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.asks import Unmute
    from gateway.ledger import Recorded
    from gateway.model import CallKey, Observation, Order, Redaction
    from gateway.service.claims import Held
    from gateway.service.sharing import Identified
    from gateway.service.tools import Tools

REVERTED = "It has not happened: the redaction stands, and whatever had resumed is muted again. Repeat it."
STANDS = "It has not happened: the hold stands. Repeat it."
UNSENT = "It has not happened: nothing was sent, the redaction stands. Repeat it."
OVERTAKEN_SECONDS = 0.05  # between two looks at what became of the newer order
REVERT_SECONDS = 1.0  # least time for muting again after an unmute that failed


class Unmutes:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def unmute(self, ask: Unmute) -> Answer:
        """Drop the hold; when nobody else holds those parties, resume. Raises: it has not happened."""
        act = Act(op=new_id(), origin=ask.origin, action=Action.UNMUTE, hold=ask.hold)
        try:
            begun = await self._begin_unmute(ask, act)
            if begun.outcome is not decide.Step.ORDERED:
                return Answer(document=self._tools.document(begun))
            return await self._carry_out(ask, act, begun.redaction)
        except StoreUnavailable:
            raise Failure(Code.STORE_UNAVAILABLE, "The order cannot be written down, so it is not given.") from None

    async def _begin_unmute(self, ask: Unmute, act: Act) -> Recorded[decide.Step]:
        decided: list[tuple[Redaction, decide.Step]] = []

        def begin(redaction: Redaction) -> tuple[Redaction, decide.Step]:
            require_known(redaction)
            self._tools.require_version(ask, redaction)
            known = _on_its_date(ask, redaction)
            after, step = decide.unmute(known, self._unmute_asked(ask, act))
            decided.append((known, step))
            return after, step

        def kind(step: decide.Step) -> EntryType:
            return _UNMUTE_ENTRIES[step]

        try:
            return await self._tools.record(ask.key, act, "intended", begin, kind, STORE_SECONDS)
        except StoreUnavailable:
            if not decided or decided[-1][1] is not decide.Step.DROPPED:
                raise
            key = HoldKey(client=ask.origin.principal.client, name=ask.hold)
            await self._call_off(ask, act, decided[-1][0], (key,))
            raise Failure(Code.STORE_UNAVAILABLE, STANDS) from None

    def _unmute_asked(self, ask: Unmute, act: Act) -> UnmuteAsked:
        return UnmuteAsked(
            at=self._tools.clock.ms(),
            op=act.op,
            hold=HoldKey(client=ask.origin.principal.client, name=ask.hold),
            lands_before=self._tools.sharing.lands_before(),
            force=ask.force,
        )

    async def _carry_out(self, ask: Unmute, act: Act, ordered: Redaction) -> Answer:
        order = ordered.order
        assert order is not None  # noqa: S101 -- ORDERED says so
        left = decide.left_after(ordered, order)
        seconds = (order.lands_before - self._tools.clock.ms()) / 1000 - LANDS_SECONDS
        deadline = self._tools.clock.deadline(seconds)
        known = await self._tools.sharing.identified(ordered.recorders, deadline, every=True)
        held = await self._held(ordered.key, known.recorders, order, left)
        addressed = tuple(
            _without(recorder, held) for recorder in known.recorders if recorder.backend not in held.backends
        )
        unready = self._unready(addressed, known, held)
        if unready and order.kind is not OrderKind.FORCE:
            return await self._refused(ask, act, order, held, unready)
        ready = tuple(recorder for recorder in addressed if recorder.backend not in unready)
        sent = await self._let_go_all(ask, ready, left, deadline)
        held = _whole(held, sent)
        results = {**unready, **{backend: result for backend, result in sent.items() if backend not in held.backends}}
        try:
            settled = await self._settle(ask, act, results, held.backends, before=known.seen)
        except StoreUnavailable:
            called_off = await self._call_off(ask, act, ordered, order.drops)
            await self._revert(ask, act, called_off.redaction, within=MUTE_STORE_SECONDS)
            raise Failure(Code.STORE_UNAVAILABLE, REVERTED) from None
        await self._told(settled, order, held)
        return await self._let_go(ask, act, settled, results)

    def _unready(self, recorders: tuple[Recorder, ...], known: Identified, held: Held) -> dict[str, Result]:
        """Those that cannot be reached, or of which nobody can tell whether they are somebody else's, too."""
        shut = {r.backend: Result(fault=Fault.CIRCUIT_OPEN) for r in recorders if self._is_shut(r)}
        doubtful = {
            recorder.backend: Result(fault=Fault.BUSY) for recorder in recorders if recorder.backend in held.unsure
        }
        unknown = {r.backend: known.unknown[r.backend] for r in recorders if r.backend in known.unknown}
        return {**doubtful, **shut, **unknown}

    def _is_shut(self, recorder: Recorder) -> bool:
        return self._tools.recorders.is_shut(recorder.backend)

    async def _refused(
        self, ask: Unmute, act: Act, order: Order, held: Held, unready: Mapping[str, Result]
    ) -> NoReturn:
        """Not one recorder is sent anything when another could not follow."""
        settled = await self._settle(ask, act, {}, held.backends, before={})
        await self._told(settled, order, held)
        failed = with_results(settled.redaction.recorders, unready)
        raise failure(settled.redaction, failed, self._tools.document(settled), detail=UNSENT)

    async def _call_off(self, ask: Unmute, act: Act, before: Redaction, drops: tuple[HoldKey, ...]) -> Recorded[None]:
        """The store did not answer, and may take the step after all. The client is told that it has not happened: that
        is written down, here if need be, before anything is muted again."""

        def stand(redaction: Redaction) -> tuple[Redaction, None]:
            at = self._tools.clock.ms()
            return decide.stand(redaction, before=before, drops=drops, op=act.op, at=at), None

        return await self._tools.record(
            ask.key,
            act,
            CALLED_OFF,
            stand,
            lambda _: EntryType.UNMUTE_FAILED,
            MUTE_STORE_SECONDS,
            needed=False,
            stands=drops,
        )

    async def _told(self, settled: Recorded[Settled], order: Order, held: Held) -> None:
        """Whoever means the same recorders need not wait for a command that was answered for good."""
        after = settled.redaction
        answered = settled.outcome is not Settled.OVERTAKEN and after.loose_before < order.lands_before
        await self._tools.claims.release(
            after.key,
            held.own,
            over=not after.open,
            landed=order.lands_before if answered else None,
            within=STORE_SECONDS,
        )

    async def _held(self, key: CallKey, recorders: tuple[Recorder, ...], order: Order, left: Parties) -> Held:
        """Recorders that this order must not touch: another redaction means them, or they cannot do half of it."""
        able = tuple(recorder for recorder in recorders if self._can_leave(recorder, left))
        unable = frozenset(recorder.backend for recorder in recorders if recorder not in able)
        shared = await self._tools.claims.held(key, able, lands_before=order.lands_before, within=STORE_SECONDS)
        narrowed = frozenset(shared.calls) if left else frozenset[str]()
        return replace(shared, backends=shared.backends | unable | narrowed)

    def _can_leave(self, recorder: Recorder, left: Parties) -> bool:
        """A recorder that mutes all or nobody stays silent for all as long as anybody is to be silent."""
        return not left or left in self._tools.recorders.backends[recorder.backend].capabilities.parties

    async def _let_go_all(
        self, ask: Unmute, recorders: tuple[Recorder, ...], left: Parties, deadline: float
    ) -> dict[str, Result]:
        if not await self._tools.quiet(ask.key, deadline) or self._tools.clock.left(deadline) <= 0:
            return {recorder.backend: Result(fault=Fault.BUSY) for recorder in recorders}
        sent = (self._tools.recorders.let_go(recorder, left, deadline=deadline) for recorder in recorders)
        results = await asyncio.gather(*sent)
        return {recorder.backend: result for recorder, result in zip(recorders, results, strict=True)}

    async def _settle(
        self,
        ask: Unmute,
        act: Act,
        results: Mapping[str, Result],
        held: frozenset[str],
        *,
        before: Mapping[str, Observation],
    ) -> Recorded[Settled]:
        def finish(redaction: Redaction) -> tuple[Redaction, Settled]:
            report = OrderReported(at=self._tools.clock.ms(), op=act.op, results=results, held=held, before=before)
            return decide.settle(redaction, report)

        def kind(settled: Settled) -> EntryType:
            return _SETTLED_ENTRIES[settled]

        return await self._tools.record(ask.key, act, "outcome", finish, kind, STORE_SECONDS)

    async def _let_go(self, ask: Unmute, act: Act, settled: Recorded[Settled], results: Mapping[str, Result]) -> Answer:
        match settled.outcome:
            case Settled.DONE:
                return Answer(document=self._tools.document(settled))
            case Settled.OVERTAKEN:
                return await self._overtaken(ask)
            case Settled.FAILED:
                failed = with_results(settled.redaction.recorders, results)
                reverted = await self._revert(ask, act, settled.redaction)
                raise failure(settled.redaction, failed, self._tools.document(reverted), detail=REVERTED)

    async def _overtaken(self, ask: Unmute) -> Answer:
        """A newer order for the same hold does what this one was to do; a newer mute stands against it."""
        key = HoldKey(client=ask.origin.principal.client, name=ask.hold)
        deadline = self._tools.clock.deadline(self._tools.settings.loosen_seconds + LANDS_SECONDS)
        known = await self._known(ask)
        while known.redaction.order is not None and self._tools.clock.left(deadline) > 0:
            await self._tools.clock.sleep(OVERTAKEN_SECONDS)
            known = await self._known(ask)
        view = self._tools.document(known)
        if known.redaction.hold(key) is None:
            return Answer(document=view)
        raise Failure(Code.REDACTION_OPEN, "A newer order came in between.", document=view)

    async def _known(self, ask: Unmute) -> Recorded[None]:
        known = await self._tools.ledger.read(ask.key, within=STORE_SECONDS)
        if known is None:
            raise not_found()
        return known

    async def _revert(
        self, ask: Unmute, act: Act, redaction: Redaction, *, within: float = STORE_SECONDS
    ) -> Recorded[None]:
        """Whatever has resumed is muted again, in this same request."""
        results = await self._tools.mute_all(redaction, self._tools.clock.deadline(self._revert_seconds()))

        def finish(current: Redaction) -> tuple[Redaction, None]:
            report = Reported(at=self._tools.clock.ms(), asked_at_revision=redaction.revision, results=results)
            return decide.learn(current, report, policy=self._tools.settings.policy), None

        return await self._tools.record(
            ask.key, act, "reverted", finish, lambda _: EntryType.UNMUTE_REVERTED, within, needed=False
        )

    def _revert_seconds(self) -> float:
        return max(REVERT_SECONDS, self._tools.settings.deadline_seconds - self._tools.settings.loosen_seconds)


def _without(recorder: Recorder, held: Held) -> Recorder:
    """Of an extension's calls those that others hold stay silent."""
    excluded = recorder.target.excluded | held.calls.get(recorder.backend, frozenset())
    return replace(recorder, target=replace(recorder.target, excluded=excluded))


def _whole(held: Held, results: Mapping[str, Result]) -> Held:
    """An extension that has no call any more beside those that others hold is theirs."""
    theirs = {name for name in held.calls if name in results and results[name].fault is Fault.NO_SUCH_CALL}
    return replace(held, backends=held.backends | theirs)


def _on_its_date(ask: Unmute, redaction: Redaction) -> Redaction:
    """A dated order holds only as long as its hold still says so, and once."""
    if ask.dated is None:
        return redaction
    key = HoldKey(client=ask.origin.principal.client, name=ask.hold)
    hold = redaction.hold(key)
    if hold is None or hold.resume_at != ask.dated or redaction.order is not None:
        raise Failure(Code.VERSION_CONFLICT, "The hold has another date by now.")
    return decide.undated(redaction, hold=key, at=ask.received_at)


_UNMUTE_ENTRIES = {
    decide.Step.UNCHANGED: EntryType.UNMUTE_UNCHANGED,
    decide.Step.DROPPED: EntryType.HOLD_DROPPED,
    decide.Step.ORDERED: EntryType.UNMUTE_INTENDED,
}
_SETTLED_ENTRIES = {
    Settled.DONE: EntryType.UNMUTE_CONFIRMED,
    Settled.FAILED: EntryType.UNMUTE_FAILED,
    Settled.OVERTAKEN: EntryType.UNMUTE_OVERTAKEN,
}
