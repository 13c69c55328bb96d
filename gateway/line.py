"""The line to one backend: every operation passes here, is timed and counted, and tells the circuit how it went.

Background operations use at most half of the backend's connections, so that requests always find a place, and are not
begun when their time is over.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

import structlog

from gateway.backends.contract import BackendError, NoSuchCall, NotSent, Refused, Unconfirmed
from gateway.circuit import Circuit
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.backends.contract import Backend, Command, Receipt, Seen
    from gateway.metrics import Metrics
    from gateway.model import Target

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("line")

CONNECTIONS = 20
FAIR_SECONDS = 0.3  # who had less time than this before the deadline says nothing about the backend by missing it
LOST = frozenset({Fault.CONNECTION_FAILED, Fault.CONNECTION_LOST, Fault.TIMEOUT})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Effort:
    """How far one attempt, of whatever many operations, may go: until `deadline` (loop time), and, in the
    `background`, only as the backend can spare it."""

    deadline: float
    background: bool = False


class Line:
    """`connections` is how many operations the backend takes at once."""

    def __init__(self, backend: Backend, *, metrics: Metrics, connections: int = CONNECTIONS) -> None:
        self.backend = backend
        self.circuit = Circuit(changed=self._circuit_changed)
        self._metrics = metrics
        self._places = asyncio.Semaphore(max(1, connections // 2))
        self._judged: BackendError | None = None
        self._failed: WeakSet[Effort] = WeakSet()
        self._opened_at = 0.0
        self.told: Callable[[str, bool, int | None], None] = _nobody
        """Told when it cannot be reached any more, or again after so many ms."""

    async def apply(self, command: Command, effort: Effort) -> Receipt:
        """Send the command once. `BackendError` leaves only."""
        return await self._operation(
            command.action.value, lambda: self.backend.apply(command, deadline=effort.deadline), effort
        )

    async def observe(self, target: Target, effort: Effort) -> Seen:
        """Ask for the state. `BackendError` leaves only."""
        return await self._operation("observe", lambda: self._observed(target, effort), effort, shared=_shared)

    async def _observed(self, target: Target, effort: Effort) -> Seen:
        return await self.backend.observe(target, deadline=effort.deadline, background=effort.background)

    async def _operation(
        self,
        action: str,
        work: Callable[[], Awaitable[_T]],
        effort: Effort,
        *,
        shared: Callable[[_T], bool] = lambda _: False,
    ) -> _T:
        if not effort.background:
            return await self._judged_by(action, work, effort, shared)
        async with self._place(effort):
            if _now() >= effort.deadline:
                raise NotSent(Fault.BUSY)
            return await self._judged_by(action, work, effort, shared)

    async def _judged_by(
        self, action: str, work: Callable[[], Awaitable[_T]], effort: Effort, shared: Callable[[_T], bool]
    ) -> _T:
        began_at = _now()
        try:
            value = await self._counted(action, work, effort)
        except BackendError as error:
            self._judge(error, began_at, effort)
            raise
        if not shared(value):
            self.circuit.succeeded()
        return value

    @asynccontextmanager
    async def _place(self, effort: Effort) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(effort.deadline):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent(Fault.BUSY) from None
        try:
            yield
        finally:
            self._places.release()

    def _judge(self, error: BackendError, began_at: float, effort: Effort) -> None:
        """A readable no is an answer like any other; what is told to many, or to one effort again and again, is one
        failure."""
        told, self._judged = self._judged is error, error
        match error:
            case _ if told:
                return
            case NoSuchCall(age_seconds=age) if age:
                return
            case Refused():
                self.circuit.succeeded()
            case _ if error.fault in LOST and effort not in self._failed and _fair(began_at, effort):
                self._failed.add(effort)
                self.circuit.failed(began_at=began_at)

    async def _counted(self, action: str, work: Callable[[], Awaitable[_T]], effort: Effort) -> _T:
        """Time and outcome of one operation; whatever an adapter trips over is "nobody knows"."""
        backend = self.backend
        with self._metrics.backend_request(backend.name, backend.vendor.value, action) as outcome:
            try:
                async with asyncio.timeout_at(effort.deadline):
                    value = await work()
            except BackendError as error:
                outcome.set(error.fault.value)
                raise
            except TimeoutError:
                outcome.set(Fault.TIMEOUT.value)
                raise Unconfirmed(Fault.TIMEOUT) from None
            except Exception as error:
                outcome.set(Fault.BAD_ANSWER.value)
                _log.exception("adapter.failed", backend=backend.name, action=action)
                raise Unconfirmed(Fault.BAD_ANSWER) from error
            outcome.set("ok")
            return value

    def _circuit_changed(self, is_open: bool) -> None:  # noqa: FBT001 -- the event's one word
        self._metrics.circuit(self.backend.name, is_open=is_open)
        _log.warning("circuit.opened" if is_open else "circuit.closed", backend=self.backend.name)
        if is_open:
            self._opened_at = _now()
        self.told(self.backend.name, not is_open, None if is_open else int(1000 * (_now() - self._opened_at)))


def _nobody(_backend: str, _up: bool, _away_ms: int | None) -> None:  # noqa: FBT001 -- the event's own words
    """Nobody asked to be told."""


def _shared(seen: Seen) -> bool:
    """Taken from an answer that somebody else got: it says nothing about the line now."""
    return seen.age_seconds > 0


def _fair(began_at: float, effort: Effort) -> bool:
    return _now() < effort.deadline or effort.deadline - began_at >= FAIR_SECONDS


def _now() -> float:
    return asyncio.get_running_loop().time()
