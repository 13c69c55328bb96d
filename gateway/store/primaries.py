"""Commands for a bucket go to its primary, wherever that is by now.

A command is sent again only when the server said that it did not execute it (moved elsewhere, function not there).
Any other trouble is "unknown": the server is given up, and the next command looks for the primary anew.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as AnswerLost

from gateway.store.address import Place
from gateway.store.contract import StoreUnavailable, StoreUnfit, StoreUnsettled
from gateway.store.layout import finder
from gateway.store.node import Fitness, Node, Shared

if TYPE_CHECKING:
    from gateway.store.address import Address
    from gateway.store.layout import Layout
    from gateway.store.wire import Command

_log = structlog.stdlib.get_logger("store")

HOPS = 5  # how often one command may be sent elsewhere
# Time for every gateway to notice a new primary, and to put back what that one never had or what was only journaled
# while there was none. Counted from when we met the newest of them: to others the whole store was away. The ones
# found when we start are taken for old.
SETTLE_SECONDS = 5.0


class Primary:
    """A node in its time as primary. `history` names its line of writes, another one after every failover and
    every restart; it is empty until the node was found fit."""

    def __init__(self, node: Node, fitness: Fitness) -> None:
        self.node = node
        self.history = ""
        self._fitness = fitness
        self._vetting = Shared(self._vet)

    async def ready(self) -> None:
        if not self.history:
            await self._vetting.run()

    async def still(self) -> None:
        """`ReadOnlyError`: it is not, or not any more in that same time."""
        if await self.node.history() != self.history:
            raise ReadOnlyError("a new primary's time has begun")

    async def _vet(self) -> None:
        self.history = await self.node.vet(self._fitness)


class Primaries:
    """`strict` refuses a store that could lose or evict what it was given."""

    def __init__(self, address: Address, *, strict: bool) -> None:
        self._access = address.access
        self._finder = finder(address)
        self._fitness = Fitness(strict=strict, guarded=self._finder.replicated)
        self._layout: Layout | None = None
        self._finding = Shared(self._find)
        self._known: dict[Place, Primary] = {}
        self._refused = ""
        self._shared = any(place.port is not None for place in address.places)  # a socket file has one gateway
        self._histories: frozenset[str] = frozenset()
        self._begun = False
        self._renewed_at = -math.inf  # when the newest primary was met, on the loop's clock

    def ready(self, number: int) -> Primary | None:
        """The bucket's primary, where a command can be sent to it at once."""
        primary = None if self._layout is None else self._known.get(self._layout.primaries[number])
        return primary if primary is not None and primary.history and primary.node.wired else None

    async def ask(self, primary: Primary, commands: tuple[Command, ...], *, within: float) -> list[Any] | None:
        """The replies of a primary that is `ready`. None: they were not carried out there, and `send` finds out where
        they are. Raises as `send` does, and `StoreUnavailable` when there was no answer `within` so many seconds."""
        try:
            replies = await primary.node.ask(commands, within=within)
        except (RedisError, OSError):
            await self._give_up(primary)
            raise
        self._require_current(primary)
        for reply in replies:
            if isinstance(reply, AskError) or (isinstance(reply, ResponseError) and _unknown_function(reply)):
                return None
            if isinstance(reply, ResponseError):
                await self._trouble(primary, reply)
                raise reply
        return replies

    async def send(self, number: int, *commands: Command, settled: bool = False, apart: bool = False) -> list[Any]:
        """The replies of the bucket's primary, all over one connection: one of its own when they may take long
        (`apart`). Raises `RedisError`, `OSError`, and `StoreUnavailable` for a primary that must not be used; where
        all have to be `settled`, `StoreUnsettled`.

        Whoever needs them settled also has it asked where the primary is now: one that was deposed goes on for
        seconds, and what others tell its successor meanwhile it does not know."""
        if settled and self._shared:
            await self._finding.anew()
        place, asking = await self._place(number), False
        for _ in range(HOPS):
            primary = await self._usable(place)
            if settled:
                self._require_settled()
            replies = await self._sent(primary, commands, asking=asking, apart=apart)
            error = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
            match error:
                case None:
                    return replies
                case AskError():
                    asking = not isinstance(error, MovedError)
                    place = Place(host=error.host or place.host, port=error.port)
                    self._layout = self._layout if asking else None
                case _ if _unknown_function(error):
                    await primary.node.load()
                case _:
                    await self._trouble(primary, error)
                    raise error
        raise ClusterDownError("sent from node to node")

    async def primary(self, number: int) -> Primary:
        return await self._usable(await self._place(number))

    async def all(self) -> dict[int, str]:
        """The histories of all primaries, each by one of its buckets."""
        layout = self._layout or await self._finding.run()
        buckets = {place: number for number, place in enumerate(layout.primaries)}
        primaries = await asyncio.gather(*(self._usable(place) for place in buckets))
        return {number: primary.history for number, primary in zip(buckets.values(), primaries, strict=True)}

    async def _usable(self, place: Place) -> Primary:
        """A primary that turns out unfit while we run is as good as none; it is said once."""
        try:
            return await self.at(place)
        except StoreUnfit as error:
            if str(error) != self._refused:
                _log.error("primary.refused", reason=str(error))
            self._refused = str(error)
            raise StoreUnavailable(str(error)) from None

    async def at(self, place: Place) -> Primary:
        """The server there, ready to be used. `StoreUnfit` when it must not be."""
        primary = self._known.get(place)
        if primary is not None and primary.node.lost:
            await self._give_up(primary)
            primary = self._known.get(place)
        if primary is None:
            primary = self._known[place] = Primary(Node(place, self._access), self._fitness)
        try:
            await primary.ready()
        except (RedisError, OSError):
            await self._give_up(primary)
            raise
        if primary.history not in self._histories:
            self._histories |= {primary.history}
            self._renewed_at = asyncio.get_running_loop().time() if self._begun else self._renewed_at
        return primary

    def current(self, primary: Primary) -> bool:
        return self._known.get(primary.node.place) is primary

    async def check(self) -> frozenset[str]:
        """Look anew for all primaries and ask each whether it still is one; gives their histories."""
        try:
            layout = await self._finding.run()
            primaries = await asyncio.gather(*(self._checked(place) for place in set(layout.primaries)))
        finally:
            self._begun = True
        self._histories = frozenset(primary.history for primary in primaries)
        return self._histories

    async def _checked(self, place: Place) -> Primary:
        primary = await self.at(place)
        try:
            await primary.still()
        except (RedisError, OSError):
            await self._give_up(primary)
            raise
        return primary

    async def close(self) -> None:
        for primary in tuple(self._known.values()):
            await self._give_up(primary)
        await self._finder.close()

    async def _place(self, number: int) -> Place:
        layout = self._layout or await self._finding.run()
        return layout.primaries[number]

    async def _find(self) -> Layout:
        """Servers that are primaries no more are given up."""
        self._layout = layout = await self._finder.find()
        for primary in tuple(self._known.values()):
            if primary.node.place not in layout.primaries and self.current(primary):
                _log.warning("primary.replaced")
                await self._give_up(primary)
        self._layout = layout
        return layout

    async def _sent(self, primary: Primary, commands: tuple[Command, ...], *, asking: bool, apart: bool) -> list[Any]:
        send = primary.node.send if apart else primary.node.ask
        try:
            replies = await send(commands, asking=asking)
        except (RedisError, OSError):
            await self._give_up(primary)
            raise
        self._require_current(primary)
        return replies

    def _require_current(self, primary: Primary) -> None:
        """What it acknowledged after its time is nobody's business any more."""
        if not self.current(primary):
            raise AnswerLost("the primary was replaced meanwhile")

    async def _trouble(self, primary: Primary, error: ResponseError) -> None:
        """What the answer says about where the primary is."""
        if isinstance(error, ReadOnlyError):
            await self._give_up(primary)
        elif isinstance(error, ClusterDownError) or str(error).startswith("NOREPLICAS"):
            self._layout = None

    async def _give_up(self, primary: Primary) -> None:
        if self.current(primary):
            del self._known[primary.node.place]
        self._layout = None
        await primary.node.retire()

    def _require_settled(self) -> None:
        if self._shared and asyncio.get_running_loop().time() - self._renewed_at < SETTLE_SECONDS:
            raise StoreUnsettled("a primary is new: what it never had is put back first")


def _unknown_function(error: ResponseError) -> bool:
    """The library is not there yet, or not any more: nothing was done."""
    return "function not found" in str(error).lower()
