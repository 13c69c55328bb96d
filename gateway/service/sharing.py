"""Recorders that several redactions may mean: which calls those are, and mutes that let nobody else's party go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway import decide
from gateway.meant import named
from gateway.model import BLAME, Blame, Fault, Parties, Result
from gateway.service.claims import SKEW_MS, names_of
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.clock import Clock
    from gateway.model import CallKey, Observation, Recorder, Redaction
    from gateway.recorders import Recorders
    from gateway.service.claims import ClaimBook

LANDS_SECONDS = 0.5  # what was sent has landed, or died on the way, so long after its deadline
MUTE_STORE_SECONDS = 0.15  # a mute never waits longer for the store
LATELY_MS = 1_000
AT_ONCE_SECONDS = 0.3
HURRIED_SECONDS = 0.05  # and hardly any more once it has waited in vain


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """`recorders` with the ids of the calls that they mean now. `unknown` are those of which nobody can tell, and
    why: nothing was sent to them. `seen` is what was seen of them now, or a moment ago."""

    recorders: tuple[Recorder, ...]
    unknown: Mapping[str, Result]
    seen: Mapping[str, Observation]


class Sharing:
    """`loosen_seconds`: how long a command that lets a party be recorded may be on its way."""

    def __init__(self, claims: ClaimBook, recorders: Recorders, clock: Clock, *, loosen_seconds: float) -> None:
        self._claims = claims
        self._recorders = recorders
        self._clock = clock
        self._loosen_seconds = loosen_seconds

    async def identified(
        self, recorders: Iterable[Recorder], deadline: float, *, background: bool = False, every: bool = False
    ) -> Identified:
        """Ask which calls an extension has now, wherever that can be asked; `every` other recorder what it does now,
        if it says so at once."""
        known = {recorder.backend: recorder for recorder in recorders}
        asked = [
            recorder for recorder in known.values() if self._nameless(recorder) or (every and self._quick(recorder))
        ]
        soon = min(deadline, self._clock.deadline(AT_ONCE_SECONDS))
        looks = (
            self._recorders.look(one, deadline=deadline if self._nameless(one) else soon, background=background)
            for one in asked
        )
        looked = {one.backend: result for one, result in zip(asked, await asyncio.gather(*looks), strict=True)}
        return Identified(
            recorders=named(known.values(), looked),
            unknown={
                name: Result(fault=_unsent(result.fault))
                for name, result in looked.items()
                if result.fault not in {None, Fault.NO_SUCH_CALL} and self._nameless(known[name])
            },
            seen={**self._lately(known.values()), **_seen(looked)},
        )

    def _lately(self, recorders: Iterable[Recorder]) -> Mapping[str, Observation]:
        """What is known of recorders from a moment ago: some must not be asked twice in quick succession."""
        since = self._clock.ms() - LATELY_MS
        known = ((recorder.backend, recorder.seen) for recorder in recorders if recorder.fault is None)
        return {name: seen for name, seen in known if seen is not None and seen.at >= since}

    async def sparing(self, recorders: tuple[Recorder, ...], deadline: float) -> tuple[Recorder, ...]:
        """Where only the next call of an extension is meant, those that it has now are left out. A recorder that could
        name them and did not answer is to silence all that it finds: that is the safe side. One that never names them
        is waited for until it has none."""
        waiting = [recorder for recorder in recorders if recorder.waiting and recorder.target.call_id is None]
        if not waiting:
            return recorders
        looks = (self._recorders.look(recorder, deadline=deadline) for recorder in waiting)
        looked = {one.backend: result for one, result in zip(waiting, await asyncio.gather(*looks), strict=True)}
        return tuple(
            self._sparing(recorder, looked[recorder.backend]) if recorder.backend in looked else recorder
            for recorder in recorders
        )

    def _sparing(self, recorder: Recorder, looked: Result) -> Recorder:
        if not self._nameless(recorder):
            return replace(recorder, free=looked.fault is Fault.NO_SUCH_CALL)
        present = looked.seen.calls if looked.seen else frozenset[str]()
        return replace(recorder, target=replace(recorder.target, excluded=present), free=True)

    async def claimed(self, redaction: Redaction, *, within: float) -> Redaction:
        """An open redaction's claims may be missing: not confirmed in time, or lost by a failover. What others'
        commands can still undo proves nothing, nor what was seen before the claims stood, unless they are still those
        under which it was proven."""
        if not redaction.open:
            return redaction
        claimed = await self._claims.claim(redaction.key, redaction.recorders, within=within)
        before = max(claimed.loose_until, claimed.stood_at if claimed.stood_at > redaction.stood_at else 0)
        return decide.loosened(redaction, before=before, ordered_at=claimed.loose_until)

    async def told(self, redaction: Redaction, results: Mapping[str, Result], *, within: float) -> Redaction:
        """Claim the calls that the recorders have told of. What was seen before somebody else's last command to them
        proves nothing."""
        known = named(redaction.recorders, results)
        names = names_of(redaction.recorders)
        if not redaction.open or set(names_of(known)) <= set(names):
            return redaction
        claimed = await self._claims.claim(redaction.key, known, within=within, beside=names)
        loose_until = claimed.loose_until + SKEW_MS if claimed.loose_until else 0
        before = loose_until if claimed.sure else self.lands_before()
        return decide.loosened(redaction, before=before, ordered_at=claimed.loose_until)

    async def mute(
        self, redaction: Redaction, recorder: Recorder, deadline: float, *, background: bool = False
    ) -> Result:
        """Silence who is wanted silent. A command for one party sets, it does not add: where another redaction may
        hold the recorder both are muted."""
        wanted = redaction.wanted
        if not self._partial(recorder, wanted):
            return await self._sent(redaction, recorder, wanted, deadline, background=background)
        lands_before = self._clock.ms() + int(1000 * (self._clock.left(deadline) + LANDS_SECONDS))
        own = await self._alone(redaction.key, recorder, lands_before, deadline, background=background)
        if own is None:
            return await self._sent(redaction, recorder, Parties.BOTH, deadline, background=background)
        result = await self._sent(redaction, recorder, wanted, deadline, background=background)
        landed = lands_before if result.fault is None and not result.lost else None
        await self._claims.release(redaction.key, own, over=False, landed=landed, within=MUTE_STORE_SECONDS)
        return result

    def lands_before(self) -> int:
        """When a command sent now that lets a party be recorded has landed or died, in ms."""
        return self._clock.ms() + int(1000 * (self._loosen_seconds + LANDS_SECONDS))

    async def _alone(
        self, key: CallKey, recorder: Recorder, lands_before: int, deadline: float, *, background: bool
    ) -> Mapping[str, str] | None:
        """Nobody else holds the recorder, and it is on record that a command may land there: whoever comes meanwhile
        proves again after it. None where that is not sure."""
        known = await self.identified((recorder,), deadline, background=background)
        if known.unknown:
            return None
        try:
            held = await self._claims.held(key, known.recorders, lands_before=lands_before, within=MUTE_STORE_SECONDS)
        except StoreUnavailable:
            return None
        if held.backends or held.calls or held.unsure:
            await self._claims.release(key, held.own, over=False, landed=lands_before, within=MUTE_STORE_SECONDS)
            return None
        return held.own

    async def _sent(
        self, redaction: Redaction, recorder: Recorder, muted: Parties, deadline: float, *, background: bool
    ) -> Result:
        return await self._recorders.mute(
            recorder, muted, not_before=redaction.loose_before, deadline=deadline, background=background
        )

    def _quick(self, recorder: Recorder) -> bool:
        capabilities = self._recorders.backends[recorder.backend].capabilities
        return capabilities.observable and not capabilities.read_interval_seconds

    def _nameless(self, recorder: Recorder) -> bool:
        tells = self._recorders.backends[recorder.backend].capabilities.tells_calls
        return recorder.target.call_id is None and tells

    def _partial(self, recorder: Recorder, wanted: Parties) -> bool:
        return Parties.NONE is not wanted is not Parties.BOTH and (
            wanted in self._recorders.backends[recorder.backend].capabilities.parties
        )


def _seen(looked: Mapping[str, Result]) -> Mapping[str, Observation]:
    pairs = ((name, result.seen) for name, result in looked.items() if result.fault is None)
    return {name: seen for name, seen in pairs if seen is not None}


def _unsent(fault: Fault | None) -> Fault:
    """The question was in vain, and nothing else was sent."""
    doubtful = fault is not None and BLAME[fault] is Blame.UNCONFIRMED
    return Fault.CONNECTION_FAILED if doubtful or fault is None else fault
