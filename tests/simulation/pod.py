"""One gateway process: the product's own parts, put together as in production, on simulated devices."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client import SimStore, Way
from deck import SimBackend
from disk import SimJournal
from virtual import EPOCH_MS, OWNER

from gateway.clock import Clock
from gateway.describe import Scribe
from gateway.elsewhere import Elsewhere
from gateway.evidence import Policy
from gateway.heal import Healer
from gateway.ledger import Ledger
from gateway.live import Live
from gateway.metrics import Metrics, Outcome
from gateway.model import Vendor
from gateway.reconcile import Reconciler
from gateway.recorders import Recorders
from gateway.routing import Route
from gateway.service import Service
from gateway.service.claims import ClaimBook
from gateway.service.dated import Dated
from gateway.service.tools import STORE_SECONDS, Settings, Tools
from gateway.store.contract import StoreUnavailable
from gateway.store.watch import StoreWatch

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from deck import Deck, Weather
    from disk import Disk
    from vault import Vault

    from gateway.audit.device import Recalled
    from gateway.model import Device, Redaction

POLICY = Policy(reassert_ms=5_000, deadline_ms=2_500)
HMAC_KEY = bytes(32)


class _Uncounted(Metrics):
    """Nobody reads the figures of a run: what is dear or often is left out."""

    def open_redactions(self, *_: object, **__: object) -> None: ...

    def store_request(self, seconds: float) -> None: ...

    def store(self, *, is_up: bool) -> None: ...

    def device(self, device: Device, *, is_up: bool) -> None: ...

    def gap(self, entries: int) -> None: ...

    @contextmanager
    def backend_request(self, backend: str, vendor: str, action: str) -> Iterator[Outcome]:
        del backend, vendor, action
        yield Outcome()


METRICS = _Uncounted({"one": Vendor.VERBA, "two": Vendor.VERBA}, version="0")


@dataclass(slots=True, kw_only=True)
class Scene:
    """What all pods share."""

    vault: Vault
    decks: Sequence[Deck]
    weathers: Sequence[Weather]
    chance: random.Random


class Pod:
    """`skew_ms` is how far its clock is ahead. After `crash` everything it was doing is gone; `start` begins anew
    with what is on its disk."""

    def __init__(self, name: str, scene: Scene, disk: Disk, *, skew_ms: int) -> None:
        self.name = name
        self.scene = scene
        self.disk = disk
        self.skew_ms = skew_ms
        self.way = Way()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.service: Service | None = None
        self.tools: Tools | None = None

    def ms(self) -> int:
        return EPOCH_MS + int(1000 * asyncio.get_running_loop().time()) + self.skew_ms

    async def start(self) -> None:
        old, self.way = self.way, Way()
        self.way.cut, self.way.silent, self.way.lossy, self.way.slow = old.cut, old.silent, old.lossy, old.slow
        self.tasks = set()
        context = copy_context()
        context.run(OWNER.set, self)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().create_task(self._live(ready), context=context)
        await ready

    def crash(self) -> None:
        self.way.dead = True
        self.service = None
        for task in list(self.tasks):
            task.cancel()
        self.disk.lose_power()

    async def _live(self, ready: asyncio.Future[None]) -> None:
        async with AsyncExitStack() as stack:
            clock = Clock(ms=self.ms)
            raw = SimStore(self.scene.vault, self.way, self.scene.chance)
            watch = StoreWatch(raw, node=self.name, metrics=METRICS)
            await stack.enter_async_context(watch.watching())
            journal = SimJournal(self.disk, self.way, key=HMAC_KEY, ms=self.ms, metrics=METRICS)
            recalled = await journal.open()
            tools = self._tools(watch, journal, clock)
            recall = _recall(tools)
            recall(recalled)
            journal.recalled = recall
            tools.ledger.catchup.claim = _claim(tools)
            healer = Healer(tools.ledger, journal, watch, raw, scribe=tools.scribe)
            watch.reached = healer.wake
            await stack.enter_async_context(healer.healing())
            elsewhere = Elsewhere(tools.ledger, lands_before=tools.sharing.lands_before)
            await stack.enter_async_context(elsewhere.looked_up())
            await stack.enter_async_context(Live(told=elsewhere.heard).hearing(watch.store))
            reconciler = Reconciler(tools, watch.store, Dated(tools), node=self.name)
            await stack.enter_async_context(reconciler.working())
            await stack.enter_async_context(
                tools.listening.listening(tools.recorders.backends.values(), reconciler.nudge)
            )
            self.service, self.tools = Service(tools, watch.store), tools
            ready.set_result(None)
            await asyncio.get_running_loop().create_future()

    def _tools(self, watch: StoreWatch, journal: SimJournal, clock: Clock) -> Tools:
        ledger = Ledger(
            watch.store,
            hmac_key=HMAC_KEY,
            keep_ms=3_600_000,
            clock=clock,
            policy=POLICY,
            metrics=METRICS,
            journal=journal,
        )
        backends = [
            SimBackend(deck, weather, self.way, self.scene.chance, tells=bool(place))
            for place, (deck, weather) in enumerate(zip(self.scene.decks, self.scene.weathers, strict=True))
        ]
        return Tools(
            ledger=ledger,
            claims=ClaimBook(watch.store, ledger),
            recorders=Recorders(backends, clock=clock, metrics=METRICS),
            scribe=Scribe(node=self.name, ms=self.ms, policy=POLICY),
            clock=clock,
            metrics=METRICS,
            settings=Settings(
                deadline_seconds=2.5,
                policy=POLICY,
                routes=(Route(backends=("one", "two")),),
                optional=frozenset(),
            ),
        )


def _recall(tools: Tools) -> Callable[[Recalled], None]:
    return lambda recalled: tools.ledger.local.recall(recalled, lands_before=tools.sharing.lands_before())


def _claim(tools: Tools) -> Any:  # noqa: ANN401 -- as the catch-up has it
    async def claim(redaction: Redaction) -> int:
        claimed = await tools.claims.claim(redaction.key, redaction.recorders, within=STORE_SECONDS)
        if not claimed.sure:
            raise StoreUnavailable("not claimed in time")
        return max(claimed.loose_until, claimed.stood_at)

    return claim
