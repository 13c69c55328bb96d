"""Two gateways, as processes, on one store that fails over under load; the truth is what the recorder's tape has.

Every hold has a name of its own and is asked for and let go once (again only until it was answered), so that each
resumption on the tape can be held against who had a right to silence at that moment.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import secrets
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import orjson
import pytest
from aiohttp import ClientTimeout
from servers import PATIENCE_SECONDS, free_ports, until
from steps import opened
from witness import Claim, claims, false, gaps

from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.model import CallKey, Parties
from gateway.sandbox.verba import VerbaFake
from gateway.store.contract import BUCKETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from servers import Place

    from gateway.auth.keys import MintedKey
    from gateway.sandbox.desk import FakeCall
    from gateway.store.contract import TrailEntry

SCRIPT = Path(sys.executable).parent / "redaction-gateway"
TENANT = "acme"
WORKERS = 5
REQUEST_SECONDS = 6.0
PAUSE_SECONDS = 0.1
Gateway: TypeAlias = "Callable[..., AbstractAsyncContextManager[None]]"
_NO_DIGITS = str.maketrans("0123456789", "ghijklmnop")  # an id that looks like a card number is replaced


@dataclass(kw_only=True)
class Held:
    """One hold: when silence was acknowledged and when it was first asked to end, ns since the epoch."""

    name: str
    acknowledged: int | None = None
    ending: int | None = None
    durability: str = ""
    over: bool = False


@dataclass(kw_only=True)
class Case:
    """One call, and what clients were told about it. `told` are the requests that were said to be written down."""

    tape: FakeCall
    holds: list[Held] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    @property
    def key(self) -> CallKey:
        return CallKey(tenant=TENANT, call_id=self.tape.call_id)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the tapes and the trail say, after all is quiet.

    `wrong_unmutes`: a recording was resumed against a hold that the store had acknowledged. `blind_unmutes`:
    against one that the other gateway had acknowledged from its journal alone, when it had not reached the store
    and this one had; nobody can know of it before it is healed. `wrong_protected`: somebody was told so while the tape
    ran. `reopened`: silent again although everybody let go.
    """

    calls: int
    acknowledged: int
    answers: dict[str, int]
    durabilities: dict[str, int]
    unmutes: int
    wrong_unmutes: list[str]
    blind_unmutes: list[str]
    unprotected: list[str]
    wrong_protected: list[str]
    claims: int
    missing: list[str]
    twice: list[str]
    healed: int
    holes: list[str]
    reopened: int


