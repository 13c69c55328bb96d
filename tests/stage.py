"""One backend that does what a test says, behind real recorders."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.backends.contract import BackendError, Capabilities, Command, Receipt, Seen
from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.model import EVERY_PARTIES, Action, CallStatus, Evidence, Parties, Recorder, Target, Vendor
from gateway.recorders import Recorders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from gateway.backends.contract import Hear

CALL = Target(call_id="c1")
OTHER_CALL = Target(call_id="c2")
ABLE = Capabilities(
    actions=frozenset(Action),
    parties=frozenset(EVERY_PARTIES),
    call_status=frozenset({(CallStatus.ONGOING,), (CallStatus.NEXT,)}),
    evidence=frozenset({Evidence.READBACK}),
)
MUTED = Seen(muted=Parties.BOTH, evidence=Evidence.READBACK)
LIVE = Seen(muted=Parties.NONE, evidence=Evidence.READBACK)


@dataclass(kw_only=True)
class Actor:
    """A backend. `replies` and `sights` are what its next answers are, an error to be raised among them; after the
    last one it accepts, and shows what was last asked for. While `gate` is closed nothing is answered."""

    name: str = "desk"
    vendor: Vendor = Vendor.VERBA
    capabilities: Capabilities = ABLE
    replies: list[Receipt | Exception] = field(default_factory=list)
    sights: list[Seen | Exception] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    looks: list[bool] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    deadlines: list[float] = field(default_factory=list)
    closed: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self._muted = Parties.NONE

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        self.commands.append(command)
        await self._pass(deadline)
        reply = self.replies.pop(0) if self.replies else Receipt()
        if isinstance(reply, Exception):
            raise reply
        self._muted = command.muted
        return reply

    async def observe(self, target: Target, *, deadline: float, background: bool = False) -> Seen:  # noqa: ARG002 -- there is one call
        self.looks.append(background)
        await self._pass(deadline)
        sight = self.sights.pop(0) if self.sights else Seen(muted=self._muted, evidence=Evidence.READBACK)
        if isinstance(sight, Exception):
            raise sight
        return sight

    async def _pass(self, deadline: float) -> None:
        self.deadlines.append(deadline)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1

    async def ping(self, *, deadline: float) -> None: ...

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- it says nothing by itself
        return nullcontext()

    async def close(self) -> None:
        self.closed = True

    @property
    def muted(self) -> Parties:
        """Who is silent, in truth."""
        return self._muted

    def sent(self, action: Action) -> int:
        return sum(command.action is action for command in self.commands)


@dataclass(frozen=True, kw_only=True)
class Stage:
    recorders: Recorders
    metrics: Metrics
    actor: Actor

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"backend": self.actor.name})


def staged(actor: Actor, *, ms: Callable[[], int] | None = None, connections: int = 20) -> Stage:
    metrics = Metrics({actor.name: actor.vendor}, version="0")
    clock = Clock(ms=ms) if ms else Clock()
    recorders = Recorders([actor], clock=clock, metrics=metrics, connections={actor.name: connections})
    return Stage(recorders=recorders, metrics=metrics, actor=actor)


def recorder(target: Target = CALL, **known: object) -> Recorder:
    return Recorder(backend="desk", vendor=Vendor.VERBA, target=target, **known)  # type: ignore[arg-type]  # -- a test's shorthand


def soon(seconds: float = 2.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def times(count: int, error: BackendError) -> Iterable[BackendError]:
    """`count` errors of one kind."""
    return [type(error)(error.fault) for _ in range(count)]
