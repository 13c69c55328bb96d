"""One request's order of things: begin, fan out, finish.

Every operation that changes something is two steps of the ledger with the vendors in between: the intent is
durable before anything is sent, the outcome after. Which answer that makes is decided at the end, from the
redaction alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.service.control import Controls
from gateway.service.mute import Mutes
from gateway.service.once import Onces
from gateway.service.read import Reads
from gateway.service.unmute import Unmutes

if TYPE_CHECKING:
    from gateway.asks import Answer, Control, Mute, Read, Unmute
    from gateway.service.tools import Tools
    from gateway.store.contract import Store


class Service:
    """The four things that can be asked; each gives an `Answer` or raises a `Failure`."""

    def __init__(self, tools: Tools, store: Store) -> None:
        self._onces = Onces(tools, store)
        self._mutes = Mutes(tools)
        self._unmutes = Unmutes(tools)
        self._reads = Reads(tools)
        self._controls = Controls(tools)

    async def mute(self, ask: Mute) -> Answer:
        return await self._onces.run(ask, lambda: self._mutes.mute(ask))

    async def unmute(self, ask: Unmute) -> Answer:
        return await self._onces.run(ask, lambda: self._unmutes.unmute(ask))

    async def read(self, ask: Read) -> Answer:
        return await self._reads.read(ask)

    async def control(self, ask: Control) -> Answer:
        return await self._onces.run(ask, lambda: self._controls.control(ask))
