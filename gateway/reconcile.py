"""Keeps muted what is muted: finishes, proves again, mutes again. Nothing in here can let a party be recorded.

Every pod takes leases on some buckets and works their queues. Two pods at the same call do no harm (every step
is decided on the newest state, and a mute may be sent twice); the lease only saves the second one's work.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway import decide, exposure
from gateway.audit.entry import EntryType
from gateway.backoff import LONGEST_SECONDS, Backoff
from gateway.beside import beside
from gateway.clock import new_id
from gateway.decide import Reported
from gateway.describe import Act
from gateway.evidence import covers, drifted, protected, proven
from gateway.model import Origin, Principal
from gateway.store.contract import StoreUnavailable, bucket
from gateway.walk import STORE_SECONDS, Walk
from gateway.watchlist import Watchlist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.model import CallKey, Recorder, Redaction, Result
    from gateway.service.tools import Tools
    from gateway.store.contract import Store

_log = structlog.stdlib.get_logger("reconcile")

CALLS_AT_ONCE = 64
NUDGED_SECONDS = 0.25  # between two looks at a call of which there is news all the time
MUTED = "muted"  # the step that tells what came of a mute
GATEWAY = Principal(client="gateway", tenant="", kid="")  # who acts when nobody asked


class DatedOrders(Protocol):
    """Carries out what holders ordered for a time: the one way in which anything here leads to an unmute."""

    async def carry_out(self, redaction: Redaction) -> None: ...


class Reconciler:
    def __init__(self, tools: Tools, store: Store, dated: DatedOrders, *, node: str) -> None:
        self._tools = tools
        self._dated = dated
        self._watchlist = Watchlist(
            policy=tools.settings.policy, forgotten_ms=tools.settings.forgotten_ms, metrics=tools.metrics
        )
        self._backoff = Backoff(answered_at=tools.recorders.answered_at)
        self._loading = asyncio.Semaphore(CALLS_AT_ONCE)
        self._places: dict[frozenset[str], asyncio.Semaphore] = {}
        self._under_way: dict[CallKey, asyncio.Task[None]] = {}
        self._nudged: set[CallKey] = set()
        self._walk = Walk(store, tools.clock, owner=node, begin=self._begin)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work the queues while the block runs; at its end what is under way is finished."""
        try:
            async with beside(self._work()):
                yield
        finally:
            self._nudged.clear()
            if self._under_way:
                await asyncio.wait(set(self._under_way.values()), timeout=self._tools.settings.deadline_seconds)

    def nudge(self, key: CallKey) -> None:
        """Look at this call at once, whoever has its lease: there is news of it. While it is being looked at, the
        news may have come too late for that: it is looked at once more."""
        if key in self._under_way:
            self._nudged.add(key)
        else:
            self._start(key)

    async def _work(self) -> None:
        while True:
            try:
                await self._walk.round()
            except StoreUnavailable:
                self._walk.leases.give_up()
                self._start_orphans()
            self._start_ready()
            self._watchlist.publish(now=self._tools.clock.ms())
            await self._tools.clock.sleep(self._walk.rest_seconds)

    def _begin(self, key: CallKey) -> None:
        if key not in self._under_way:
            self._start(key)

    def _start_orphans(self) -> None:
        """The queue cannot be read: what was muted here is looked after from here."""
        for key in self._tools.ledger.orphans(now=self._tools.clock.ms()):
            self._begin(key)

    def _start_ready(self) -> None:
        """Calls that need not wait any longer, because their backend answers again, or to see whether it does."""
        now = asyncio.get_running_loop().time()
        for key in self._backoff.ready(now=now, probing=self._tools.recorders.wanting_probe()):
            if self._walk.leases.has(bucket(key)):
                self._begin(key)
            else:
                self._backoff.forget(key)

    def _start(self, key: CallKey, *, after_seconds: float = 0.0) -> None:
        task = asyncio.create_task(self._one(key, after_seconds))
        self._under_way[key] = task
        task.add_done_callback(partial(self._done, key))

    def _done(self, key: CallKey, _: asyncio.Task[None]) -> None:
        self._under_way.pop(key, None)
        if key in self._nudged:
            self._nudged.discard(key)
            self._start(key, after_seconds=NUDGED_SECONDS)

    async def _one(self, key: CallKey, after_seconds: float) -> None:
        await self._tools.clock.sleep(after_seconds)
        try:
            await self._in_turn(key)
        except StoreUnavailable:
            return
        except Exception:  # noqa: BLE001 -- one call's trouble must not end the care for all others
            _log.exception("call.unattended")

    async def _in_turn(self, key: CallKey) -> None:
        """Look after the call when there is a place. Each set of backends has places of its own: calls that hang at
        one backend do not take those of the others.

        What was loaded is good for one deadline, counted from before it was asked for: a pod that stood still meanwhile
        (and whose lease is another's by now) sends nothing.
        """
        deadline, redaction = self._deadline(), await self._loaded(key)
        if redaction is None:
            return
        place = self._place(redaction)
        waited = place.locked()
        async with place:
            if waited:  # what was loaded is old by now
                deadline, redaction = self._deadline(), await self._loaded(key) or redaction
            await self._look_after(redaction, deadline)

    def _deadline(self) -> float:
        return self._tools.clock.deadline(self._tools.settings.deadline_seconds)

    def _place(self, redaction: Redaction) -> asyncio.Semaphore:
        names = frozenset(recorder.backend for recorder in redaction.recorders)
        return self._places.setdefault(names, asyncio.Semaphore(CALLS_AT_ONCE))

    async def _loaded(self, key: CallKey) -> Redaction | None:
        async with self._loading:
            stored = await self._tools.ledger.load(key, within=STORE_SECONDS)
        if stored is None:
            return None
        self._tools.listening.saw(stored.redaction)
        return stored.redaction

    async def _look_after(self, redaction: Redaction, deadline: float) -> None:
        act = Act(op=new_id(), origin=Origin(principal=GATEWAY, request_id=""))
        if redaction.order is not None:
            redaction = await self._abandon(redaction, act)
        redaction, deadline = await self._on_date(redaction, deadline)
        self._watchlist.saw(redaction, now=self._tools.clock.ms())
        if redaction.open and redaction.order is None:
            redaction = await self._tools.sharing.claimed(await self._renewed(redaction), within=STORE_SECONDS)
        if not redaction.open or redaction.order is not None:
            self._backoff.forget(redaction.key)
            return
        looked = await self._learn(redaction, act, "looked", await self._look(redaction, deadline))
        if self._wants_mute(looked):
            looked = await self._renewed(looked)
        if self._wants_mute(looked):
            looked = await self._mute_again(redaction, looked, act, deadline)
        else:
            self._backoff.forget(looked.key)
        self._watchlist.saw(looked, now=self._tools.clock.ms())

    def _wants_mute(self, redaction: Redaction) -> bool:
        return redaction.open and redaction.order is None and not self._protected(redaction)

    async def _renewed(self, redaction: Redaction) -> Redaction:
        """What was known without the store is asked for once more before anything is sent on it: the store may be there
        again, and others have let the call go. With the store it was written, or loaded, just now."""
        local = self._tools.ledger.local.get(redaction.key)
        if local is None or not (local.alone or local.adrift):
            return redaction
        return await self._loaded(redaction.key) or redaction

    async def _on_date(self, redaction: Redaction, deadline: float) -> tuple[Redaction, float]:
        """Carry out what the holders ordered for now. What cannot be written down is not done, and the call is looked
        after as ever."""
        now = self._tools.clock.ms()
        due = any(hold.resume_at is not None and hold.resume_at <= now for hold in redaction.holds)
        if not due or redaction.order is not None:
            return redaction, deadline
        with suppress(StoreUnavailable):
            await self._dated.carry_out(redaction)
        deadline = self._deadline()
        return await self._loaded(redaction.key) or redaction, deadline

    async def _mute_again(self, found: Redaction, looked: Redaction, act: Act, deadline: float) -> Redaction:
        """Mute once more, and let the call rest for a while if that was in vain, too."""
        began_at, unproven = asyncio.get_running_loop().time(), self._unproven(looked)
        if not unproven.recorders:
            return looked
        results = await self._tools.mute_all(unproven, deadline, background=True)
        failing = [name for name, result in results.items() if not _mutes(result, looked)]
        if not failing:
            self._backoff.forget(looked.key)
            return await self._learn(looked, act, MUTED, results)
        muted = await self._learn(looked, act, MUTED, results, busy_ms=self._rest_ms(found, looked, failing))
        self._backoff.failed(found, muted, failing, began_at=began_at)
        return muted

    def _unproven(self, redaction: Redaction) -> Redaction:
        """With those recorders only that must be muted again; the others are left in peace. Who waits for the next call
        has said so once, and mutes it when it is seen."""
        now, policy = self._tools.clock.ms(), self._tools.settings.policy
        left = tuple(r for r in redaction.recorders if not (r.waiting or proven(redaction, r, now=now, policy=policy)))
        return replace(redaction, recorders=left)

    def _rest_ms(self, found: Redaction, looked: Redaction, failing: list[str]) -> int:
        """Where other recorders of the call work, these are looked at as often as ever; a holder's own dated order
        is not put off."""
        reassert = self._tools.settings.policy.reassert_ms / 1000
        longest = LONGEST_SECONDS if len(failing) == len(looked.recorders) else min(LONGEST_SECONDS, reassert)
        rest = int(1000 * self._backoff.seconds(found, longest_seconds=longest))
        now = self._tools.clock.ms()
        return max(0, min([rest, *(hold.resume_at - now for hold in looked.holds if hold.resume_at is not None)]))

    async def _look(self, redaction: Redaction, deadline: float) -> dict[str, Result]:
        """Ask those that can be asked; the others are muted again instead of being asked."""
        recorders = [r for r in redaction.recorders if self._observable(r)]
        since = max(redaction.requested_at, redaction.updated_at)
        looks = (
            self._tools.recorders.look(recorder, deadline=deadline, background=True, since=since)
            for recorder in recorders
        )
        results = await asyncio.gather(*looks)
        blind = [r for r in redaction.recorders if not self._observable(r)]
        again = await asyncio.gather(
            *(self._tools.sharing.mute(redaction, recorder, deadline, background=True) for recorder in blind)
        )
        pairs = zip([*recorders, *blind], [*results, *again], strict=True)
        return {recorder.backend: result for recorder, result in pairs}

    async def _learn(
        self, redaction: Redaction, act: Act, name: str, results: dict[str, Result], *, busy_ms: int = 0
    ) -> Redaction:
        told = await self._tools.sharing.told(redaction, results, within=STORE_SECONDS)

        def learn(current: Redaction, *, told: Redaction) -> tuple[Redaction, tuple[Redaction, EntryType | None]]:
            report = Reported(at=self._tools.clock.ms(), asked_at_revision=redaction.revision, results=results)
            known = decide.loosened(current, before=told.loose_before, ordered_at=told.ordered_at)
            if not current.open:
                after = decide.overtaken(current, report) if name == MUTED else current
                return after, (current, EntryType.MUTE_OVERTAKEN if after != current else None)
            after = decide.learn(known, report, policy=self._tools.settings.policy)
            return after, (current, self._news(current, after))

        recorded = await self._tools.record(
            redaction.key,
            act,
            name,
            partial(learn, told=told),
            lambda outcome: outcome[1],
            STORE_SECONDS,
            needed=False,
            busy_ms=busy_ms,
            alone=partial(learn, told=redaction),  # nobody can be asked who else means what the recorders have named
        )
        before, news = recorded.outcome
        if news is EntryType.MUTE_OVERTAKEN:
            _log.error("mute.overtaken")
        if news is EntryType.DRIFT_FOUND:
            self._count_drift(redaction, recorded.redaction)
        self._count_exposure(before, recorded.redaction)
        return recorded.redaction

    def _count_exposure(self, before: Redaction, after: Redaction) -> None:
        now, policy = self._tools.clock.ms(), self._tools.settings.policy
        exposure.count(self._tools.metrics, before, after, first=False, now=now, policy=policy)

    def _news(self, before: Redaction, after: Redaction) -> EntryType | None:
        """What this step tells the trail: nothing while all is as it was."""
        if before.version == after.version:
            return None
        if not after.open:
            return EntryType.CALL_ENDED
        if drifted(before, after):
            return EntryType.DRIFT_FOUND
        return EntryType.MUTE_CONFIRMED if self._protected(after) else EntryType.MUTE_FAILED

    def _count_drift(self, before: Redaction, after: Redaction) -> None:
        for recorder in drifted(before, after):
            self._tools.metrics.drifted(recorder.backend)
            _log.warning("recording.resumed", backend=recorder.backend)

    async def _abandon(self, redaction: Redaction, act: Act) -> Redaction:
        """An order that nobody settled in its time counts for nothing; the holds stand."""
        order = redaction.order

        def abandon(current: Redaction) -> tuple[Redaction, bool]:
            now = self._tools.clock.ms()
            if current.order is None or current.order != order or now <= current.order.lands_before:
                return current, False
            return decide.abandon(current, at=now), True

        def kind(done: bool) -> EntryType | None:  # noqa: FBT001 -- the step's own word
            return EntryType.UNMUTE_ABANDONED if done else None

        recorded = await self._tools.record(redaction.key, act, "abandoned", abandon, kind, STORE_SECONDS)
        return recorded.redaction

    def _observable(self, recorder: Recorder) -> bool:
        return self._tools.recorders.backends[recorder.backend].capabilities.observable

    def _protected(self, redaction: Redaction) -> bool:
        return protected(redaction, now=self._tools.clock.ms(), policy=self._tools.settings.policy)


def _mutes(result: Result, redaction: Redaction) -> bool:
    return result.fault is None and covers(result.seen, redaction.wanted)
