"""What the trail says of access: who was not let in, and which keys and clients came, changed and went.

Denials are anybody's to make: a few a second are written down one by one, of the rest the number.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gateway.audit.entry import Entry, EntryType
from gateway.audit.notice import notice
from gateway.beside import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.auth.keys import Denied

AT_ONCE = 10
EVERY_SECONDS = 1.0
NO_TENANT = "-"  # nobody's: no configured tenant can be called that


class Register(Protocol):
    async def write(self, entry: Entry) -> bool:
        """Whether the entry is where it belongs already. Never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a new configuration changed about access."""

    type: EntryType
    tenant: str = NO_TENANT
    client: str | None = None
    kid: str | None = None


class Notices:
    """`node` and `ms` are this process and its clock."""

    def __init__(self, register: Register, *, node: str, ms: Callable[[], int]) -> None:
        self._register = register
        self._node = node
        self._ms = ms
        self._denied: list[Entry] = []
        self._more = 0
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    def denied(self, denied: Denied, *, address: str | None, request_id: str) -> None:
        """Somebody was not let in. Costs nobody who asks any time."""
        if len(self._denied) >= AT_ONCE:
            self._more += 1
            return
        entry = self._entry(EntryType.ACCESS_DENIED, denied.tenant or NO_TENANT)
        said = replace(entry, client=denied.client, kid=denied.kid, address=address)
        self._denied.append(replace(said, request_id=request_id, reason=denied.reason.value))
        self._news.set()

    async def changed(self, *changes: Change) -> None:
        for change in changes:
            entry = self._entry(change.type, change.tenant)
            await self._register.write(replace(entry, client=change.client, kid=change.kid))

    def _entry(self, kind: EntryType, tenant: str) -> Entry:
        return notice(kind, tenant=tenant, node=self._node, ms=self._ms())

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write while the block runs; at its end what is left."""
        try:
            async with beside(self._write_on()):
                yield
        finally:
            await self._write()

    async def _write_on(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.shield(self._write())
            await asyncio.sleep(EVERY_SECONDS)

    async def _write(self) -> None:
        """The last one stands for those that were too many: `count` of them, itself included. One after the other:
        the end waits for what is under way."""
        async with self._turn:
            self._news.clear()
            batch, self._denied = self._denied, []
            more, self._more = self._more, 0
            if more:
                batch[-1] = replace(batch[-1], count=1 + more)
            for entry in batch:
                await self._register.write(entry)
