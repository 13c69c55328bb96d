"""Who is compared, and with what."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench import asks, servers, subject
from bench.asks import Step
from bench.rounds import DELETE, GET, PUT, Contender
from bench.subject import Wish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.asks import Scene
    from bench.rounds import Batch
    from bench.servers import Server
    from bench.subject import Subject

GATEWAY, WORKERS = "gateway", "gateway, 2 workers"
STOCK, STOCKS = "thin aiohttp + redis-py", "thin aiohttp + redis-py, 2 processes"
NODE, DIRECT, BARE = "thin Node fastify", "vendor, direct", "store, bare script"
DISK, UNSYNCED = "gateway, disk", "gateway, disk, no fsync"
BARE_DISK, BARE_UNSYNCED = "store on disk, bare script", "store on disk, bare script, no fsync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where all runs: the core of those whose time counts, the core of what they need, a directory in memory and one
    on a disk."""

    mine: int | None
    others: int | None
    home: Path
    disk: Path


@contextmanager
def contenders(ground: Ground, *, with_node: bool, whole: bool) -> Iterator[dict[str, Contender]]:
    """All of them, running; if not `whole`, one gateway and the thin service beside it."""
    with ExitStack() as stack:
        vendor = stack.enter_context(servers.vendor(ground.home, core=ground.others))
        stores = {GATEWAY: stack.enter_context(servers.store(ground.home / "store", core=ground.others))}
        for name, fsync in ((DISK, "always"), (UNSYNCED, "no")) if whole else ():
            stores[name] = stack.enter_context(servers.store(ground.disk / fsync, core=ground.others, fsync=fsync))
        found = [_direct(vendor), *(_bare(_BARE[name], store) for name, store in stores.items())]
        for name, wish in _wishes(stores, vendor, workers=whole).items():
            home = (ground.disk if name in {DISK, UNSYNCED} else ground.home) / f"gateway-{len(found)}"
            found.append(_gateway(name, stack.enter_context(subject.gateway(home, wish, core=ground.mine))))
        start = partial(servers.stock, ground.home, stores[GATEWAY].port, vendor.ports, core=ground.mine)
        found.append(_thin(STOCK, stack.enter_context(start())))
        if whole:
            first = stack.enter_context(start())
            found.append(_thin(STOCKS, first, stack.enter_context(start(port=first.port))))
        if with_node:
            server = servers.node(ground.home, stores[GATEWAY].port, vendor.ports, core=ground.mine)
            found.append(_thin(NODE, stack.enter_context(server)))
        yield {contender.name: contender for contender in found}


_BARE = {GATEWAY: BARE, DISK: BARE_DISK, UNSYNCED: BARE_UNSYNCED}


def _wishes(stores: dict[str, Server], vendor: Server, *, workers: bool) -> dict[str, Wish]:
    """A store that forgets is refused in production: the one without fsync has a gateway in development before it."""
    wishes = {
        name: Wish(store=store.port, vendors=vendor.ports, production=name != UNSYNCED)
        for name, store in stores.items()
    }
    if workers:
        wishes[WORKERS] = Wish(store=stores[GATEWAY].port, vendors=vendor.ports, workers=2)
    return wishes


def _gateway(name: str, subject: Subject) -> Contender:
    ports = (subject.port, subject.port)
    return Contender(name=name, ports=ports, batches=partial(_asked, subject), pids=lambda: subject.pids)


def _asked(subject: Subject, scene: Scene, count: int) -> Iterator[Batch]:
    calls = asks.fresh(scene, count)
    for method in (PUT, GET, DELETE):
        yield method, [asks.at_gateway(method, scene, call, subject.key) for call in calls]


def _thin(name: str, *servers: Server) -> Contender:
    """One process, or several on one port."""
    port, pids = servers[0].port, [server.popen.pid for server in servers]

    def put(scene: Scene, count: int) -> Iterator[Batch]:
        yield PUT, [asks.at_gateway(PUT, scene, call, "rgw_none") for call in asks.fresh(scene, count)]

    return Contender(name=name, ports=(port, port), batches=put, pids=lambda: pids)


def _direct(vendor: Server) -> Contender:
    def put(scene: Scene, count: int) -> Iterator[Batch]:
        yield PUT, [asks.at_vendor(call) for call in asks.fresh(scene, count)]

    quick, slow = vendor.ports
    return Contender(name=DIRECT, ports=(quick, slow), batches=put)


def _bare(name: str, store: Server) -> Contender:
    def step(scene: Scene, count: int) -> Iterator[Batch]:
        yield "FCALL", [Step(call=call, revision=1).wire() for call in asks.fresh(scene, count)]

    return Contender(name=name, ports=(store.port, store.port), batches=step, store=True)
