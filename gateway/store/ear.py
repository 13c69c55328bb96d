"""A connection on which the server speaks by itself: what it tells is taken as it comes, many at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from gateway.store.wire import Wire


class Ear(Wire):
    """Hears what is told on channels of one pattern."""

    def __init__(self) -> None:
        super().__init__()
        self._told: list[bytes] = []
        self._stir = asyncio.Event()

    async def listen(self, pattern: str, *, within: float) -> None:
        """From now on nothing is missed while the connection lasts. Raises as `ask` does."""
        for reply in await self.ask((("PSUBSCRIBE", pattern),), within=within):
            if isinstance(reply, RedisError):
                raise reply

    async def heard(self, *, within: float) -> list[bytes]:
        """What was told since this was asked last; nothing when it was silent `within` so many seconds. `RedisError`
        when no more can come."""
        if not self._told and not self.lost:
            self._stir.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._stir.wait()
        if self.lost and not self._told:
            raise ConnectionLost("the connection has ended")
        told, self._told = self._told, []
        return told

    def _answered(self, reply: Any) -> None:  # noqa: ANN401 -- whatever the server says
        match reply:
            case [b"pmessage", _, _, bytes(message)]:
                self._told.append(message)
                self._stir.set()
            case _:
                super()._answered(reply)

    def _lose(self, reason: str) -> None:
        super()._lose(reason)
        self._stir.set()
