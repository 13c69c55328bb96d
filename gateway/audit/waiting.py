"""A note that somebody waits for, on its way to the disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.audit.note import Note


class Waiting:
    def __init__(self, note: Note) -> None:
        self.note = note
        self._loop = asyncio.get_running_loop()
        self._written: asyncio.Future[bool | None] = self._loop.create_future()

    def tell(self, written: bool | None) -> None:  # noqa: FBT001 -- a timer passes it by place
        """Unless nobody waits any more."""
        if not self._written.done():
            self._written.set_result(written)

    async def told(self, *, within: float) -> bool | None:
        """Whether it was written; None when nobody knew that `within` so many seconds."""
        patience = self._loop.call_later(within, self.tell, None)
        try:
            return await self._written
        finally:
            patience.cancel()
