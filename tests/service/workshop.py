"""The service on a real store, with recorders whose truth the test sees and sets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from gateway.asks import Control, Mute, Once, Read, Unmute
from gateway.backends.contract import Capabilities, Command, NoSuchCall, Receipt, Seen
from gateway.backends.several import together
from gateway.clock import Clock
from gateway.describe import Scribe
from gateway.evidence import Policy
from gateway.ledger import Ledger
from gateway.metrics import Metrics
from gateway.model import (
    EVERY_PARTIES,
    Action,
    CallKey,
    CallStatus,
    Evidence,
    Origin,
    PartialTarget,
    Parties,
    Principal,
    Target,
    Vendor,
    Where,
)
from gateway.reconcile import Reconciler
from gateway.recorders import Recorders
from gateway.routing import Route
from gateway.service import Service
from gateway.service.claims import ClaimBook
from gateway.service.dated import Dated
from gateway.service.tools import Settings, Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.backends.contract import Hear
    from gateway.store.contract import Store
    from gateway.store.redis import RedisStore

POLICY = Policy(reassert_ms=400, deadline_ms=800)
CAN = Capabilities(
    actions=frozenset(Action),
    parties=frozenset(EVERY_PARTIES),
    call_status=frozenset({(CallStatus.ONGOING,), (CallStatus.NEXT,)}),
    evidence=frozenset({Evidence.READBACK}),
    tells_calls=True,
)
_LEAVES = {
    Action.MUTE: Parties.BOTH,
    Action.UNMUTE: Parties.NONE,
    Action.STOP: Parties.BOTH,
    Action.START: Parties.NONE,
}


@dataclass(kw_only=True)
class Recorder:
    """A backend whose calls are rows of who is silent; `extensions` are the calls by number. `trip` is called before
    every command and may raise, `seen` after every look, before its answer is on its way."""

    name: str
    vendor: Vendor = Vendor.VERBA
    capabilities: Capabilities = CAN
    calls: dict[str, Parties] = field(default_factory=dict)
    extensions: dict[str, list[str]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    trip: Callable[[Command], None] = lambda _: None
    seen: Callable[[Target], Awaitable[None]] = lambda _: asyncio.sleep(0)
    deaf: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def apply(self, command: Command, *, deadline: float) -> Receipt:  # noqa: ARG002 -- as the protocol has it
        self.commands.append(command)
        self.reached.set()
        await self.gate.wait()
        self.trip(command)
        places = self._places(command.target)
        if not self.deaf and command.action in _LEAVES:
            muted = command.muted if command.action in {Action.MUTE, Action.UNMUTE} else _LEAVES[command.action]
            self.calls.update(dict.fromkeys(places, muted))
        return Receipt()

    async def observe(self, target: Target, *, deadline: float, background: bool = False) -> Seen:  # noqa: ARG002 -- as apply
        places = self._places(target)
        states = [
            Seen(muted=self.calls[place], evidence=Evidence.READBACK, calls=self._told(target, place))
            for place in places
        ]
        await self.seen(target)
        return together(states)

    async def ping(self, *, deadline: float) -> None: ...

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- it says nothing by itself
        return nullcontext()

    async def close(self) -> None: ...

    def silent(self, place: str) -> Parties:
        """Who is silent in the call now."""
        return self.calls[place]

    def _told(self, target: Target, place: str) -> frozenset[str]:
        tells = self.capabilities.tells_calls or target.call_id is not None
        return frozenset({place}) if tells else frozenset()

    def _places(self, target: Target) -> list[str]:
        place = target.call_id or target.extension or ""
        known = [place] if target.call_id is not None else self.extensions.get(place, [place])
        found = [call for call in known if call in self.calls and call not in target.excluded]
        if not found:
            raise NoSuchCall
        return found


@dataclass(kw_only=True)
class Workshop:
    tools: Tools
    service: Service
    store: Store
    recorders: dict[str, Recorder]
    metrics: Metrics
    clock: MovableClock

    def ask(self, call_id: str, *, client: str = "crm", tenant: str = "acme", once: Once | None = None) -> Said:
        principal = Principal(client=client, tenant=tenant, kid="k0000000")
        origin = Origin(principal=principal, request_id="request-1", actor="agent-17")
        return Said(key=CallKey(tenant=tenant, call_id=call_id), origin=origin, received_at=self.clock.ms(), once=once)

    async def protected(self, call_id: str) -> bool:
        return (await self.service.read(self.ask(call_id).read())).document.protected


@dataclass(frozen=True, kw_only=True)
class Said:
    """What every ask of one client about one call has in common."""

    key: CallKey
    origin: Origin
    received_at: int
    once: Once | None

    def _common(self) -> dict[str, object]:
        return {"key": self.key, "origin": self.origin, "received_at": self.received_at, "once": self.once}

    def mute(self, **more: object) -> Mute:
        return Mute(**{**self._common(), **more})  # type: ignore[arg-type]  # -- a test's shorthand

    def unmute(self, **more: object) -> Unmute:
        return Unmute(**{**self._common(), **more})  # type: ignore[arg-type]  # -- as mute

    def read(self, **more: object) -> Read:
        return Read(**{**self._common(), **more})  # type: ignore[arg-type]  # -- as mute

    def control(self, **more: object) -> Control:
        return Control(**{**self._common(), **more})  # type: ignore[arg-type]  # -- as mute


@dataclass(frozen=True, kw_only=True)
class MovableClock(Clock):
    """The real clock, set forward by the test."""

    ahead: list[int] = field(default_factory=lambda: [0])

    def move(self, ms: int) -> None:
        self.ahead[0] += ms


def movable() -> MovableClock:
    clock = MovableClock()
    real = clock.ms
    return replace(clock, ms=lambda: real() + clock.ahead[0], ahead=clock.ahead)


@asynccontextmanager
async def opened(store: Store, *names: str, optional: frozenset[str] = frozenset()) -> AsyncIterator[Workshop]:
    """A service before the recorders `names`, all routed for every call."""
    clock, recorders = movable(), {name: Recorder(name=name) for name in names}
    metrics = Metrics(dict.fromkeys(names, Vendor.VERBA), version="0")
    ledger = Ledger(store, hmac_key=b"k" * 32, keep_ms=60_000, clock=clock, policy=POLICY, metrics=metrics)
    tools = Tools(
        ledger=ledger,
        claims=ClaimBook(store, ledger),
        recorders=Recorders(recorders.values(), clock=clock, metrics=metrics),
        scribe=Scribe(node="n", ms=clock.ms, policy=POLICY),
        clock=clock,
        metrics=metrics,
        settings=Settings(
            deadline_seconds=0.8, policy=POLICY, routes=(Route(backends=tuple(names)),), optional=optional
        ),
    )
    yield Workshop(
        tools=tools,
        service=Service(tools, store),
        store=store,
        recorders=recorders,
        metrics=metrics,
        clock=clock,
    )
    await tools.recorders.close()


def at(backend: str, call_id: str) -> Where:
    """The call that `backend` knows as `call_id`, and no other backend."""
    return Where(targets={backend: PartialTarget(call_id=call_id)}, backends=(backend,))


@asynccontextmanager
async def attended(store: RedisStore, *names: str) -> AsyncIterator[Workshop]:
    """A service with somebody who looks after its calls; `x` is a call at every recorder."""
    async with opened(store, *names) as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        async with Reconciler(shop.tools, store, Dated(shop.tools), node="n").working():
            yield shop


async def until(happened: Callable[[], object], *, what: str) -> None:
    """Wait for it, for as long as any machine may need."""
    for _ in range(1_500):
        if happened():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"did not happen: {what}")
