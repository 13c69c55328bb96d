"""A real Prometheus that scrapes one target twice a second, and what it answers."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from processes import PATIENCE_SECONDS
from programs import needed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RULES = Path(__file__).parents[2] / "helm" / "files" / "alerts.yaml"
EVERY = "500ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """`began` is when it was started, in seconds since the epoch."""

    url: str
    session: aiohttp.ClientSession
    began: float

    async def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 -- whatever it has to say
        async with self.session.get(f"{self.url}/api/v1/{path}", params=query) as response:
            answer = await response.json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    async def values(self, expr: str) -> list[float]:
        """Every finite value that the expression has had since it was started."""
        query = {"start": str(self.began), "end": str(time.time()), "step": "0.5"}
        found = await self.get("query_range", query=expr, **query)
        values = (float(value) for series in found["result"] for _, value in series["values"])
        return [value for value in values if math.isfinite(value)]

    async def until(self, expr: str) -> None:
        """Somebody sees it now."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await self.get("query", query=expr))["result"]:  # noqa: ASYNC110 -- another process has it
                await asyncio.sleep(0.1)


@asynccontextmanager
async def scraping(directory: Path, session: aiohttp.ClientSession, *, port: int) -> AsyncIterator[Prometheus]:
    """It answers, and has scraped the gateway's `port`, when the block begins; it knows the shipped rules."""
    own, began = _free_port(), time.time()
    popen = _launched(directory, own=own, port=port)
    try:
        found = Prometheus(url=f"http://127.0.0.1:{own}", session=session, began=began)
        await _ready(found, popen, directory / "log")
        await found.until('up{job="redaction-gateway"} == 1')
        yield found
    finally:
        popen.terminate()
        await asyncio.to_thread(popen.wait, PATIENCE_SECONDS)


def _launched(directory: Path, *, own: int, port: int) -> subprocess.Popen[bytes]:
    directory.mkdir()
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "desk"}}
    config = {
        "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "redaction-gateway", "static_configs": [target]}],
    }
    groups = yaml.safe_load(RULES.read_text())["groups"]
    hurried = {"groups": [{**group, "interval": EVERY} for group in groups]}
    (directory / "alerts.yaml").write_text(yaml.safe_dump(hurried))
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
    words = ["--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{own}"]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen([needed("prometheus"), *words], cwd=directory, stdout=log, stderr=log)


async def _ready(prometheus: Prometheus, popen: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _answers(prometheus):
            assert popen.poll() is None, str(log)
            await asyncio.sleep(0.05)


async def _answers(prometheus: Prometheus) -> bool:
    with suppress(aiohttp.ClientConnectionError):
        async with prometheus.session.get(f"{prometheus.url}/-/ready") as response:
            return response.ok
    return False


def _free_port() -> int:
    """It cannot be asked which port it was given."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
