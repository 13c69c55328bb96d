"""What other pods have let go of while this one, which muted it, still thinks that it is silent.

Without the store a pod looks after what it muted itself, and says so when it is asked. That must not be what somebody
else has ended since: its recording would be shut off again, and until then be called silent. So word of every order and
every end, which comes through the store, makes what is known here doubtful until it was looked up.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from gateway.beside import beside
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.ledger import Ledger
    from gateway.model import CallKey
    from gateway.store.contract import Word

_log = structlog.stdlib.get_logger("elsewhere")

PAUSE_SECONDS = 0.2  # most of it is our own doing, and known by then
AGAIN_SECONDS = 1.0
LOOKED_UP_AT_ONCE = 16
STORE_SECONDS = 1.0


class Elsewhere:
    """`lands_before`: when (ms) a command that somebody sends now has landed or died."""

    def __init__(self, ledger: Ledger, *, lands_before: Callable[[], int]) -> None:
        self._ledger = ledger
        self._lands_before = lands_before
        self._wake = asyncio.Event()

    def heard(self, word: Word | None) -> None:
        """Word of a change; None: from now on there is word, and what there was before nobody heard."""
        if word is None:
            self._ledger.local.unheard(loose_before=self._lands_before())
        elif not word.lets_go or not self._ledger.local.heard(word.key, loose_before=self._lands_before()):
            return
        self._wake.set()

    @asynccontextmanager
    async def looked_up(self) -> AsyncIterator[None]:
        """What is doubtful is looked up while the block runs."""
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._wake.clear()
            if not await self._look_up():
                self._wake.set()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _look_up(self) -> bool:
        """All of them, whatever becomes of one. False where something is left for the next time."""
        keys = list(self._ledger.local.to_look_up)
        for first in range(0, len(keys), LOOKED_UP_AT_ONCE):
            some = keys[first : first + LOOKED_UP_AT_ONCE]
            for trouble in await asyncio.gather(*map(self._look_one_up, some), return_exceptions=True):
                if trouble is not None and not isinstance(trouble, StoreUnavailable):
                    _log.error("call.unknown", exc_info=trouble)
        return not self._ledger.local.to_look_up

    async def _look_one_up(self, key: CallKey) -> None:
        calls = self._ledger.local
        calls.to_look_up.discard(key)
        if (local := calls.get(key)) is None:
            return
        doubts = local.doubts
        try:
            await self._ledger.look_up(key, within=STORE_SECONDS)
        except BaseException:
            calls.to_look_up.add(key)
            raise
        if local.doubts == doubts:
            local.doubts = 0
