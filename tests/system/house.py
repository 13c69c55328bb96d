"""A gateway as in production, one process with its log in JSON and its secrets mounted, before fakes that run here."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aiohttp
import orjson
from processes import PATIENCE_SECONDS, SCRIPT, environment, run

from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.sandbox.fakes import FAKES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from gateway.sandbox.desk import Fake

AUDIT_KEYS = ("hmac_key", "signing_key", "pepper")
_PLAIN = frozenset({"vendor", "base_url", "redirect_uri"})


@dataclass(kw_only=True)
class House:
    """`secrets` are all that the configuration has, by the names of their files."""

    home: Path
    fakes: Mapping[str, Fake]
    session: aiohttp.ClientSession
    key: str
    secrets: dict[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None
    port: int = 0
    admin_port: int = 0

    @property
    def log(self) -> Path:
        return self.home / "log.jsonl"

    @property
    def environ(self) -> dict[str, str]:
        return {"GATEWAY_SECRETS_DIR": str(self.home / "mount"), "GATEWAY_CONFIG": str(self.home / "gateway.yaml")}

    def configure(self, **changes: object) -> None:
        """Write the configuration, and mount its secrets."""
        tree, mount = {**self._tree(), **changes}, self.home / "mount"
        mount.mkdir(exist_ok=True)
        for name, value in self.secrets.items():
            (mount / name).write_text(value)
        (self.home / "gateway.yaml").write_bytes(orjson.dumps(tree))

    def _tree(self) -> dict[str, Any]:
        backends = {name: self._backend(name, fake) for name, fake in self.fakes.items()}
        pepper = base64.b64decode(self.secrets["audit__pepper"])
        _, kid, secret, _ = self.key.split("_")
        client = {
            "tenant": "acme",
            "scopes": list(Scope),
            "keys": [{"kid": kid, "hash": hash_secret(pepper, secret)}],
            "requests_per_second": 1000,
        }
        return {
            "environment": "production",
            "listen": {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0},
            "store": {"url": "embedded", "directory": str(self.home / "data")},
            "backends": backends,
            "routes": [
                *({"match": {"call_id": f"{name}-*"}, "backends": [name]} for name in backends),
                {"backends": list(backends)},
            ],
            "clients": {"crm": client},
        }

    def _backend(self, name: str, fake: Fake) -> dict[str, object]:
        settings = fake.settings()
        for secret in sorted({*settings} - _PLAIN):
            self.secrets[f"backends__{name}__{secret}"] = str(settings.pop(secret))
        return settings

    # ── its life ──

    async def start(self) -> None:
        """Requests are taken when this returns."""
        begins = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log, (self.home / "stderr").open("ab") as errors:
            self.popen = self._launched(log, errors)
        await self.until(lambda: self._started(begins))

    def _launched(self, log: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        environ = environment({**self.environ, "PYTHONFAULTHANDLER": "1"})
        return subprocess.Popen([SCRIPT, "serve"], cwd=self.home, env=environ, stdout=log, stderr=errors)

    def _started(self, begins: int) -> bool:
        assert self.popen is not None
        assert self.popen.poll() is None, self.log.read_text()[-5000:] + (self.home / "stderr").read_text()
        for line in self.log.read_bytes()[begins:].splitlines():
            if b'"gateway.started"' in line:
                said = orjson.loads(line)
                self.port, self.admin_port = int(said["port"]), int(said["admin_port"])
                return True
        return False

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        assert self.popen is not None
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return await asyncio.to_thread(self.popen.wait, PATIENCE_SECONDS)

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not true():  # noqa: ASYNC110 -- what is waited for is in another process
                await asyncio.sleep(0.02)

    # ── what is asked of it ──

    async def ask(
        self,
        method: str,
        call_id: str,
        *,
        query: str = "",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        said = {"X-API-Key": self.key, "Content-Type": "application/json", **(headers or {})}
        url = f"http://127.0.0.1:{self.port}/v1/calls/{call_id}/redaction{query}"
        async with self.session.request(method, url, data=data, headers=said) as response:
            return response.status, await response.read()

    async def mute(self, call_id: str, **body: object) -> tuple[int, Any]:
        status, answer = await self.ask("PUT", call_id, data=orjson.dumps(body))
        return status, orjson.loads(answer)

    async def raw(self, data: bytes) -> bytes:
        """Bytes as they are; everything that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def metrics(self) -> bytes:
        async with self.session.get(f"http://127.0.0.1:{self.admin_port}/metrics") as response:
            return await response.read()

    async def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *words, cwd=self.home, environ=self.environ)

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [one for one in map(orjson.loads, self.log.read_bytes().splitlines()) if one["event"] == event]


@asynccontextmanager
async def housed(home: Path) -> AsyncIterator[House]:
    """Configured, not started; stopped at the end if it was, and its store with it."""
    async with AsyncExitStack() as stack:
        fakes = {fake.vendor.value: fake for fake in (make() for make in FAKES)}
        for fake in fakes.values():
            await fake.start()
            stack.push_async_callback(fake.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        own = {f"audit__{name}": base64.b64encode(secrets.token_bytes(32)).decode() for name in AUDIT_KEYS}
        house = House(home=home, fakes=fakes, session=session, key=mint(secrets.token_bytes).text, secrets=own)
        house.configure()
        try:
            yield house
        finally:
            if house.popen is not None:
                await house.stop(signal.SIGKILL)
            for pid in _stores(home):
                os.kill(pid, signal.SIGKILL)


def _stores(home: Path) -> Iterator[int]:
    """Those that outlived a gateway that was killed: a store's title has its directory in it."""
    for title in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it is over
            if f"unixsocket:{home}/".encode() in title.read_bytes():
                yield int(title.parent.name)
