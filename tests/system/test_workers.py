"""Several workers on one port, as real processes with their signals."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest
from house import House, housed
from processes import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LISTEN = {"host": "127.0.0.1", "port": 0, "admin_host": "127.0.0.1", "admin_port": 0, "workers": 2}
CALLS = 24


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Two workers; every request comes on a connection of its own."""
    home = Path(tempfile.mkdtemp(prefix="rgw-"))
    async with housed(home) as house:
        house.configure(listen=LISTEN)
        await house.session.close()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as house.session:
            await house.start()
            yield house
    shutil.rmtree(home, ignore_errors=True)


def workers(house: House) -> list[int]:
    """The pids of those that serve."""
    assert house.popen is not None
    task = Path(f"/proc/{house.popen.pid}/task/{house.popen.pid}/children")
    return [int(pid) for pid in task.read_text().split() if b"gateway.cli.worker" in title(int(pid))]


def title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def counted(house: House, method: str) -> float:
    found = re.findall(
        rf'^redaction_requests_total\{{method="{method}",.*\}} (\S+)$', (await house.metrics()).decode(), re.MULTILINE
    )
    return sum(map(float, found))


async def readiness(house: House) -> int:
    async with house.session.get(f"http://127.0.0.1:{house.admin_port}/readyz") as response:
        return response.status


async def muted(house: House, call_id: str) -> int:
    """The status; 0 where there was no answer."""
    try:
        status, _ = await house.mute(call_id)
    except aiohttp.ClientError:
        return 0
    return status


async def test_two_workers_are_one_gateway(house: House) -> None:
    """Both serve; the metrics are the sum over both; one that is killed in the midst of mutes loses none that was
    acknowledged, and no count that was seen; SIGTERM ends all of it with 0."""
    fake = house.fakes["verba"]
    calls = [f"verba-{number}" for number in range(2 * CALLS)]
    for call in calls:
        fake.add_call(call, extension="8856")
    statuses = [await muted(house, call) for call in calls[:CALLS]]
    assert statuses == [200] * CALLS
    entries = [orjson.loads(one["entry"]) for one in house.logged("entry.written")]
    nodes = {one["node"] for one in entries if one["type"].startswith("mute.")}
    pids = workers(house)
    assert len(pids) == 2
    assert {int(node.rpartition("-")[2]) for node in nodes} == set(pids)
    assert await counted(house, "PUT") == CALLS
    assert await readiness(house) == 200

    tries = [asyncio.create_task(muted(house, call)) for call in calls[CALLS:]]
    await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    os.kill(pids[0], signal.SIGKILL)
    done = [call for call, status in zip(calls[CALLS:], await asyncio.gather(*tries), strict=True) if status == 200]
    await house.until(lambda: len(house.logged("worker.started")) == 3)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await readiness(house) != 200:  # noqa: ASYNC110 -- what is waited for is in another process
            await asyncio.sleep(0.02)
    for call in [*calls[:CALLS], *done]:
        status, answer = await house.ask("GET", call)
        assert (status, b'"desired":"muted"' in answer) == (200, True)
        assert fake.calls[call].muted
    assert await counted(house, "PUT") >= CALLS
    async with asyncio.timeout(PATIENCE_SECONDS):  # a worker that is slow to answer is shown as it was
        while await counted(house, "GET") < CALLS + len(done):  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.02)
    assert await counted(house, "GET") == CALLS + len(done)
    assert [one["worker"] for one in house.logged("worker.died")]

    last = workers(house)
    assert await house.stop() == 0
    assert [pid for pid in last if title(pid)] == []
    assert len(house.logged("worker.stopped")) == 2
    assert house.logged("gateway.stopped")


async def test_workers_do_not_outlive_their_keeper(house: House) -> None:
    """Killed itself it cannot tell them: they find out, and the port is free for the next gateway."""
    pids = workers(house)
    await house.stop(signal.SIGKILL)
    await house.until(lambda: not any(title(pid) for pid in pids))
    assert len(house.logged("worker.stopped")) == 2
