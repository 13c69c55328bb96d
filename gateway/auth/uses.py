"""When each key was last used: known here at once, told to the store every so often, so that all pods' count.

It is for finding keys that nobody needs any more; losing a minute of it in a crash does no harm.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from gateway.beside import beside
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from gateway.store.contract import Use

TELL_SECONDS = 30.0
WITHIN_SECONDS = 1.0
UNUSED = timedelta(days=90)


class Ledger(Protocol):
    async def note_uses(self, uses: Mapping[str, int], *, within: float) -> None:
        """When keys were last used (ms; 0 for never), by kid. Raises `StoreUnavailable`."""
        ...


class Uses:
    """`noted` is when each key was last good, `kids` which keys there are."""

    def __init__(self, ledger: Ledger, noted: Mapping[str, datetime], kids: Callable[[], Iterable[str]]) -> None:
        self._ledger = ledger
        self._noted = noted
        self._kids = kids

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell while the block runs, and once more at its end."""
        try:
            async with beside(self._tell_on()):
                yield
        finally:
            await self.tell()

    async def _tell_on(self) -> None:
        while True:
            await asyncio.shield(self.tell())
            await asyncio.sleep(TELL_SECONDS)

    async def tell(self) -> None:
        """All keys that there are; what cannot be told now is told the next time."""
        times = {kid: _ms(self._noted.get(kid)) for kid in self._kids()}
        if not times:
            return
        try:
            await self._ledger.note_uses(times, within=WITHIN_SECONDS)
        except StoreUnavailable:
            return


def is_unused(use: Use, now: datetime) -> bool:
    """Nobody has used the key for so long; one that was never used counts from when it was first there."""
    since = use.seen_at if use.used_at is None else use.used_at
    return now - datetime.fromtimestamp(since / 1000, UTC) >= UNUSED


def _ms(time: datetime | None) -> int:
    return 0 if time is None else int(time.timestamp() * 1000)
