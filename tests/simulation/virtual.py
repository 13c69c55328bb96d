"""An event loop whose time passes only when nobody has anything left to do: an hour takes a moment, and the same
seed gives the same order of everything."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

_T = TypeVar("_T")

EPOCH_MS = 1_800_000_000_000


class Owner(Protocol):
    """Who a task belongs to, and dies with."""

    tasks: set[asyncio.Task[Any]]


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class Stuck(Exception):  # noqa: N818 -- the fact
    """Nobody will ever do anything again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Plays its own selector: to wait is to set the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self
        self.set_task_factory(_owned)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Stuck
        self._now += max(0.0, timeout)
        return []

    def _process_events(self, _: list[object]) -> None: ...

    def _write_to_self(self) -> None: ...


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
