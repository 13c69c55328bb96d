"""The public application on a real socket, before a service that does as it is told."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from gateway.asks import Answer, Ask, Code, Control, Mute, Read, Sought, Unmute
from gateway.auth import Authenticator, NoTokens
from gateway.auth.keys import Denied, Reason, hash_secret, mint
from gateway.auth.limits import Limits
from gateway.auth.person import Person
from gateway.auth.scopes import Scope
from gateway.auth.throttle import Throttle
from gateway.clock import Clock
from gateway.live import Live
from gateway.metrics import Metrics
from gateway.model import Principal, Vendor
from gateway.settings import Client, ClientKey
from gateway.view import Document, HoldView, RecorderView, TrailView
from gateway.web.app import build_app
from gateway.web.connection import Patience
from gateway.web.door import Door
from gateway.web.reception import Rules
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from gateway.web.headers import Network

PEPPER = b"p" * 32
NOW = 1_795_251_600_123
CALL = "a8343631-9f35-4a3a-83f0-9e81592339fb"
PATH = f"/v1/calls/{CALL}/redaction"
CARD = "4111111111111111"
RECORDER = RecorderView(
    backend="pbx",
    vendor="voipnow",
    state="muted",
    parties="both",
    evidence="readback",
    observed_at="2026-11-21T09:00:00.123Z",
    error=None,
)
DOCUMENT = Document(
    call_id=CALL,
    protected=True,
    desired="muted",
    state="muted",
    parties="both",
    recorders=(RECORDER,),
    holds=(HoldView(hold="default", client="crm", actor=None, resume_at=None),),
    exposure_ms=143,
    version=3,
    requested_at="2026-11-21T09:00:00.000Z",
    updated_at="2026-11-21T09:00:00.143Z",
    durability="stored",
    audit=TrailView(bucket=17, seq=4711, hash="ab" * 32),
)


async def _muted(_: Ask) -> Answer:
    return Answer(document=DOCUMENT)


@dataclass
class Service:
    """Keeps what it was asked and answers by `act`."""

    asked: list[Ask] = field(default_factory=list)
    act: Callable[[Ask], Awaitable[Answer]] = _muted

    async def mute(self, ask: Mute) -> Answer:
        return await self._done(ask)

    async def unmute(self, ask: Unmute) -> Answer:
        return await self._done(ask)

    async def read(self, ask: Read) -> Answer:
        return await self._done(ask)

    async def control(self, ask: Control) -> Answer:
        return await self._done(ask)

    async def _done(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        return await self.act(ask)

    def fails(self, failure: Exception) -> None:
        async def fail(_: Ask) -> Answer:
            raise failure

        self.act = fail


class Persons(NoTokens):
    """Vouches for one person, whose token is the word ``good``."""

    async def verify(self, token: str, now: object) -> Person | Denied:  # noqa: ARG002 -- as the base class has it
        return Person(subject="jane") if token == "good" else Denied(reason=Reason.TOKEN_INVALID)


@dataclass
class Denials:
    """Who was not let in, and from where."""

    said: list[tuple[Denied, str | None]] = field(default_factory=list)
    sought: list[Sought] = field(default_factory=list)
    never_requests: list[tuple[Code, str | None]] = field(default_factory=list)
    throttled_from: list[str | None] = field(default_factory=list)
    names: list[tuple[str, ...]] = field(default_factory=list)
    cards: list[tuple[str, str | None]] = field(default_factory=list)

    def denied(self, denied: Denied, sought: Sought, *, address: str | None, request_id: str) -> None:
        assert request_id
        self.sought.append(sought)
        self.said.append((denied, address))

    def throttled(self, address: str | None) -> None:
        self.throttled_from.append(address)

    def refused(self, code: Code, *, address: str | None, request_id: str | None) -> None:
        assert request_id != ""
        self.never_requests.append((code, address))

    def card_found(self, principal: Principal, *, names: tuple[str, ...], address: str | None, request_id: str) -> None:
        assert request_id
        self.names.append(names)
        self.cards.append((principal.client, address))


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever came over the wire
        return orjson.loads(self.body)

    @property
    def fields(self) -> list[str]:
        """The places of the faults."""
        return [fault["field"] for fault in self.json["errors"]]


@dataclass
class Front:
    service: Service
    metrics: Metrics
    port: int
    keys: dict[str, str]
    session: aiohttp.ClientSession
    live: Live
    authenticator: Authenticator
    clients: dict[str, Client]
    denials: Denials = field(default_factory=Denials)

    async def ask(
        self,
        method: str,
        path: str = PATH,
        *,
        json: object = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        client: str = "crm",
    ) -> Reply:
        """One request with the client's key; `json` or `data` is the body."""
        content = orjson.dumps(json) if json is not None else data
        said = {"X-API-Key": self.keys[client]} if client else {}
        if content:
            said["Content-Type"] = "application/json"
        url = f"http://127.0.0.1:{self.port}{path}"
        sent = {**said, **(headers or {})}
        async with self.session.request(method, url, data=content, headers=sent) as response:
            return Reply(response.status, response.headers, await response.read())

    async def raw(self, data: bytes) -> bytes:
        """Bytes to the socket as they are; everything that comes back until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def raw_path(self, path: str, method: str = "GET") -> Reply:
        """One request for a path that no client library touches."""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {self.keys['crm']}\r\nConnection: close\r\n\r\n"
        return parsed(await self.raw(head.encode("latin-1")))

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def parsed(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), headers, body)


ALL = frozenset(Scope)
CLIENTS: dict[str, dict[str, Any]] = {
    "crm": {"scopes": ALL},
    "reader": {"scopes": {Scope.READ}},
    "muter": {"scopes": {Scope.MUTE}},
    "unmuter": {"scopes": {Scope.UNMUTE}},
    "controller": {"scopes": {Scope.CONTROL}},
    "nobody": {"scopes": frozenset()},
    "named": {"scopes": ALL, "require_actor": True, "token": "optional"},
    "other": {"scopes": ALL, "tenant": "globex"},
}


@asynccontextmanager
async def fronted(
    *,
    body_seconds: float = 5.0,
    grace_seconds: float = 30.0,
    trusted_proxies: Sequence[Network] = (),
    most_listeners: int = 10,
    per_second: float = 100_000,
    clients: Mapping[str, dict[str, Any]] = CLIENTS,
    patience: Patience | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> AsyncIterator[Front]:
    keys: dict[str, str] = {}
    known: dict[str, Client] = {}
    for name, said in clients.items():
        minted = mint(secrets.token_bytes)
        keys[name] = minted.text
        key = ClientKey(kid=minted.kid, hash=hash_secret(PEPPER, minted.secret))
        known[name] = Client.model_validate({"tenant": "acme", "keys": (key,), **said})
    service, live = Service(), Live(most=most_listeners)
    metrics = Metrics({"pbx": Vendor.VOIPNOW, "verba_eu": Vendor.VERBA}, version="1")
    denials = Denials()
    limits = Limits(dict.fromkeys(known, per_second), now=time.monotonic)
    authenticator = Authenticator(known, PEPPER, Persons())
    app = build_app(
        service=service,
        changes=live,
        authenticator=authenticator,
        meter=metrics,
        clock=Clock(ms=lambda: NOW),
        door=Door(limits=limits, throttle=Throttle(now=time.monotonic), denials=denials),
        rules=Rules(
            backends=frozenset({"pbx", "verba_eu"}),
            needs_actor=frozenset(name for name, client in known.items() if client.require_actor),
            trusted_proxies=trusted_proxies,
            body_seconds=body_seconds,
        ),
    )
    bind = Bind(host="127.0.0.1", grace_seconds=grace_seconds, patience=patience or Patience(), tls=tls)
    jar = aiohttp.DummyCookieJar()
    async with listening(app, bind) as port, aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Front(service, metrics, port, keys, session, live, authenticator, known, denials)
        live.end()


async def until(happened: Callable[[], object]) -> None:
    """Let others run until it has happened."""
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110 -- a log line is no event
            await asyncio.sleep(0.001)
