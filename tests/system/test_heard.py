"""A whole gateway before one recorder that tells what happens: it need not be asked."""

from __future__ import annotations

import asyncio
import base64
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway import settings
from gateway.app import running
from gateway.auth.keys import hash_secret, mint
from gateway.auth.scopes import Scope
from gateway.backends import genesys_events
from gateway.sandbox.genesys import GenesysFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    import pytest

CALL = "c1"
HOUR = 3600


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 -- a tape tells nobody when it changes
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(fake: GenesysFake, directory: Path) -> AsyncIterator[Callable[[str], Any]]:
    """Before the fake, and so patient that it reads back once an hour; gives what asks it about the call."""
    pepper, key = secrets.token_bytes(32), mint(secrets.token_bytes)
    client = {
        "tenant": "acme",
        "scopes": list(Scope),
        "keys": [{"kid": key.kid, "hash": hash_secret(pepper, key.secret)}],
    }
    tree = {
        "environment": "development",
        "listen": {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0},
        "store": {"url": "embedded", "directory": str(directory)},
        "policy": {"deadline_seconds": 2.0, "reassert_seconds": HOUR},
        "audit": {"pepper": base64.b64encode(pepper).decode()},
        "backends": {"gws": fake.settings()},
        "routes": [{"backends": ["gws"]}],
        "clients": {"crm": client},
    }
    async with running(settings.parse(tree)) as state, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{state.port}/v1/calls/{CALL}/redaction"

        async def ask(method: str) -> Mapping[str, Any]:
            async with session.request(method, url, headers={"X-API-Key": key.text}) as response:
                body: Mapping[str, Any] = await response.json()
                assert response.status == 200, body
                return body

        yield ask


async def test_what_is_resumed_behind_our_back_is_muted_at_once(short_dir: Path) -> None:
    """The event alone makes it silent again, long before the next read-back would; the client's own unmute stays."""
    fake = GenesysFake()
    await fake.start()
    call = fake.add_call(CALL, extension="5001")
    async with gateway(fake, short_dir) as ask:
        await until(lambda: fake.notifications.listeners)
        assert (await ask("PUT"))["protected"]
        reads = len(fake.sent("read"))
        fake.resume(CALL)
        await until(lambda: fake.state(CALL) == "Paused")
        assert len(fake.sent("read")) > reads
        assert [len(call.tape.cuts), fake.state(CALL)] == [4, "Paused"]
        await until_protected(ask)
        assert (await ask("DELETE"))["state"] == "unmuted"
        assert fake.state(CALL) == "Recording"
    assert fake.state(CALL) == "Recording"
    assert len(call.tape.cuts) == 5
    await fake.stop()


async def until_protected(ask: Callable[[str], Any]) -> None:
    async with asyncio.timeout(20):
        while not (await ask("GET"))["protected"]:  # noqa: ASYNC110 -- it is the answer that is waited for
            await asyncio.sleep(0.01)


async def test_the_event_is_shown_as_evidence(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder's own word, in the answer; without the channel the state is read."""
    monkeypatch.setattr(genesys_events, "EVENT_SECONDS", 10.0)  # as slow as the machine may be
    fake = GenesysFake()
    await fake.start()
    fake.add_call(CALL, extension="5001")
    async with gateway(fake, short_dir) as ask:
        await until(lambda: fake.notifications.listeners)
        assert (await ask("PUT"))["recorders"][0]["evidence"] == "event"
        fake.notifications.missing = True
        fake.notifications.cut()
        await until(lambda: not fake.notifications.listeners)
        await ask("DELETE")
        assert (await ask("PUT"))["recorders"][0]["evidence"] == "readback"
    await fake.stop()
