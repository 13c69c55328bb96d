"""The second audit device as the ledger sees it, and the one that is not there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.audit.note import Ack, Kept, Note, Void


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What a journal tells a process that starts: steps that the store may lack, oldest first, and the newest
    state of every open redaction."""

    notes: tuple[Note, ...] = ()
    states: tuple[Kept, ...] = ()


class Trail(Protocol):
    """The journal, or none."""

    def write(self, note: Note) -> asyncio.Future[bool]:
        """Whether the note is on disk, which begins at once. Never raises, never takes longer than `JOURNAL_SECONDS`.
        Who waits for it alone may cancel it: that cancels only the waiting."""
        ...

    def tell(self, line: Ack | Void) -> None:
        """What became of a step; written with whatever comes next."""
        ...

    def forget(self, tenant: str, call_id: str) -> None:
        """The call's redaction is known to be over."""
        ...

    async def missing(self, calls: frozenset[tuple[str, str]]) -> tuple[Note, ...]:
        """Steps of these calls (tenant, id) that the store is not known to have, oldest first. Raises `OSError`."""
        ...


class NoJournal:
    """The device that is not there."""

    def write(self, note: Note) -> asyncio.Future[bool]:  # noqa: ARG002 -- as the journal has it
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        written.set_result(False)
        return written

    def tell(self, line: Ack | Void) -> None: ...

    def forget(self, tenant: str, call_id: str) -> None: ...

    async def missing(self, calls: frozenset[tuple[str, str]]) -> tuple[Note, ...]:  # noqa: ARG002 -- as the journal has it
        return ()
