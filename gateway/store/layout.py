"""Which server is the primary of which bucket: said by the URL, by Sentinels, or by the nodes of a cluster.

Of several answers the one from the latest epoch counts, so that a Sentinel or a node that was cut off and missed
a failover is outvoted by any that did not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from redis.crc import key_slot
from redis.exceptions import ClusterDownError, RedisError
from redis.exceptions import ConnectionError as Unreached

from gateway.store.address import Kind, Place
from gateway.store.contract import BUCKETS
from gateway.store.keys import tag
from gateway.store.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.store.address import Access, Address
    from gateway.store.wire import Command

ASK_SECONDS = 0.3  # how long the slowest of those asked is waited for
ASK_CONNECTIONS = 4
SLOTS = tuple(key_slot(tag(number).encode()) for number in range(BUCKETS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The primary of each bucket; `others` are servers that may be asked next time."""

    primaries: tuple[Place, ...]
    others: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer; the greatest `epoch` counts."""

    epoch: int
    layout: Layout


class Finder(Protocol):
    """`replicated`: a replica may take the primary's place."""

    replicated: bool

    async def find(self) -> Layout:
        """Where the primaries are now. A `RedisError` when nobody knows."""
        ...

    async def close(self) -> None: ...


def finder(address: Address) -> Finder:
    match address.kind:
        case Kind.SERVER:
            return OneServer(address.places[0])
        case Kind.SENTINEL:
            return Sentinels(address)
        case Kind.CLUSTER:
            return Cluster(address)


class OneServer:
    replicated = False

    def __init__(self, place: Place) -> None:
        self._layout = Layout(primaries=(place,) * BUCKETS)

    async def find(self) -> Layout:
        return self._layout

    async def close(self) -> None: ...


class Sentinels:
    replicated = True

    def __init__(self, address: Address) -> None:
        self._service = address.service
        self._asked = _Asked(address.places, address.sentinel)

    async def find(self) -> Layout:
        asked = ("SENTINEL MASTER", self._service), ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        answers = await self._asked.all(asked)
        said = [_by_sentinel(state, at) for state, at in answers.values() if isinstance(state, dict)]
        return _latest(said, Unreached("no Sentinel knows a primary"))

    async def close(self) -> None:
        await self._asked.close()


def _by_sentinel(state: dict[str, Any], at: list[bytes]) -> Said:
    """A primary that this Sentinel itself holds to be down is told of only when nobody knows a better one. `at` is
    where it sends clients: while it carries out a failover, that is the new primary before `state` says so."""
    place = Place(host=at[0].decode(), port=int(at[1]))
    replaced = (state["ip"], state["port"]) != (place.host, place.port)
    doubtful = (state["is_sdown"] or state["is_odown"]) and not replaced
    return Said(epoch=-1 if doubtful else state["config-epoch"], layout=Layout(primaries=(place,) * BUCKETS))


class Cluster:
    replicated = True

    def __init__(self, address: Address) -> None:
        self._seeds = frozenset(address.places)
        self._asked = _Asked(self._seeds, address.access)

    async def find(self) -> Layout:
        answers = await self._asked.all((("CLUSTER INFO",), ("CLUSTER SLOTS",)))
        said = [
            Said(epoch=int(info["cluster_current_epoch"]), layout=layout)
            for place, (info, slots) in answers.items()
            if isinstance(info, dict) and info["cluster_state"] == "ok" and (layout := _by_slots(slots, place))
        ]
        layout = _latest(said, ClusterDownError("no node knows where all buckets are"))
        await self._asked.among(self._seeds | set(layout.primaries) | layout.others)
        return layout

    async def close(self) -> None:
        await self._asked.close()


def _by_slots(slots: Any, asked: Place) -> Layout | None:  # noqa: ANN401 -- the client library's own lists
    """None unless every bucket has a primary."""
    if not isinstance(slots, list):
        return None
    owners: dict[int, Place] = {}
    others: set[Place] = set()
    for first, last, *servers in slots:
        places = [_place(host, port, asked) for host, port, *_ in servers]
        owners |= {number: places[0] for number, slot in enumerate(SLOTS) if first <= slot <= last}
        others |= set(places)
    if len(owners) < BUCKETS:
        return None
    return Layout(primaries=tuple(owners[number] for number in range(BUCKETS)), others=frozenset(others))


def _place(host: bytes | None, port: int, asked: Place) -> Place:
    """A node that was not told its own name is where it was asked."""
    return Place(host=host.decode() if host and host != b"?" else asked.host, port=port)


def _latest(said: Iterable[Said], otherwise: RedisError) -> Layout:
    latest = max(said, key=lambda one: one.epoch, default=None)
    if latest is None:
        raise otherwise
    return latest.layout


class _Asked:
    """Servers that are all asked at once; who does not answer in time is left out."""

    def __init__(self, places: Iterable[Place], access: Access) -> None:
        self._access = access
        self._nodes = {place: self._node(place) for place in places}

    def _node(self, place: Place) -> Node:
        return Node(place, self._access, connections=ASK_CONNECTIONS)

    async def all(self, commands: tuple[Command, ...]) -> dict[Place, list[Any]]:
        tasks = {place: asyncio.ensure_future(node.send(commands)) for place, node in self._nodes.items()}
        await asyncio.wait(tasks.values(), timeout=ASK_SECONDS)
        return {place: task.result() for place, task in tasks.items() if _answered(task)}

    async def among(self, places: Iterable[Place]) -> None:
        """From now on these are asked."""
        wanted = set(places)
        for place in self._nodes.keys() - wanted:
            await self._nodes.pop(place).retire()
        self._nodes |= {place: self._node(place) for place in wanted - self._nodes.keys()}

    async def close(self) -> None:
        await self.among(())


def _answered(task: asyncio.Task[list[Any]]) -> bool:
    """A late one goes on by itself; its outcome is taken, or the loop would complain that nobody did."""
    if not task.done():
        task.add_done_callback(lambda late: late.exception())
        return False
    return not isinstance(task.exception(), RedisError | OSError)
