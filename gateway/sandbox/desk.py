"""What all fakes share: the server on a loopback port, the calls and their tapes, faults, and the control paths.

A fake says what its vendor would answer; whether that is what goes out, and whether anything happens, is
decided here by the fault plans.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from gateway.model import Parties, Vendor
from gateway.sandbox.control import add_control
from gateway.sandbox.faults import BOMBS, CANNED, CARD_NUMBER, FaultKind, FaultPlan, everything_in
from gateway.sandbox.tape import Tape
from gateway.sandbox.wire import OPERATIONS, FakeReply, Operation, WireRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CARD_NUMBER",
    "OPERATIONS",
    "Effect",
    "Fake",
    "FakeCall",
    "FakeReply",
    "FaultKind",
    "FaultPlan",
    "Operation",
    "Perform",
    "WireRequest",
]

REQUESTS_KEPT = 5000
Effect = Callable[[], None]
Perform = Callable[[Effect], None]
"""How a fake's answer makes something happen: at once, later or never, as the fault plans have it."""


@dataclass(slots=True, kw_only=True)
class FakeCall:
    """A call at the vendor, as true as it gets. `facts` are for what only one vendor knows about a call."""

    call_id: str
    extension: str
    tape: Tape
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.tape.ended is not None

    @property
    def muted(self) -> Parties:
        return self.tape.muted

    def switch(self, muted: Parties) -> None:
        """Make exactly `muted` silent from now on."""
        self.tape.switch(muted, at=time.time_ns())

    def describe(self) -> dict[str, object]:
        cuts = [{"at_ns": cut.at, "muted": _WORDS[cut.muted]} for cut in self.tape.cuts]
        return {
            "call_id": self.call_id,
            "extension": self.extension,
            "ended": self.ended,
            "muted": _WORDS[self.muted],
            "tape": {"began_ns": self.tape.began, "ended_ns": self.tape.ended, "cuts": cuts},
            "facts": self.facts,
        }


_WORDS = {
    Parties.NONE: None,
    Parties.CALLER: "caller",
    Parties.CALLED: "called",
    Parties.BOTH: "both",
}


class Fake(ABC):
    """One fake vendor on a loopback port that the kernel picks.

    `on_call` is the place where a fake can act on a call that begins (a `next` that waits for it).
    """

    vendor: Vendor
    dialect: Literal["xml", "json"] = "json"

    def __init__(self) -> None:
        self.calls: dict[str, FakeCall] = {}
        self.faults: list[FaultPlan] = []
        self.requests: deque[WireRequest] = deque(maxlen=REQUESTS_KEPT)
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self.port = 0

    # What each vendor's fake supplies

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """A complete backend configuration that works with this fake."""

    @abstractmethod
    def operation(self, request: WireRequest) -> Operation:
        """Which of the operations `request` is; its own `operation` is not set yet."""

    @abstractmethod
    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        """What the vendor says; what it does goes through `perform`."""

    @abstractmethod
    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        """The vendor's readable no, with `text` in it."""

    def on_call(self, call: FakeCall) -> None:  # noqa: B027 -- most vendors do nothing then
        """A call has begun."""

    def add_routes(self, app: web.Application) -> None:  # noqa: B027 -- most vendors have none
        """Ways in that are not a request and its reply at once; they are neither recorded nor spoiled by faults."""

    # Life

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What the backend's `base_url` has to be."""
        return self.origin

    async def start(self) -> None:
        app = web.Application(client_max_size=2**20)
        add_control(app, self)
        self.add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection; started again it comes back on the same port."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None
        self._stopping = asyncio.Event()

    # Calls

    def add_call(self, call_id: str, *, extension: str) -> FakeCall:
        """A call begins, on tape."""
        call = FakeCall(call_id=call_id, extension=extension, tape=Tape(began=time.time_ns()))
        self.calls[call_id] = call
        self.on_call(call)
        return call

    def end_call(self, call_id: str) -> None:
        self.calls[call_id].tape.end(at=time.time_ns())

    def resume(self, call_id: str) -> None:
        """Somebody else puts the recording on again."""
        self.calls[call_id].switch(Parties.NONE)

    def ongoing(self, *, call_id: str | None = None, extension: str | None = None) -> list[FakeCall]:
        """The calls that are not over, of all or by id or extension."""
        return [
            call
            for call in self.calls.values()
            if not call.ended and call_id in {None, call.call_id} and extension in {None, call.extension}
        ]

    # Faults

    def plan(
        self,
        kind: FaultKind,
        *,
        on: Iterable[Operation] = OPERATIONS,
        times: int | None = None,
        delay: float = 0.3,
    ) -> None:
        self.faults.append(FaultPlan(kind=kind, on=frozenset(on), times=times, delay=delay))

    def heal(self) -> None:
        self.faults.clear()

    def _next_fault(self, operation: Operation) -> FaultPlan | None:
        for place, plan in enumerate(self.faults):
            if operation in plan.on:
                if plan.times is not None:
                    left = replace(plan, times=plan.times - 1)
                    self.faults[place : place + 1] = [left] if left.times else []
                return plan
        return None

    # Requests

    @property
    def read_times(self) -> list[float]:
        """When the state was asked for, in seconds since the epoch."""
        return [request.at / 1e9 for request in self.requests if request.operation == "read"]

    def sent(self, operation: Operation) -> list[WireRequest]:
        """The requests of one kind, the oldest first."""
        return [request for request in self.requests if request.operation == operation]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        wire = await self.on_the_wire(request)
        self.requests.append(wire)
        plan = self._next_fault(wire.operation)
        if plan is None:
            return _response(self.answer(wire, _at_once))
        return await self._misbehave(plan, wire, request)

    async def on_the_wire(self, request: web.Request) -> WireRequest:
        wire = WireRequest(
            operation="command",
            method=request.method,
            raw_path=request.raw_path,
            headers=request.headers,
            body=await request.read(),
            at=time.time_ns(),
        )
        return replace(wire, operation=self.operation(wire))

    async def _misbehave(self, plan: FaultPlan, wire: WireRequest, request: web.Request) -> web.StreamResponse:
        match plan.kind:
            case FaultKind.HANG:
                await self._stopping.wait()
                return _cut(request)
            case FaultKind.DROP:
                return _cut(request)
            case FaultKind.DROP_AFTER:
                self.answer(wire, _at_once)
                return _cut(request)
            case _:
                return _response(self._bad_answer(plan, wire))

    def _bad_answer(self, plan: FaultPlan, wire: WireRequest) -> FakeReply:
        match plan.kind:
            case FaultKind.LIE:
                return self.answer(wire, _never)
            case FaultKind.LATE:
                return self.answer(wire, _later(plan.delay))
            case FaultKind.REDIRECT:
                return FakeReply(status=307, headers={"Location": wire.raw_path})
            case FaultKind.XML_BOMB:
                return BOMBS[self.dialect]
            case FaultKind.LEAK | FaultKind.REFUSE:
                return self.refuse(wire, everything_in(wire) if plan.kind is FaultKind.LEAK else "Not now")
            case kind:
                return CANNED[kind]


def _at_once(effect: Effect) -> None:
    effect()


def _never(_: Effect) -> None:
    pass


def _later(delay: float) -> Perform:
    def perform(effect: Effect) -> None:
        asyncio.get_running_loop().call_later(delay, effect)

    return perform


def _cut(request: web.Request) -> web.StreamResponse:
    request.protocol.force_close()
    return web.Response()


def _response(reply: FakeReply) -> web.Response:
    return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type, headers=reply.headers)
