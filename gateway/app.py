"""The composition root: settings in, a running gateway out. The only place that knows every part."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gateway
from gateway import logs, renewal, tracing
from gateway.admission import Admission
from gateway.audit.entry import EntryType
from gateway.audit.journal import Journal
from gateway.auth.notices import slug
from gateway.clock import Clock
from gateway.describe import Scribe
from gateway.elsewhere import Elsewhere
from gateway.evidence import Policy
from gateway.heal import Healer
from gateway.ledger import Ledger
from gateway.live import Live
from gateway.metrics import Metrics
from gateway.model import Device, Vendor
from gateway.reconcile import Reconciler
from gateway.recorders import Recorders
from gateway.renewal import Certificates
from gateway.routing import Route
from gateway.service import Service, tools
from gateway.service.claims import ClaimBook
from gateway.service.dated import Dated
from gateway.service.tools import Tools
from gateway.store.contract import StoreUnavailable
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore
from gateway.store.seals import SealStore
from gateway.store.skew import Skew
from gateway.store.watch import StoreWatch
from gateway.trail import access
from gateway.trail.register import Register
from gateway.trail.sealer import Sealer
from gateway.trail.watch import Watch
from gateway.values import key_bytes
from gateway.web.admin import build_admin
from gateway.web.app import build_app
from gateway.web.door import Door
from gateway.web.reception import Rules
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import web

    from gateway.audit.device import Recalled
    from gateway.auth.notices import Notices
    from gateway.metrics import Page
    from gateway.model import Redaction
    from gateway.reload import Configuration
    from gateway.settings import Settings
    from gateway.store.contract import Store
    from gateway.tracing import Tracer

_log = logs.get("gateway")

SHUTDOWN_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class Running:
    """A gateway that serves. `port` and `admin_port` are the real ones; `ready` is True from when requests are taken
    until it is to stop. `counted` gives its metrics, for who accepts this."""

    port: int
    admin_port: int
    counted: Callable[[str], Awaitable[Page]]
    ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """The place of one worker among several: the port that it shares, and the store where that is not its own to start
    ("": as configured). It has no admin port: its keeper answers there."""

    port: int
    store: str = ""


@asynccontextmanager
async def running(
    settings: Settings, configuration: Configuration | None = None, post: Post | None = None
) -> AsyncIterator[Running]:
    """Serve while the block runs; at its end the work under way is finished. Who may call follows `configuration`
    as it changes, the rest is as `settings` have it. `post`: as one of several.

    Raises `StoreUnfit` for a store that must not be used, `StoreUnavailable` when the embedded one does not start,
    `ConfigurationError` for spans without what makes them.
    """
    async with AsyncExitStack() as stack:
        clock = Clock()
        tracer = await stack.enter_async_context(tracing.traced(settings.tracing, node=_node()))
        metrics = _metrics(settings, tracer)
        raw = await _store(settings, post, stack)
        watch = StoreWatch(raw, node=_node(), metrics=metrics)
        await stack.enter_async_context(watch.watching())
        await stack.enter_async_context(Skew(raw, clock=clock, metrics=metrics).watching())
        journal = _journal(settings, clock, metrics)
        recalled = await journal.open()
        stack.push_async_callback(journal.close)
        parts = _tools(settings, watch.store, clock, metrics, journal)
        recall = _recall(parts)
        recall(recalled)
        journal.recalled = recall
        parts.ledger.catchup.claim = _claim(parts)
        stack.push_async_callback(parts.recorders.close)
        healer = Healer(parts.ledger, journal, watch, raw, scribe=parts.scribe)
        watch.reached = healer.wake
        await stack.enter_async_context(healer.healing())
        register = await stack.enter_async_context(_sealed(settings, raw, clock, metrics))
        admission = Admission(settings, register=register, metrics=metrics, node=_node(), ms=clock.ms)
        stack.push_async_callback(admission.notices.process, EntryType.GATEWAY_STOPPED)
        reconciler = Reconciler(parts, watch.store, Dated(parts), node=_node())
        await stack.enter_async_context(reconciler.working())
        backends = parts.recorders.backends.values()
        await stack.enter_async_context(parts.listening.listening(backends, reconciler.nudge))
        await stack.enter_async_context(admission.working(raw, configuration))
        certificates = Certificates(settings, metrics=metrics, told=admission.notices.changed)
        await stack.enter_async_context(certificates.followed())
        _noticed(admission.notices, watch, journal, parts.recorders)
        elsewhere = Elsewhere(parts.ledger, lands_before=parts.sharing.lands_before)
        await stack.enter_async_context(elsewhere.looked_up())
        live = Live(told=elsewhere.heard)
        await stack.enter_async_context(live.hearing(watch.store))
        state = Running(port=0, admin_port=0, counted=metrics.scraped)
        if post is None:
            state.admin_port = await stack.enter_async_context(_admin(settings, state))
        app = _public(settings, parts, watch.store, live, admission)
        state.port = await stack.enter_async_context(listening(app, _bind(settings, certificates, post)))
        await admission.notices.process(EntryType.GATEWAY_STARTED)
        state.ready = True
        _told(state, post, stack)
        try:
            yield state
        finally:
            state.ready = False
            live.end()


def _metrics(settings: Settings, tracer: Tracer) -> Metrics:
    vendors = {name: Vendor(backend.vendor) for name, backend in settings.backends.items()}
    plaintext = [name for name, backend in settings.backends.items() if backend.plaintext]
    metrics = Metrics(
        vendors,
        version=gateway.__version__,
        plaintext=plaintext,
        certificates=renewal.named(settings),
        tracer=tracer,
    )
    metrics.store_plaintext(allowed=settings.store.plaintext)
    return metrics


def _told(state: Running, post: Post | None, stack: AsyncExitStack) -> None:
    name = "gateway" if post is None else "worker"
    admin = {"admin_port": state.admin_port} if post is None else {}
    _log.info(f"{name}.started", port=state.port, **admin, version=gateway.__version__)
    stack.callback(_log.info, f"{name}.stopped")


async def _store(settings: Settings, post: Post | None, stack: AsyncExitStack) -> RedisStore:
    url = post.store if post is not None and post.store else settings.store.url.get_secret_value()
    if settings.store.embedded and post is None:
        server = EmbeddedServer(settings.store.directory)
        await server.start()
        stack.push_async_callback(server.stop)
        url = server.url
    store = RedisStore(url, strict=settings.production, replicas=settings.store.replicas_to_wait_for)
    stack.push_async_callback(store.close)
    return store


def _journal(settings: Settings, clock: Clock, metrics: Metrics) -> Journal:
    directory = settings.store.directory / "journal"
    return Journal(directory, key=key_bytes(settings.audit.hmac_key), ms=clock.ms, metrics=metrics)


def _noticed(notices: Notices, watch: StoreWatch, journal: Journal, recorders: Recorders) -> None:
    """What the gateway depends on goes and comes: that is in the trail."""

    def heard(device: Device) -> Callable[[bool, str | None, int | None], None]:
        return lambda up, reason, away_ms: notices.device(device, up=up, reason=slug(reason), away_ms=away_ms)

    watch.changed, journal.changed = heard(Device.STORE), heard(Device.JOURNAL)
    for device, up in ((Device.STORE, watch.up), (Device.JOURNAL, journal.up)):
        if not up:
            notices.device(device, up=False)
    recorders.tell(lambda backend, up, away_ms: notices.recorder(backend, up=up, away_ms=away_ms))


@asynccontextmanager
async def _sealed(settings: Settings, store: RedisStore, clock: Clock, metrics: Metrics) -> AsyncIterator[Register]:
    """The trail is sealed and verified while the block runs; gives where entries go that are about no call."""
    keyring, seals = access.keyring(settings.audit), SealStore(store)
    register = Register(seals, hmac_key=keyring.chain.key, metrics=metrics)
    every = settings.audit.seal_seconds
    verification = Watch(seals, keyring, register, node=_node(), clock=clock, metrics=metrics)
    sealer = Sealer(seals, keyring, register, node=_node(), clock=clock, metrics=metrics, seal_seconds=every)
    async with sealer.sealing(verification.found), verification.watching():
        yield register


def _recall(parts: Tools) -> Callable[[Recalled], None]:
    def recall(recalled: Recalled) -> None:
        parts.ledger.local.recall(recalled, lands_before=parts.sharing.lands_before())

    return recall


def _claim(parts: Tools) -> Callable[[Redaction], Awaitable[int]]:
    """A call that was muted while the store was away claims its targets when it is healed."""

    async def claim(redaction: Redaction) -> int:
        claimed = await parts.claims.claim(redaction.key, redaction.recorders, within=tools.STORE_SECONDS)
        if not claimed.sure:
            raise StoreUnavailable("not claimed in time")
        return max(claimed.loose_until, claimed.stood_at)

    return claim


def _tools(settings: Settings, store: Store, clock: Clock, metrics: Metrics, journal: Journal) -> Tools:
    policy = Policy(
        reassert_ms=int(1000 * settings.policy.reassert_seconds),
        deadline_ms=int(1000 * settings.policy.deadline_seconds),
    )
    backends = [backend.build(name) for name, backend in settings.backends.items()]
    ledger = Ledger(
        store,
        hmac_key=key_bytes(settings.audit.hmac_key),
        keep_ms=int(3_600_000 * settings.policy.state_retention_hours),
        clock=clock,
        policy=policy,
        metrics=metrics,
        journal=journal,
    )
    return Tools(
        ledger=ledger,
        claims=ClaimBook(store, ledger),
        recorders=Recorders(
            backends,
            clock=clock,
            metrics=metrics,
            connections={name: backend.max_connections for name, backend in settings.backends.items()},
        ),
        scribe=Scribe(node=_node(), ms=clock.ms, policy=policy),
        clock=clock,
        metrics=metrics,
        settings=tools.Settings(
            deadline_seconds=settings.policy.deadline_seconds,
            policy=policy,
            forgotten_ms=int(1000 * settings.policy.alert_after_seconds),
            routes=tuple(
                Route(
                    backends=route.backends,
                    client=route.match.client,
                    tenant=route.match.tenant,
                    extension=route.match.extension,
                    call_id=route.match.call_id,
                )
                for route in settings.routes
            ),
            optional=frozenset(name for name, backend in settings.backends.items() if backend.optional),
        ),
    )


@asynccontextmanager
async def _admin(settings: Settings, state: Running) -> AsyncIterator[int]:
    app = build_admin(ready=lambda: state.ready, metrics=state.counted)
    listen = settings.listen
    async with listening(app, Bind(host=listen.admin_host, port=listen.admin_port, grace_seconds=1.0)) as port:
        yield port


def _public(settings: Settings, parts: Tools, store: Store, live: Live, admission: Admission) -> web.Application:
    return build_app(
        service=Service(parts, store),
        changes=live,
        authenticator=admission.authenticator,
        door=Door(limits=admission.limits, throttle=admission.throttle, denials=admission.notices),
        meter=parts.metrics,
        clock=parts.clock,
        rules=Rules(
            backends=frozenset(settings.backends),
            needs_actor=admission,
            trusted_proxies=settings.listen.trusted_proxies,
        ),
    )


def _bind(settings: Settings, certificates: Certificates, post: Post | None) -> Bind:
    listen = settings.listen
    return Bind(
        host=listen.host,
        port=listen.port if post is None else post.port,
        reuse_port=post is not None,
        tls=certificates.context,
        grace_seconds=SHUTDOWN_SECONDS,
    )


def _node() -> str:
    """This process, as entries and leases name it."""
    return f"{socket.gethostname()}-{os.getpid()}"
