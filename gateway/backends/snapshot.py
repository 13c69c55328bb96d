"""One answer for many questions, where the vendor wants to be asked seldom.

Background questions share the newest answer of the whole account, and a new one is asked for only when the last
read, whoever it was for, is `interval_seconds` ago. A request's own read goes at once; so that requests in quick
succession cannot keep the background blind, one of them reads the whole account whenever that is overdue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.backends.contract import BackendError, NotSent
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Generic[T]):
    """What the vendor said of the whole account; `asked_at` is when it was asked, in the loop's time."""

    value: T
    asked_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    error: BackendError
    asked_at: float


class Snapshots(Generic[T]):
    """`read` asks for the whole account, gets an absolute deadline and raises `BackendError`; a shared read may
    take `patience_seconds` and outlives the question that caused it."""

    def __init__(
        self, read: Callable[[float], Awaitable[T]], *, interval_seconds: float, patience_seconds: float
    ) -> None:
        self._read = read
        self._interval_seconds = interval_seconds
        self._patience_seconds = patience_seconds
        self._newest: Snapshot[T] | _Failed | None = None
        self._reading: asyncio.Task[Snapshot[T]] | None = None
        self._read_at = -interval_seconds  # the loop's time begins at 0 or later
        self._tried_at = -interval_seconds
        self._missed = False

    @property
    def overdue(self) -> bool:
        """Somebody in the background waits for news and other reads were in the way: the next one is for all."""
        return self._missed and _now() - self._tried_at >= self._interval_seconds

    async def spaced(self, read: Awaitable[U]) -> U:
        """Do a read of another kind: the next background read keeps its distance from it, too.

        The distance counts from the answer: how long a question was on its way, nobody knows.
        """
        self._read_at = _now()
        try:
            return await read
        finally:
            self._read_at = _now()

    async def now(self, *, deadline: float) -> Snapshot[T]:
        """Ask at once, for one request's own sake; others may share the answer later."""
        snapshot = await self._ask(deadline)
        self._keep(snapshot)
        return snapshot

    async def recent(self, *, deadline: float) -> Snapshot[T]:
        """An answer not older than the interval, which is asked for where there is none."""
        match self._newest:
            case Snapshot(asked_at=at) if _now() - at < self._interval_seconds:
                return self._newest
            case _:
                return await self._joined(self._reading or self._start(), deadline)

    async def newest(self, *, deadline: float) -> Snapshot[T]:
        """The answer to share. Raises what went wrong with the newest one, and `NotSent` with `BUSY` where there is
        none to share and it is too early to ask."""
        if self._reading is not None:
            return await self._joined(self._reading, deadline)
        if _now() - self._read_at >= self._interval_seconds:
            return await self._joined(self._start(), deadline)
        return self._shared()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _shared(self) -> Snapshot[T]:
        newest, too_old = self._newest, _now() - 2 * self._interval_seconds
        self._missed = newest is None or newest.asked_at < _now() - self._interval_seconds
        match newest:
            case Snapshot(asked_at=at) if at > too_old:
                return newest
            case _Failed(error=error, asked_at=at) if at > too_old:
                raise error.with_traceback(None)
            case _:
                raise NotSent(Fault.BUSY)

    def _start(self) -> asyncio.Task[Snapshot[T]]:
        self._reading = asyncio.create_task(self._read_for_all())
        self._reading.add_done_callback(self._over)
        return self._reading

    def _over(self, reading: asyncio.Task[Snapshot[T]]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # whoever waited for it has been told; nobody may have

    async def _read_for_all(self) -> Snapshot[T]:
        asked_at = _now()
        try:
            snapshot = await self._ask(asked_at + self._patience_seconds)
        except BackendError as error:
            self._keep(_Failed(error=error, asked_at=asked_at))
            raise
        self._keep(snapshot)
        return snapshot

    async def _ask(self, deadline: float) -> Snapshot[T]:
        asked_at = _now()
        self._tried_at, self._missed = asked_at, False
        return Snapshot(value=await self.spaced(self._read(deadline)), asked_at=asked_at)

    def _keep(self, answer: Snapshot[T] | _Failed) -> None:
        if self._newest is None or self._newest.asked_at <= answer.asked_at:
            self._newest = answer

    async def _joined(self, reading: asyncio.Task[Snapshot[T]], deadline: float) -> Snapshot[T]:
        await asyncio.wait({reading}, timeout=max(deadline - _now(), 0.0))
        if not reading.done() or reading.cancelled():
            raise NotSent(Fault.BUSY)
        return reading.result()


def _now() -> float:
    return asyncio.get_running_loop().time()
