"""An event loop whose time passes only when nobody has anything left to do: an hour takes a moment, and the same
seed gives the same order of everything."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

    Call = Callable[..., object]

_T = TypeVar("_T")

EPOCH_MS = 1_800_000_000_000


class Owner(Protocol):
    """Who a task belongs to, and dies with."""

    tasks: set[asyncio.Task[Any]]


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class Stuck(Exception):  # noqa: N818 -- the fact
    """Nobody will ever do anything again."""


class _Handle:
    """A callback to come; the same as asyncio's own, without what a run does not need."""

    __slots__ = ("_args", "_callback", "_context", "_loop", "_when")

    def __init__(self, loop: VirtualLoop, when: float, callback: Call, args: tuple[Any, ...], context: Context) -> None:
        self._loop = loop
        self._when = when
        self._callback: Call | None = callback
        self._args = args
        self._context = context

    def cancel(self) -> None:
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        if self._callback is None:
            return
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 -- as asyncio has it
            self._loop.call_exception_handler({"message": "a callback failed", "exception": error})


class VirtualLoop(asyncio.BaseEventLoop):
    """To wait is to set the clock forward. Of two things for the same time the one that was said first comes first."""

    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._soon: deque[_Handle] = deque()
        self._later: list[tuple[float, int, _Handle]] = []
        self._numbers = count()
        self.set_task_factory(_owned)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]  # noqa: ANN401 -- no handle of asyncio's
        handle = _Handle(self, self._now, callback, args, copy_context() if context is None else context)
        self._soon.append(handle)
        return handle

    def call_at(self, when: float, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]  # noqa: ANN401 -- as above
        handle = _Handle(self, when, callback, args, copy_context() if context is None else context)
        heappush(self._later, (when, next(self._numbers), handle))
        return handle

    def call_later(self, delay: float, callback: Call, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]  # noqa: ANN401 -- as above
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """All that can be done now; then whatever is next, when its time has come."""
        soon = self._soon
        while soon:
            soon.popleft().run()
            if self._stopping:
                return
        self._go_on()

    def _go_on(self) -> None:
        later = self._later
        while later and later[0][2].cancelled():
            heappop(later)
        if not later:
            raise Stuck
        self._now = max(self._now, later[0][0])
        while later and later[0][0] <= self._now:
            self._soon.append(heappop(later)[2])


def _owned(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
    *,
    context: Context | None = None,
) -> asyncio.Task[_T]:
    task = asyncio.Task(work, loop=loop, context=context)
    owner = OWNER.get() if context is None else context.get(OWNER)
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task


def play(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run `main` to its end in a time of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def never() -> None:
    """What the dead wait for."""
    await asyncio.get_running_loop().create_future()
