"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

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
