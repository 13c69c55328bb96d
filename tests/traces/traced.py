"""A whole gateway before its fakes, with spans."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict

from gateway import app
from gateway.sandbox import demo
from gateway.settings import Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from gateway.sandbox.demo import Desk


@dataclass(frozen=True, kw_only=True)
class Place:
    desk: Desk
    state: app.Running
    session: aiohttp.ClientSession

    async def ask(
        self, method: str, call_id: str = demo.CALL, *, headers: Iterable[tuple[str, str]] = (), json: object = None
    ) -> tuple[int, Any]:
        said = CIMultiDict([("X-API-Key", self.desk.key), *headers])
        url = f"http://127.0.0.1:{self.state.port}/v1/calls/{call_id}/redaction"
        async with self.session.request(method, url, headers=said, json=json) as response:
            return response.status, await response.json(content_type=None)

    async def metrics(self, accept: str) -> tuple[str, str]:
        url = f"http://127.0.0.1:{self.state.admin_port}/metrics"
        async with self.session.get(url, headers={"Accept": accept}) as response:
            return response.headers["Content-Type"], await response.text()


@asynccontextmanager
async def place(directory: Path, **tracing: object) -> AsyncIterator[Place]:
    """With spans where `tracing` has an `endpoint`."""
    async with demo.desk(directory, port=0) as desk, aiohttp.ClientSession() as session:
        wanted = Tracing.model_validate({"sample_ratio": 1, **tracing}) if tracing else None
        async with app.running(desk.settings.model_copy(update={"tracing": wanted})) as state:
            yield Place(desk=desk, state=state, session=session)
