"""The fast way and a plain one answer the same: the same requests, once to the gateway as it is, once to one that asks
the store over the client library's pool, the vendors through aiohttp's own session, and copies as the standard library
does. Answers, what recorders were sent, and the trail must not differ but in names and times."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import ClientTimeout
from processes import ask

from gateway import app, frozen
from gateway.backends import http
from gateway.backends.attempt import Stage
from gateway.sandbox import demo
from gateway.store.node import Node
from gateway.store.primaries import Primaries

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gateway.backends.attempt import Attempt
    from gateway.backends.http import HttpClient, HttpReply, HttpRequest
    from gateway.settings import Settings
    from gateway.store.wire import Command

CALLS = tuple(f"{vendor}-1" for vendor in ("verba", "voipnow", "genesys"))  # the others are read seldom, at any time
STORY: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "", None),
    ("DELETE", "", None),
    ("PUT", "", {"parties": "nobody"}),
    ("PUT", "", {"actor": "agent-17", "reason": "card-entry"}),
    ("GET", "", None),
    ("PUT", "", {"hold": "second", "actor": "agent-17"}),
    ("GET", "?refresh=true", None),
    ("POST", "", {"action": "start"}),
    ("DELETE", "?hold=unknown", None),
    ("DELETE", "", None),
    ("GET", "?include=audit", None),
    ("DELETE", "?hold=second", None),
    ("DELETE", "?hold=second", None),
    ("GET", "?include=audit", None),
    ("PUT", "", {}),
    ("DELETE", "?force=true", None),
)
# What names and times look like; and what depends on how long something took.
_MADE = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|[0-9]{13}"
    r'|(?<="exposure_ms":)[0-9]+|(?<="retry_after":)[0-9]+|(?<="remaining":)[0-9]+'
)


async def told(directory: Path) -> list[str]:
    """Everything that the story says, and what every recorder was sent for it."""
    said: list[str] = []
    async with demo.desk(directory, port=0) as desk, app.running(_unlimited(desk.settings)) as state:
        for number, call in enumerate(CALLS):
            for fake in desk.fakes.values():
                fake.add_call(call, extension=f"77{number}")
            for method, query, body in STORY:
                url = f"http://127.0.0.1:{state.port}/v1/calls/{call}/redaction{query}"
                reply = await asyncio.to_thread(ask, method, url, key=desk.key, body=body)
                headers = sorted(name.lower() for name in reply.headers)
                said.append(f"{method} {query} {reply.status} {headers} {_plain(reply.body)}")
            fake = desk.fakes[call.partition("-")[0]]
            said += [f"{one.method} {one.path} {_plain(one.body)}" for one in fake.requests if _about(one, call)]
    return said


def _unlimited(settings: Settings) -> Settings:
    """Whoever is slower would be refused less."""
    client = settings.clients[demo.CLIENT].model_copy(update={"requests_per_second": 1e6})
    return settings.model_copy(update={"clients": {demo.CLIENT: client}})


def _about(request: Any, call: str) -> bool:  # noqa: ANN401 -- the fakes' own record
    return call.encode() in request.body or call in str(request.path)


def _plain(body: bytes) -> str:
    document = orjson.loads(body) if body[:1] in {b"{", b"["} else body.decode()
    text = document if isinstance(document, str) else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    return _MADE.sub("*", text)


def _slowly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on all goes the plain way; gives which of its parts were gone."""
    gone: list[str] = []

    async def pooled(
        self: Node, commands: tuple[Command, ...], *, asking: bool = False, within: float | None = None
    ) -> list[Any]:
        del within
        gone.append("pool")
        return await self.send(commands, asking=asking)

    async def through_the_session(self: HttpClient, request: HttpRequest, attempt: Attempt) -> HttpReply:
        gone.append("session")
        attempt.stage = Stage.SENT
        async with self._session().request(
            request.method,
            http.build_url(self._settings.base_url, request),
            data=http._body(request),
            headers=http._headers(request),
            allow_redirects=False,
            timeout=ClientTimeout(total=None),
        ) as response:
            http._check_status(response.status)
            body = await response.read()
            return http.HttpReply(status=response.status, headers=response.headers, body=body)

    def copier(_: type[Any]) -> Any:  # noqa: ANN401 -- as the original
        gone.append("copy")
        return lambda known, changes: dataclasses.replace(known, **changes)

    monkeypatch.setattr(Primaries, "ready", lambda *_: None)
    monkeypatch.setattr(Node, "ask", pooled)
    monkeypatch.setattr(http.HttpClient, "_send", through_the_session)
    monkeypatch.setattr(frozen, "_COPIERS", {})
    monkeypatch.setattr(frozen, "_copier", copier)
    return gone


async def test_the_fast_way_and_the_plain_one_answer_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer by answer, command by command."""
    demo._own_secrets(tmp_path / "fast")
    (tmp_path / "plain").mkdir()
    shutil.copy(tmp_path / "fast" / "sandbox.json", tmp_path / "plain")  # the same keys
    fast = await told(tmp_path / "fast")
    gone = _slowly(monkeypatch)
    plain = await told(tmp_path / "plain")
    assert set(gone) == {"pool", "session", "copy"}
    for one, other in zip(fast, plain, strict=True):
        assert one == other
    assert len(fast) > len(CALLS) * len(STORY)
