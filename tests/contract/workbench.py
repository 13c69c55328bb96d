"""A gateway before every vendor's fake, on real sockets, and the questions that every scenario asks of both."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import logging
import re
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import structlog
from lines import VARIANTS, Line, Mode

from gateway import logs, settings
from gateway.app import running
from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.model import Parties
from gateway.sandbox.desk import CARD_NUMBER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from gateway.sandbox.desk import Fake, FakeCall, Operation

DEADLINE_SECONDS = 2.0
VENDOR_SECONDS = 0.8
PATIENCE_SECONDS = 15.0
TENANTS = {"crm": "acme", "ivr": "acme", "stranger": "globex"}
_SHUT = re.compile(r'^backend_circuit_open\{backend="(\w+)"\} 1', re.MULTILINE)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, and the nanoseconds since the epoch between which it was made."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: int
    received_at: int

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever came over the wire
        return orjson.loads(self.body)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def store_was_slow(self) -> bool:
        return self.status == 503 and self.json["code"] == "store-unavailable"

    @property
    def document(self) -> Any:  # noqa: ANN401 -- as json
        """The redaction, wherever the answer has it."""
        return self.json if self.ok else self.json.get("redaction")

    @property
    def protected(self) -> bool:
        return bool(self.document and self.document["protected"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A call at one or more recorders, and what a client says to have it found."""

    path_id: str
    body: Mapping[str, object]
    calls: Mapping[str, FakeCall]

    @property
    def call(self) -> FakeCall:
        (call,) = self.calls.values()
        return call


@dataclass(kw_only=True)
class Bench:
    lines: Mapping[str, Line]
    port: int
    admin_port: int
    keys: Mapping[str, str]
    session: aiohttp.ClientSession
    log: io.StringIO
    redacted: dict[tuple[str, str], None] = field(default_factory=dict)

    # Calls

    def place(self, names: str | Iterable[str], mode: Mode = "id", **said: object) -> Placed:
        """A new call at these recorders; by id in the path, by an extension, or by one target for each."""
        number = next(_numbers)
        chosen = [names] if isinstance(names, str) else list(names)
        call_id, extension = f"c{number:06}", str(30_000 + number)
        calls = {name: self.lines[name].fake.add_call(call_id, extension=extension) for name in chosen}
        where: dict[str, object] = {"extension": extension} if mode == "extension" else {}
        path_id = call_id if mode == "id" else f"ref-{number}"
        return Placed(path_id=path_id, body={"backends": chosen, **where, **said}, calls=calls)

    def join(self, placed: Placed, name: str) -> FakeCall:
        """One more call on the same extension."""
        extension = placed.calls[name].extension
        return self.lines[name].fake.add_call(f"c{next(_numbers):06}", extension=extension)

    # Requests

    async def put(self, placed: Placed, client: str = "crm", **said: object) -> Reply:
        return await self.ask("PUT", placed.path_id, {**placed.body, **said}, client=client)

    async def post(self, placed: Placed, action: str, client: str = "crm", **said: object) -> Reply:
        body = {"action": action, **placed.body, **said}
        return await self.ask("POST", placed.path_id, body, client=client)

    async def delete(self, placed: Placed, query: str = "", client: str = "crm") -> Reply:
        return await self.ask("DELETE", placed.path_id, query=query, client=client)

    async def release(self, placed: Placed) -> Reply:
        """DELETE, repeated as long as nothing was sent because the gateway itself is busy with the call."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (reply := await self.delete(placed)).status == 503:
                pass
        return reply

    async def hold(self, placed: Placed) -> Reply:
        """PUT, repeated as long as a circuit is open: what hung in the test before may fail only now."""
        reply = await self.put(placed)
        for _ in range(round(PATIENCE_SECONDS / 0.1)):
            if reply.status not in {503, 504}:
                break
            await asyncio.sleep(0.1)
            reply = await self.put(placed)
        return reply

    async def get(self, placed: Placed, query: str = "", client: str = "crm") -> Reply:
        return await self.ask("GET", placed.path_id, query=query, client=client)

    async def ask(
        self, method: str, path_id: str, body: Mapping[str, object] | None = None, *, query: str = "", client: str
    ) -> Reply:
        """One request; again after a moment where the store was too slow, which says that nothing has happened."""
        if method in {"PUT", "POST"}:
            self.redacted[path_id, client] = None
        url = f"http://127.0.0.1:{self.port}/v1/calls/{path_id}/redaction{query}"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (reply := await self._sent(method, url, body, client)).store_was_slow:
                await self.ready()
        return reply

    async def _sent(self, method: str, url: str, body: Mapping[str, object] | None, client: str) -> Reply:
        headers = {"X-API-Key": self.keys[client], "Content-Type": "application/json"}
        data = None if body is None else orjson.dumps(body)
        sent_at = time.time_ns()
        async with self.session.request(method, url, data=data, headers=headers) as response:
            content = await response.read()
            received_at = time.time_ns()
        return Reply(
            status=response.status,
            headers=response.headers,
            body=content,
            sent_at=sent_at,
            received_at=received_at,
        )

    async def metrics(self) -> str:
        async with self.session.get(f"http://127.0.0.1:{self.admin_port}/metrics") as response:
            return await response.text()

    # The wire

    def sent(self, name: str, placed: Placed, operation: Operation | None = None) -> int:
        """How many requests about this call its recorder got."""
        return sum(
            1
            for request in self.lines[name].fake.requests
            if operation in {None, request.operation} and _about(request.raw_path.encode() + request.body, placed)
        )

    def resumes(self, name: str, placed: Placed) -> int:
        """How many commands to put the recording on again this call's recorder got."""
        line = self.lines[name]
        return sum(
            1
            for request in line.fake.sent("command")
            if line.resumes(request) and _about(request.raw_path.encode() + request.body, placed)
        )

    # Secrets

    def secrets(self) -> list[str]:
        """Every secret that the gateway got from its configuration, its clients and its vendors."""
        own = [key.split("_")[2] for key in self.keys.values()]
        return [CARD_NUMBER, *own, *(secret for line in self.lines.values() for secret in line.secrets())]

    def leaks(self, *texts: str) -> list[str]:
        return [secret for secret in self.secrets() for text in texts if secret in text]

    async def tidy(self) -> None:
        """Nothing of one test is left for the next: faults are over, circuits closed, calls and redactions gone."""
        for line in self.lines.values():
            line.fake.heal()
        await self._close_circuits()
        asks = (self.ask("DELETE", path, query="?force=true", client=client) for path, client in self.redacted)
        await asyncio.gather(*asks)
        self.redacted.clear()
        for line in self.lines.values():
            for call in line.fake.ongoing():
                line.fake.end_call(call.call_id)

    async def ready(self) -> None:
        """The gateway serves before it has made sure of the store; here the store is part of every scenario."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "\nstore_up 1" not in await self.metrics():  # noqa: ASYNC110 -- metrics tell nobody when they change
                await asyncio.sleep(0.02)

    async def _close_circuits(self) -> None:
        """A vendor that is well again is found out by the background's next try for whatever is still open."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while shut := _SHUT.findall(await self.metrics()):
                await asyncio.gather(*(self.put(self.place(name)) for name in shut))
                await asyncio.sleep(0.1)


