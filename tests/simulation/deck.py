"""What recorders truly do, and the unreliable vendor in front of them.

A deck knows for every call who is silent, since when, and by whose doing. The vendor may lose a command or its
answer, be late, lie, refuse, or hang; an unmute that is on its way has landed or died `DIES_SECONDS` after its
deadline.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client import ORDER
from virtual import never

from gateway.backends.contract import Capabilities, NoSuchCall, NotSent, Receipt, Refused, Seen, Unconfirmed
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Vendor

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from client import Way

    from gateway.backends.contract import Command, Hear
    from gateway.model import Target

DIES_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """From `at` on `muted` are silent; `cause` is the order that let somebody be recorded, "" for a mute, and
    "others" where it was not us."""

    at: float
    muted: Parties
    cause: str = ""


@dataclass(slots=True, kw_only=True)
class Deck:
    """One backend's recorders; `extensions` are the calls by number. `loosened` is called when an unmute of ours takes
    effect."""

    name: str
    calls: dict[str, list[Moment]] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    flying: dict[int, tuple[str, str]] = field(default_factory=dict)
    loosened: Callable[[str, str, str], None] = lambda _deck, _call, _order: None
    sent: Callable[[str, str, str], None] = lambda _deck, _call, _order: None
    numbers: int = 0

    def begin(self, call: str) -> None:
        self.calls[call] = [Moment(at=0.0, muted=Parties.NONE, cause="others")]
        self.extensions[f"ext-{call}"] = call

    def meant(self, target: Target) -> str:
        return target.call_id or self.extensions[target.extension or ""]

    def now(self, call: str) -> Moment:
        return self.calls[call][-1]

    def put(self, call: str, muted: Parties, cause: str) -> None:
        at = asyncio.get_running_loop().time()
        if muted != self.now(call).muted:
            self.calls[call].append(Moment(at=at, muted=muted, cause=cause))

    def drift(self, call: str) -> None:
        if call not in self.ended and self.now(call).muted:
            self.put(call, Parties.NONE, "others")

    def fly(self, call: str, command: Command, after: float, order: str) -> None:
        """The command lands after so many seconds."""
        self.numbers += 1
        number = self.numbers
        if command.action is Action.UNMUTE:
            self.flying[number] = (call, order)
        asyncio.get_running_loop().call_later(after, self._land, number, call, command, order)

    def _land(self, number: int, call: str, command: Command, order: str) -> None:
        self.flying.pop(number, None)
        if call in self.ended:
            return
        loose = command.action is Action.UNMUTE
        self.put(call, command.muted, order if loose else "")
        if loose:
            self.loosened(self.name, call, order)


@dataclass(slots=True, kw_only=True)
class Weather:
    """How a vendor behaves now: the chance that an operation goes wrong, that an unmute does, and until when nobody
    reaches it."""

    trouble: float = 0.0
    stubborn: float = 0.0
    away: float = 0.0
    hangs: bool = False


CAN = Capabilities(
    actions=frozenset({Action.MUTE, Action.UNMUTE}),
    parties=frozenset({Parties.BOTH}),
    call_status=frozenset({(CallStatus.ONGOING,)}),
    evidence=frozenset({Evidence.READBACK}),
    tells_calls=True,
)


class SimBackend:
    """One pod's connection to a deck. With `tells` an answer carries the recorder's state."""

    def __init__(self, deck: Deck, weather: Weather, way: Way, chance: random.Random, *, tells: bool) -> None:
        self.name = deck.name
        self.vendor = Vendor.VERBA
        self.capabilities = CAN
        self._deck = deck
        self._weather = weather
        self._way = way
        self._chance = chance
        self._tells = tells

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        call, order = self._deck.meant(command.target), ORDER.get()
        if self._way.dead:
            await never()
        if command.action is Action.UNMUTE:
            self._deck.sent(self.name, call, order)
        await self._reach(deadline)
        return await self._done(command, call, order, deadline)

    async def _done(self, command: Command, call: str, order: str, deadline: float) -> Receipt:
        trip = self._chance.uniform(0.001, 0.02)
        stubborn = self._weather.stubborn if command.action is Action.UNMUTE else 0.0
        if self._chance.random() >= max(self._weather.trouble, stubborn):
            self._deck.fly(call, command, trip, order)
            await asyncio.sleep(2 * trip)
            if call in self._deck.ended:
                raise NoSuchCall
            return Receipt(seen=self._seen(call, Evidence.ANSWER) if self._tells else None)
        await asyncio.sleep(trip)
        return await self._trouble(command, call, order, deadline)

    async def _trouble(self, command: Command, call: str, order: str, deadline: float) -> Receipt:
        """`latest` is the end of what a command on its way can do."""
        latest = max(0.0, deadline - asyncio.get_running_loop().time()) + DIES_SECONDS
        match self._chance.randrange(8):
            case 0:
                raise Refused
            case 1:
                raise NotSent(Fault.CONNECTION_FAILED)
            case 2:
                return Receipt()  # yes, and nothing happens
            case 3:
                self._deck.fly(call, command, self._chance.uniform(0.0, latest), order)
                return Receipt()  # yes, and it happens later
            case 4:
                self._deck.fly(call, command, self._chance.uniform(0.0, latest), order)
                raise Unconfirmed(Fault.CONNECTION_LOST)
            case 5:
                self._deck.fly(call, command, self._chance.uniform(0.0, latest), order)
                raise await self._silence()
            case 6:
                raise await self._silence()
            case _:
                self._deck.fly(call, command, 0.0, order)
                raise Unconfirmed(Fault.SERVER_ERROR)

    async def _silence(self) -> Exception:
        await never()
        return AssertionError()

    async def observe(self, target: Target, *, deadline: float, background: bool = False) -> Seen:
        del background
        if self._way.dead:
            await never()
        await self._reach(deadline)
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        call = self._deck.meant(target)
        if call in self._deck.ended:
            raise NoSuchCall
        seen = self._seen(call, Evidence.READBACK)
        if self._chance.random() < self._weather.trouble:
            await asyncio.sleep(self._chance.uniform(0.0, 0.4))  # late: what it says was so when it was asked
            if self._chance.random() < 0.5:
                raise Unconfirmed(Fault.BAD_ANSWER)
        return seen

    def _seen(self, call: str, evidence: Evidence) -> Seen:
        return Seen(muted=self._deck.now(call).muted, evidence=evidence, calls=frozenset({call}))

    async def _reach(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._weather.away:
            return
        if self._weather.hangs:
            await asyncio.sleep(max(0.0, deadline - loop.time()))
            raise Unconfirmed(Fault.TIMEOUT)
        raise NotSent(Fault.CONNECTION_FAILED)

    async def ping(self, *, deadline: float) -> None: ...

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        del hear
        return nullcontext()

    async def close(self) -> None: ...
