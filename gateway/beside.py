"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable

_T = TypeVar("_T")
_S = TypeVar("_S")

AGAIN_SECONDS = 1.0


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """At the end of the block `work` is cancelled and has ended; what it had stumbled over before is raised there.

    A cancellation can get lost (`asyncio.wait_for` of Python 3.11 does that to libraries that use it): it is said
    again until it was heard.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN_SECONDS)
        if not task.cancelled():
            task.result()


async def together(works: Iterable[Awaitable[_T]]) -> list[_T]:
    """All at once, as `asyncio.gather`; one alone is simply awaited, without a task and a turn of the loop for it."""
    all_of = list(works)
    return [await all_of[0]] if len(all_of) == 1 else await asyncio.gather(*all_of)


async def to_the_end(works: Iterable[Awaitable[None]]) -> None:
    """All at once; the first one's trouble is raised when all have come to an end."""
    for trouble in await asyncio.gather(*works, return_exceptions=True):
        if trouble is not None:
            raise trouble


async def both(own: Coroutine[Any, Any, _T], other: Coroutine[Any, Any, _S]) -> tuple[_T, _S]:
    """Both at once, as `asyncio.gather`, with a task for the `other` one only. That one goes on when `own` fails."""
    task = asyncio.ensure_future(other)
    task.add_done_callback(_retrieve)
    try:
        return await own, await task
    except asyncio.CancelledError:
        task.cancel()
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Nobody may wait for what it raises any more, of which the loop would complain."""
    if not task.cancelled():
        task.exception()
