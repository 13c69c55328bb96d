"""A note that somebody waits for, on its way to the disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.audit.note import Note


class Waiting:
    """`written` tells whether it was. Who waits for that may be cancelled, and cancels nothing else: the note goes on.
    `late` is called when it was not told `within` so many seconds."""

    __slots__ = ("_patience", "_told", "note", "written")

    def __init__(self, note: Note, *, within: float, late: Callable[[Waiting], None]) -> None:
        loop = asyncio.get_running_loop()
        self.note = note
        self.written: asyncio.Future[bool] = loop.create_future()
        self._told = False
        self._patience = loop.call_later(within, late, self)

    def tell(self, *, written: bool) -> bool:
        """Once; False for a word that comes after another one."""
        if self._told:
            return False
        self._told = True
        self._patience.cancel()
        if not self.written.done():
            self.written.set_result(written)
        return True
