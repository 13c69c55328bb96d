"""What all operations share: routing, versions, writing a step, muting everything, showing the result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from gateway.asks import Code, Failure, FieldFault
from gateway.beside import together
from gateway.frozen import quick
from gateway.ledger import Step
from gateway.listening import Listening
from gateway.model import Action, Parties, Recorder
from gateway.routing import able, remembered, routed, says_where, target
from gateway.service.problems import unable_view
from gateway.service.sharing import Sharing
from gateway.view import document

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.asks import Ask, Control, Mute
    from gateway.audit.entry import Entry, EntryType
    from gateway.clock import Clock
    from gateway.describe import Act, Scribe
    from gateway.evidence import Policy
    from gateway.ledger import Ledger, Recorded
    from gateway.metrics import Metrics
    from gateway.model import CallKey, HoldKey, Redaction, Result, Target
    from gateway.recorders import Recorders
    from gateway.routing import Route
    from gateway.service.claims import ClaimBook
    from gateway.view import Document

_T = TypeVar("_T")

UNMUTE_SECONDS = 1.5  # what lets a party be recorded is sent within this, and lands `LANDS_SECONDS` later at the latest
STORE_SECONDS = 1.0
BUSY_GRACE_MS = 500
_UNROUTED = "Must be one of the recorders of this call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`deadline_seconds`: one request, all recorders. `optional`: backends that need not have the call.
    `forgotten_ms`: how old an open redaction is that somebody forgot to end."""

    deadline_seconds: float
    policy: Policy
    routes: tuple[Route, ...]
    optional: frozenset[str]
    forgotten_ms: int = 900_000

    @property
    def busy_ms(self) -> int:
        """How long a request works on a call before anybody else need look at it."""
        return int(1000 * self.deadline_seconds) + BUSY_GRACE_MS

    @property
    def loosen_seconds(self) -> float:
        """How long a command that lets a party be recorded may be on its way."""
        return min(UNMUTE_SECONDS, 0.6 * self.deadline_seconds)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What a mute under way silences, and after which order: another one of the same name is the same mute. A
    request does not wait for one in the `background`, which takes its time."""

    key: CallKey
    backend: str
    target: Target
    wanted: Parties
    loose_revision: int
    background: bool

    def __hash__(self) -> int:
        """Few mutes of one call differ in the rest, and to look at all of it three times a mute takes long."""
        return hash((self.key, self.backend))


class Tools:
    def __init__(
        self,
        *,
        ledger: Ledger,
        claims: ClaimBook,
        recorders: Recorders,
        scribe: Scribe,
        clock: Clock,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self.ledger = ledger
        self.claims = claims
        self.recorders = recorders
        self.clock = clock
        self.metrics = metrics
        self.settings = settings
        self.listening = Listening()
        self.scribe = scribe
        self.sharing = Sharing(claims, recorders, clock, loosen_seconds=settings.loosen_seconds)
        self._flights: dict[Flight, asyncio.Task[Result]] = {}

    def routed(self, ask: Mute | Control, known: Redaction | None = None) -> tuple[Recorder, ...]:
        """The recorders of the call, by what the request says or what is remembered of the `known` redaction."""
        where = remembered(ask.where, known)
        names = routed(self.settings.routes, key=ask.key, client=ask.origin.principal.client, where=where)
        chosen = where.backends or ()
        strange = tuple(
            FieldFault(field=f"backends.{n}", message=_UNROUTED) for n, b in enumerate(chosen) if b not in names
        )
        if strange:
            raise Failure(
                Code.INVALID_REQUEST, "A recorder that does not record this call is asked for.", faults=strange
            )
        if not names:
            raise Failure(Code.CALL_NOT_FOUND, "No recorder is configured for this call.")
        return tuple(
            Recorder(
                backend=name,
                vendor=self.recorders.backends[name].vendor,
                target=target(ask.key, where, name),
                optional=name in self.settings.optional,
            )
            for name in names
        )

    def addressed(self, ask: Control, known: Redaction | None) -> tuple[Recorder, ...]:
        """Who a command is for: what an earlier request said of targets is remembered, unless this one says it."""
        if known is None or not known.recorders or says_where(ask.where):
            return self.routed(ask, known)
        chosen = ask.where.backends
        kept = tuple(r for r in known.recorders if chosen is None or r.backend in chosen)
        return tuple(replace(recorder, fault=None, calls=()) for recorder in kept) or self.routed(ask, known)

    def require_able(self, recorders: tuple[Recorder, ...], action: Action, parties: Parties = Parties.NONE) -> None:
        """Nothing is sent to any recorder when one of them could not do it."""
        unable = {
            recorder.backend
            for recorder in recorders
            if not able(self.recorders.backends[recorder.backend].capabilities, action, recorder.target, parties)
        }
        if unable:
            raise Failure(
                Code.UNSUPPORTED_BY_RECORDER,
                "Not every recorder of this call can do that; nothing was sent.",
                recorders=tuple(unable_view(recorder, unable, action) for recorder in recorders),
            )

    def require_version(self, ask: Ask, redaction: Redaction) -> None:
        if ask.if_match is None:
            return
        exists = redaction.version > 0
        if not exists or (ask.if_match and redaction.version not in ask.if_match):
            view = self.plain(redaction) if exists else None
            raise Failure(Code.VERSION_CONFLICT, "The redaction is not at that version.", document=view)

    async def record(  # noqa: PLR0913 -- a step's parts, in the order in which they happen
        self,
        key: CallKey,
        act: Act,
        name: str,
        transition: Callable[[Redaction], tuple[Redaction, _T]],
        kind: Callable[[_T], EntryType | None],
        within: float,
        *,
        needed: bool = True,
        busy_ms: int = 0,
        alone: Callable[[Redaction], tuple[Redaction, _T]] | None = None,
        stands: Collection[HoldKey] = (),
    ) -> Recorded[_T]:
        def describe(before: Redaction, after: Redaction, outcome: _T) -> Entry | None:
            word = kind(outcome)
            return self.scribe.entry(word, act, before, after) if word else None

        step = Step(
            op=f"{act.op}.{name}",
            decide=transition,
            describe=describe,
            within=within,
            needed=needed,
            busy_ms=busy_ms,
            alone=alone,
            stands=stands,
        )
        recorded = await self.ledger.step(key, step)
        self.listening.saw(recorded.redaction)
        return recorded

    def document(self, recorded: Recorded[_T]) -> Document:
        return document(
            recorded.redaction,
            now=self.clock.ms(),
            policy=self.settings.policy,
            durability=recorded.durability,
            audit=recorded.audit,
        )

    def plain(self, redaction: Redaction) -> Document:
        return document(redaction, now=self.clock.ms(), policy=self.settings.policy, durability="stored", audit=None)

    async def mute_all(self, redaction: Redaction, deadline: float, *, background: bool = False) -> dict[str, Result]:
        """Every recorder at once; mutes of the same thing that are already under way are shared."""
        flights = [self._flight(redaction, recorder, deadline, background) for recorder in redaction.recorders]
        results = await together(asyncio.shield(flight) for flight in flights)
        return {recorder.backend: result for recorder, result in zip(redaction.recorders, results, strict=True)}

    async def quiet(self, key: CallKey, deadline: float) -> bool:
        """Wait until no mute of ours is on its way to the call any more, or it would land after the unmute."""
        under_way = {flight for name, flight in self._flights.items() if name.key == key}
        if under_way:
            _, under_way = await asyncio.wait(under_way, timeout=max(0.0, self.clock.left(deadline)))
        return not under_way

    def _flight(
        self,
        redaction: Redaction,
        recorder: Recorder,
        deadline: float,
        background: bool,  # noqa: FBT001 -- passed through
    ) -> asyncio.Task[Result]:
        """A mute under way proves the same for whoever joins it, as long as no order came in between."""
        name = Flight(
            key=redaction.key,
            backend=recorder.backend,
            target=recorder.target,
            wanted=redaction.wanted,
            loose_revision=redaction.loose_revision,
            background=background,
        )
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.ensure_future(self.sharing.mute(redaction, recorder, deadline, background=background))
            self._flights[name] = flight
            flight.add_done_callback(lambda _: self._flights.pop(name))
        return flight
