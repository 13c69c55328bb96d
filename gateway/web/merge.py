"""Mutes that are the same, of a client that asks for more than it may: none is refused, few are carried out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.asks import Answer, Mute


class Merger:
    """One of equal mutes is under way, the rest waits for the next, and shares it.

    Whoever comes while one is under way must not get its answer: an unmute may have come in between.
    """

    def __init__(self, mute: Callable[[Mute], Awaitable[Answer]]) -> None:
        self._mute = mute
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        self._next: dict[str, asyncio.Task[Answer]] = {}

    async def mute(self, ask: Mute) -> Answer:
        """The answer of a mute that began after this was asked. One with a name or a condition goes by itself."""
        if ask.once is not None or ask.if_match is not None:
            return await self._mute(ask)
        name = _name(ask)
        if name not in self._next:
            self._next[name] = asyncio.create_task(self._in_turn(name, ask))
        return await asyncio.shield(self._next[name])

    async def _in_turn(self, name: str, ask: Mute) -> Answer:
        if name in self._under_way:
            await asyncio.wait({self._under_way[name]})
        mine = self._under_way[name] = self._next.pop(name)
        try:
            return await self._mute(ask)
        finally:
            if self._under_way[name] is mine:
                del self._under_way[name]


def _name(ask: Mute) -> str:
    """The same for asks that mean the same, by the same person, whatever their request is called."""
    return repr(replace(ask, received_at=0, origin=replace(ask.origin, request_id="", address=None)))