def _about(wire: bytes, placed: Placed) -> bool:
    """A numbered id or extension of this call is in the request, or, for a vendor's own list, the call is."""
    words = {word for call in placed.calls.values() for word in (call.call_id, call.extension)}
    return any(word.encode() in wire for word in words)


def silent(call: FakeCall, *, since: int, until: int, parties: Parties = Parties.BOTH) -> bool:
    return call.tape.silent(parties, since=since, until=until)


def recorded(call: FakeCall, *, at: int) -> bool:
    """Both parties are on the tape at that moment."""
    return all(call.tape.recorded(party, since=at, until=at) for party in (Parties.CALLER, Parties.CALLED))


def muted_now(call: FakeCall, parties: Parties = Parties.BOTH) -> bool:
    now = time.time_ns()
    return silent(call, since=now, until=now, parties=parties)


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is so; `TimeoutError` when it never gets so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 -- a tape tells nobody when it changes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def benched(directory: Path) -> AsyncIterator[Bench]:
    """Every variant of every vendor behind one gateway with the embedded store; its log is captured unmasked."""
    async with AsyncExitStack() as stack:
        fakes = {name: variant.make() for name, variant in VARIANTS.items()}
        for fake in fakes.values():
            await fake.start()
            stack.push_async_callback(fake.stop)
        keys, tree = _tree(fakes, directory)
        parsed = settings.parse(tree)
        log = stack.enter_context(io.StringIO())
        stack.callback(_quiet)
        logs.configure(production=True, stream=log)
        state = await stack.enter_async_context(running(parsed))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        lines = {name: await _line(name, fakes[name], parsed) for name in VARIANTS}
        bench = Bench(lines=lines, port=state.port, admin_port=state.admin_port, keys=keys, session=session, log=log)
        await bench.ready()
        yield bench
        await bench.tidy()


def _quiet() -> None:
    """Logging as it was before: nobody's."""
    logging.getLogger().handlers = []
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


async def _line(name: str, fake: Fake, parsed: settings.Settings) -> Line:
    """What the configured backend says that it can."""
    backend = parsed.backends[name].build(name)
    capabilities = backend.capabilities
    await backend.close()
    return Line(name=name, fake=fake, capabilities=capabilities, variant=VARIANTS[name])


def _tree(fakes: Mapping[str, Fake], directory: Path) -> tuple[dict[str, str], dict[str, object]]:
    pepper = secrets.token_bytes(32)
    minted = {client: mint(secrets.token_bytes) for client in TENANTS}
    clients = {
        client: {
            "tenant": TENANTS[client],
            "scopes": list(Scope),
            "keys": [{"kid": key.kid, "hash": hash_secret(pepper, key.secret)}],
            "requests_per_second": 10_000,
        }
        for client, key in minted.items()
    }
    tree: dict[str, object] = {
        "environment": "development",
        "listen": {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0},
        "store": {"url": "embedded", "directory": str(directory)},
        "policy": {"deadline_seconds": DEADLINE_SECONDS, "reassert_seconds": 0.3},
        "audit": {"pepper": base64.b64encode(pepper).decode()},
        "backends": {name: _backend(name, fake) for name, fake in fakes.items()},
        "routes": [{"backends": list(fakes)}],
        "clients": clients,
    }
    return {client: key.text for client, key in minted.items()}, tree


def _backend(name: str, fake: Fake) -> dict[str, object]:
    said = {**fake.settings(), "timeout_seconds": VENDOR_SECONDS, **VARIANTS[name].settings}
    return {key: value for key, value in said.items() if value is not None}
