"""A connection on which the server speaks by itself: what it tells is taken as it comes, many at a time."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from gateway.store.wire import ROUNDED_SECONDS, Wire

ASKED_SECONDS = 5.0  # of silence, then it is asked whether it is there


class Ear(Wire):
    """Hears what is told on channels of one pattern."""

    def __init__(self) -> None:
        super().__init__()
        self._told: list[bytes] = []
        self._stir = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._until, self._next = 0.0, math.inf
        self._silent = 0.0

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
            self._stir_in(within)
            await self._stir.wait()
            if self._told or self.lost:
                self._silent = 0.0
            else:
                await self._are_you_there(within)
        if self.lost and not self._told:
            raise ConnectionLost("the connection has ended")
        told, self._told = self._told, []
        return told

    def _stir_in(self, seconds: float) -> None:
        """If nothing else does. Where much is told the timer is left as it is, and set anew when it is over."""
        self._until = self._loop.time() + seconds
        if self._until < self._next:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = self._loop.call_at(self._until + ROUNDED_SECONDS, self._over), self._until

    def _over(self) -> None:
        self._timer, self._next = None, math.inf
        if self._loop.time() < self._until:
            self._arm()
        else:
            self._stir.set()

    async def _are_you_there(self, seconds: float) -> None:
        """A connection that somebody in between has forgotten says nothing, either."""
        self._silent += seconds
        if self._silent >= ASKED_SECONDS:
            self._silent = 0.0
            await self.ask((("PING",),), within=seconds)

    def _answered(self, reply: Any) -> None:  # noqa: ANN401 -- whatever the server says
        match reply:
            case [b"pmessage", _, _, bytes(message)]:
                self._told.append(message)
                self._stir.set()
            case _:
                super()._answered(reply)

    def _lose(self, reason: str) -> None:
        super()._lose(reason)
        if self._timer is not None:
            self._timer.cancel()
        self._stir.set()