@dataclass(kw_only=True)
class Fleet:
    place: Place
    recorder: VerbaFake
    ports: list[int]
    admin_ports: list[int]
    key: str
    session: aiohttp.ClientSession
    cases: list[Case] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    durabilities: Counter[str] = field(default_factory=Counter)
    waits_for: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Callers call while the block runs; each finishes what it began."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._caller(stop)) for _ in range(WORKERS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def _caller(self, stop: asyncio.Event) -> None:
        """Two holds taken and let go at whatever gateway comes; every fourth call stays silent."""
        while not stop.is_set():
            number = next(self._numbers)
            case = Case(tape=self.recorder.add_call(f"call-{number}", extension=str(10_000 + number)))
            self.cases.append(case)
            for name in ("first", "second"):
                await self._take(case, Held(name=name))
                await asyncio.sleep(_pause())
            for hold in case.holds[: 1 if number % 4 == 0 else 2]:
                await self._let_go(case, hold)
                await asyncio.sleep(_pause())

    async def watch(self) -> None:
        """Ask about calls of the last seconds until cancelled: what is answered is judged like all else."""
        while True:
            case = secrets.choice(self.cases[-2 * WORKERS :])
            await self._ask("GET", case, case.holds[-1])
            await asyncio.sleep(PAUSE_SECONDS / 2)

    async def _take(self, case: Case, hold: Held) -> None:
        case.holds.append(hold)
        while hold.acknowledged is None:
            status, document = await self._ask("PUT", case, hold)
            if status == 200:
                hold.acknowledged, hold.durability = time.time_ns(), document["durability"]
            else:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _let_go(self, case: Case, hold: Held) -> None:
        """A client repeats its order until it was carried out, or the call is not known any more."""
        while not hold.over:
            hold.ending = hold.ending or time.time_ns()
            status, _ = await self._ask("DELETE", case, hold)
            hold.over = status in {200, 404}
            await asyncio.sleep(0 if hold.over else 2 * PAUSE_SECONDS)

    async def _ask(self, method: str, case: Case, hold: Held) -> tuple[int, Any]:
        """The status, 0 for no answer; what was answered with 2xx must stand in the trail for ever."""
        request_id = secrets.token_hex(16).translate(_NO_DIGITS)
        url = f"http://127.0.0.1:{secrets.choice(self.ports)}/v1/calls/{case.tape.call_id}/redaction"
        body = {"hold": hold.name, "actor": "agent-17"} if method == "PUT" else None
        query = {"hold": hold.name} if method == "DELETE" else None
        headers = {"X-API-Key": self.key, "X-Request-Id": request_id}
        asked = time.time_ns()
        try:
            async with self.session.request(method, url, json=body, params=query, headers=headers) as response:
                document = orjson.loads(await response.read())
        except (TimeoutError, aiohttp.ClientError, orjson.JSONDecodeError):
            self.answers[f"{method} none"] += 1
            return 0, None
        self.answers[f"{method} {response.status} {document.get('code', '')}".strip()] += 1
        case.claims += claims(document, asked=asked, answered=time.time_ns())
        if response.ok and method != "GET":
            if document["durability"] != "none":  # which says itself that it is nowhere
                case.told.append(request_id)
            self.durabilities[f"{method} {document['durability']}"] += 1
        return response.status, document

    async def verdict(self) -> Verdict:
        """Wait until what should be silent is, and what the store lacked has come; then judge."""
        try:
            await until(self._quiet, every=0.5)
        except TimeoutError:
            pytest.fail(f"it did not become quiet: {self.waits_for}")
        entries = await self._trail()
        ids = Counter(one["request_id"] for one in _read(entries) if one["type"].endswith(".intended"))
        written = {one.get("request_id") for one in _read(entries)}
        told = [(case, request) for case in self.cases for request in case.told]
        return Verdict(
            calls=len(self.cases),
            acknowledged=len(told),
            answers=dict(self.answers),
            durabilities=dict(self.durabilities),
            unmutes=sum(len(_resumptions(case)) for case in self.cases),
            wrong_unmutes=[word for case in self.cases for word in _wrong(case, blind=False)],
            blind_unmutes=[word for case in self.cases for word in _wrong(case, blind=True)],
            unprotected=[case.tape.call_id for case in self.cases if _silent(case) and not _muted(case)],
            wrong_protected=[f"{case.tape.call_id} {one}" for case in self.cases for one in _untrue(case)],
            claims=sum(len(case.claims) for case in self.cases),
            missing=[f"{case.tape.call_id} {request}" for case, request in told if request not in written],
            twice=[name for name, count in ids.items() if count > 1],
            healed=sum(1 for one in _read(entries) if one.get("healed")),
            holes=gaps(entry for some in entries.values() for entry in some),
            reopened=sum(1 for case in self.cases if not _silent(case) and _muted(case)),
        )

    async def _quiet(self) -> bool:
        """Both gateways have their store, nothing left to heal, and every claim to silence is proven."""
        self.waits_for = [word for port in self.admin_ports for word in await self._unfinished(port)]
        self.waits_for += [case.tape.call_id for case in self.cases if _silent(case) and not _muted(case)]
        return not self.waits_for

    async def _unfinished(self, port: int) -> list[str]:
        metrics = await self._metrics(port)
        wanted = {"store_up": 1.0, "audit_gap_entries": 0.0}
        return [f"{port} {name} {metrics.get(name)}" for name, value in wanted.items() if metrics.get(name) != value]

    async def _metrics(self, port: int) -> dict[str, float]:
        async with self.session.get(f"http://127.0.0.1:{port}/metrics") as response:
            lines = (await response.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    async def _trail(self) -> dict[int, tuple[TrailEntry, ...]]:
        async with opened(self.place.url, strict=False) as store:
            pages = [await store.trail(number, since=0, most=1_000_000, within=10) for number in range(BUCKETS)]
        return {number: page.entries for number, page in enumerate(pages)}


def _pause() -> float:
    return PAUSE_SECONDS * secrets.randbelow(100) / 100


def _read(entries: dict[int, tuple[TrailEntry, ...]]) -> list[dict[str, Any]]:
    return [orjson.loads(entry.entry) for some in entries.values() for entry in some]


def _silent(case: Case) -> bool:
    """Somebody was told that the call is silent, and nobody who was told so has asked to end it."""
    return any(hold.acknowledged is not None and hold.ending is None for hold in case.holds)


def _muted(case: Case) -> bool:
    return case.tape.muted == Parties.BOTH


def _untrue(case: Case) -> list[Claim]:
    return [claim for claim in case.claims if false(claim, case.tape.tape)]


def _resumptions(case: Case) -> list[int]:
    return [cut.at for cut in case.tape.tape.cuts[1:] if cut.muted != Parties.BOTH]


def _wrong(case: Case, *, blind: bool) -> list[str]:
    """Resumptions at a moment when somebody had been told of silence and had not asked to end it."""
    return [
        f"{case.tape.call_id} at {at} while {hold.name} is held ({hold.durability})"
        for at in _resumptions(case)
        for hold in case.holds
        if hold.acknowledged is not None
        and hold.acknowledged < at
        and (hold.ending is None or hold.ending > at)
        and (hold.durability in {"journal", "none"}) is blind
    ]


@asynccontextmanager
async def fleet(
    place: Place, directory: Path, *, replicas: int = 0, gateway: Gateway | None = None
) -> AsyncIterator[Fleet]:
    """Two gateways before one recorder; ended by pid. `gateway` starts one of them, the console script if not
    given."""
    start = gateway or _gateway
    ports = free_ports(4)
    minted = mint(secrets.token_bytes)
    recorder = VerbaFake()
    async with AsyncExitStack() as stack:
        await recorder.start()
        stack.push_async_callback(recorder.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=ClientTimeout(total=REQUEST_SECONDS)))
        common = _settings(recorder, place.url, minted, replicas)
        for port, admin in zip(ports[:2], ports[2:], strict=True):
            await stack.enter_async_context(start(directory / f"gateway-{port}", common, port=port, admin=admin))
            await until(partial(_ready, session, admin))
        yield Fleet(
            place=place,
            recorder=recorder,
            ports=ports[:2],
            admin_ports=ports[2:],
            key=minted.text,
            session=session,
        )


