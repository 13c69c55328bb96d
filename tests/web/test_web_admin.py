"""The internal port: alive, ready, metrics, and nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from front import PATH

from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.web.admin import build_admin
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def admin(*, ready: bool = True) -> AsyncIterator[str]:
    metrics = Metrics({}, version="1")
    app = build_admin(ready=lambda: ready, metrics=metrics.render)
    async with listening(app, Bind(host="127.0.0.1")) as port:
        yield f"http://127.0.0.1:{port}"


async def get(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_alive_and_ready() -> None:
    """200 while it can mute."""
    async with admin() as url:
        assert (await get(f"{url}/livez"))[0] == 200
        assert (await get(f"{url}/readyz"))[0] == 200


async def test_not_ready_is_503_and_still_alive() -> None:
    """A gateway that shuts down is taken out of service, not killed."""
    async with admin(ready=False) as url:
        assert (await get(f"{url}/livez"))[0] == 200
        assert (await get(f"{url}/readyz"))[0] == 503


async def test_metrics_are_in_the_text_format() -> None:
    """As Prometheus reads it."""
    async with admin() as url:
        status, kind, text = await get(f"{url}/metrics")
    assert (status, kind) == (200, CONTENT_TYPE)
    assert 'build_info{version="1"} 1.0' in text


@pytest.mark.parametrize("path", [PATH, "/openapi.json", "/"])
async def test_nothing_else_is_here(path: str) -> None:
    """The API is on the other port only."""
    async with admin() as url:
        assert (await get(url + path))[0] == 404
