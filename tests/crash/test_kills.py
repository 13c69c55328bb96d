"""Two gateways under load, killed at random moments and started again.

30 kills in every run, 300 with ``SOAK=1``.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from fleet import fleet
from pods import Nursery, Pod, nursery, until
from servers import Place, single
from witness import torn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fleet import Fleet

KILLS = 300 if os.environ.get("SOAK") else 30
LONGEST_SECONDS = 1.2  # between two kills
AWAY_SECONDS = 0.4


class Raised:
    """Gateways of the nursery for the fleet; `pods` are those that there are."""

    def __init__(self, children: Nursery, session: aiohttp.ClientSession) -> None:
        self.pods: list[Pod] = []
        self.hmac_key = b""
        self._children = children
        self._session = session

    @asynccontextmanager
    async def gateway(self, home: Path, common: dict[str, Any], *, port: int, admin: int) -> AsyncIterator[None]:
        self.hmac_key = base64.b64decode(common["audit"]["hmac_key"])
        pod = Pod(nursery=self._children, home=home, session=self._session, port=port, admin_port=admin, key="unused")
        pod.configure(common)
        self.pods.append(pod)
        await pod.launch()
        try:
            yield
        finally:
            await pod.end()


async def kill_at_random(pods: list[Pod], kills: int) -> None:
    """One at a time, or both: the next kill does not wait for the one before to be ready again."""
    for _ in range(kills):
        await asyncio.sleep(random.uniform(0.1, LONGEST_SECONDS))  # noqa: S311 -- a moment
        pod = random.choice(pods)  # noqa: S311 -- as above
        await pod.kill()
        await asyncio.sleep(random.uniform(0.0, AWAY_SECONDS))  # noqa: S311 -- as above
        await pod.launch()
    for pod in pods:
        await until(pod.ready)


async def watched(gateways: Fleet, pods: list[Pod]) -> None:
    async with gateways.under_load():
        await until(lambda: _has_begun(gateways))
        watcher = asyncio.create_task(gateways.watch())
        await kill_at_random(pods, KILLS)
        watcher.cancel()
        await asyncio.wait({watcher})


async def _has_begun(gateways: Fleet) -> bool:
    return any(case.holds for case in gateways.cases)


@pytest.mark.parametrize("kills", [KILLS])
async def test_gateways_that_are_killed_lose_nothing(tmp_path: Path, kills: int) -> None:
    """Kill -9 of either gateway while clients mute and unmute at both: whoever was told of silence has it until he
    ends it, nobody is told of silence that is none, what was acknowledged stands in the trail, once, the numbers
    have no holes and the chains hold."""
    async with single(tmp_path) as server, nursery() as children, aiohttp.ClientSession() as session:
        place = Place(url=f"redis://127.0.0.1:{server.port}", servers=(server,))
        raised = Raised(children, session)
        async with fleet(place, tmp_path, gateway=raised.gateway) as gateways:
            await watched(gateways, raised.pods)
            verdict = await gateways.verdict()
            entries = [entry for some in (await gateways._trail()).values() for entry in some]
    sys.stdout.write(f"{kills} kills: {verdict}\n")
    assert verdict.unmutes > 0
    assert verdict.claims > kills
    assert verdict.wrong_unmutes == []
    assert verdict.unprotected == []
    assert verdict.wrong_protected == []
    assert verdict.missing == []
    assert verdict.twice == []
    assert verdict.holes == []
    assert torn(entries, raised.hmac_key) == []