def _settings(recorder: VerbaFake, url: str, minted: MintedKey, replicas: int) -> dict[str, Any]:
    audit = {name: base64.b64encode(secrets.token_bytes(32)) for name in ("hmac_key", "signing_key", "pepper")}
    key = {"kid": minted.kid, "hash": hash_secret(base64.b64decode(audit["pepper"]), minted.secret)}
    return {
        "environment": "development",
        "store": {"url": url, "replicas_to_wait_for": replicas},
        "policy": {"reassert_seconds": 1.0},
        "audit": {name: value.decode() for name, value in audit.items()},
        "backends": {"verba": recorder.settings()},
        "routes": [{"backends": ["verba"]}],
        "clients": {"crm": {"tenant": TENANT, "scopes": list(Scope), "keys": [key]}},
    }


@asynccontextmanager
async def _gateway(home: Path, common: dict[str, Any], *, port: int, admin: int) -> AsyncIterator[None]:
    home.mkdir()  # noqa: ASYNC240 -- a moment, in a test
    listen = {"host": "127.0.0.1", "port": port, "admin_host": "127.0.0.1", "admin_port": admin}
    tree = {**common, "listen": listen, "store": {**common["store"], "directory": str(home / "data")}}
    (home / "gateway.yaml").write_bytes(orjson.dumps(tree))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    with (home / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            SCRIPT, "serve", "--config", str(home / "gateway.yaml"), cwd=home, env=environ, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
        assert process.returncode == 0, (home / "log").read_text()[-5000:]


async def _ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
