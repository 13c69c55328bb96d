"""The process that was started: owns what there is once, keeps the workers, answers on the admin port for all of them.

It takes no requests. A worker that dies is started again; where they die one after the other, or one does not come up
at the start, all end, and whoever started the gateway sees the status: it is not hidden that something is wrong.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

import gateway
from gateway.beside import beside
from gateway.crew.member import STOP_SECONDS, Member
from gateway.crew.merge import merged, read
from gateway.metrics import CONTENT_TYPE, Page
from gateway.store.embedded import EmbeddedServer
from gateway.web.admin import build_admin
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from gateway.settings import Settings

_log = structlog.stdlib.get_logger("gateway")

DEATHS = 5  # in so many seconds: then it is no accident
DEATHS_SECONDS = 60.0
LOOK_SECONDS = 5.0  # at most so much of what a worker has counted is lost with it


class Keeper:
    """`command` starts a worker; it is given the store's URL (empty: as configured), the port, `turn` (the file that
    is held while a line of the log is written), and its line."""

    def __init__(self, settings: Settings, command: Sequence[str], *, turn: int) -> None:
        self._settings = settings
        self._command = command
        self._turn = turn
        self._members: list[Member] = []
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._changed = asyncio.Event()
        self._failed: int | None = None
        self._started = False
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop`, or until the workers cannot be kept; the exit status."""
        async with AsyncExitStack() as stack:
            url = await self._store(stack)
            port = stack.enter_context(_held(self._settings.listen.host, self._settings.listen.port))
            admin_port = await stack.enter_async_context(self._admin())
            await stack.enter_async_context(self._working([*self._command, url, str(port), str(self._turn)]))
            await stack.enter_async_context(beside(self._look()))
            told = asyncio.create_task(stop.wait())
            await self._until(told, lambda: self.ready)
            if self.ready and not told.done():
                self._started = True
                version, workers = gateway.__version__, len(self._members)
                _log.info("gateway.started", port=port, admin_port=admin_port, workers=workers, version=version)
                await self._until(told, lambda: False)
            told.cancel()
        if self._started:
            _log.info("gateway.stopped")
        return self._failed or 0

    @property
    def ready(self) -> bool:
        """Every worker takes requests."""
        return bool(self._members) and all(member.ready for member in self._members)

    async def counted(self, _accept: str = "") -> Page:
        """In the plain text format, whatever is accepted: that of exemplars is each worker's own."""
        found = await asyncio.gather(*(member.counted() for member in self._members))
        own = read(generate_latest(self._own).decode())
        body = await asyncio.to_thread(lambda: merged([*found, own]).render())
        return Page(body=body, content_type=CONTENT_TYPE)

    async def _store(self, stack: AsyncExitStack) -> str:
        """The embedded store is one for all, and outlives each of them."""
        if not self._settings.store.embedded:
            return ""
        server = EmbeddedServer(self._settings.store.directory)
        await server.start()
        stack.push_async_callback(server.stop)
        return server.url

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[int]:
        listen = self._settings.listen
        app = build_admin(ready=lambda: self.ready, metrics=self.counted)
        async with listening(app, Bind(host=listen.admin_host, port=listen.admin_port, grace_seconds=1.0)) as port:
            yield port

    @asynccontextmanager
    async def _working(self, command: Sequence[str]) -> AsyncIterator[None]:
        numbers = range(1, self._settings.listen.workers + 1)
        self._members = [
            Member(one, command, files=(self._turn,), turned=self._changed.set, died=self._died) for one in numbers
        ]
        keeping = [asyncio.create_task(member.keep()) for member in self._members]
        try:
            yield
        finally:
            for member in self._members:
                member.end()
            await asyncio.wait(keeping, timeout=2 * STOP_SECONDS)

    async def _look(self) -> None:
        """What a worker had counted is known when it is gone."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.gather(*(member.counted() for member in self._members))

    async def _until(self, told: asyncio.Task[bool], true: Callable[[], bool]) -> None:
        """Until `true`, told to stop, or failed."""
        while not (true() or told.done() or self._failed is not None):
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait({told, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()

    def _died(self, code: int) -> None:
        """One that never came up has said why: its status is ours."""
        now = asyncio.get_running_loop().time()
        self._deaths.append(now)
        if not self._started:
            self._failed = code if code > 0 else 1
        elif len(self._deaths) == DEATHS and now - self._deaths[0] < DEATHS_SECONDS:
            _log.error("workers.unkept", deaths=DEATHS)
            self._failed = 1
        self._changed.set()


@contextmanager
def _held(host: str, port: int) -> Iterator[int]:
    """The port, kept for the workers: bound and not listened on. `OSError` where somebody else listens."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, kind) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(address)  # without sharing: fails beside whoever listens, were it another gateway of this user
    with socket.socket(family, kind) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        number: int = held.getsockname()[1]
        yield number
