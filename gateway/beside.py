"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable

_T = TypeVar("_T")

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
