"""Failovers under load: nobody resumes a recording because a store forgot.

A few of them in every run; with ``SOAK=1`` as many as the promise says, each kind in turn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest
from fleet import Verdict, fleet
from redis.exceptions import ResponseError
from servers import SERVICE, Place, Server, clustered, under_sentinels, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

SOAK = bool(os.environ.get("SOAK"))
LOAD_SECONDS = 6.5 if SOAK else 4.0  # a new primary refuses unmutes for five
TAIL_SECONDS = 0.3

Failover: TypeAlias = "Callable[[Place, Server], Awaitable[None]]"


async def kill(place: Place, primary: Server) -> None:
    await primary.kill()
    await until(lambda: _successor(place, primary))
    await primary.start()  # as a primary, until somebody tells it otherwise


async def lose(place: Place, primary: Server) -> None:
    """Cut from its replicas it acknowledges for a moment what nobody else has, then dies."""
    replicas = await place.replicas_of(primary)
    for replica in replicas:
        replica.signal(signal.SIGSTOP)
    await primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")
    await asyncio.sleep(TAIL_SECONDS)
    await primary.kill()
    for replica in replicas:
        replica.signal(signal.SIGCONT)
    await until(lambda: _successor(place, primary))
    if place.sentinels:
        await until(lambda: _appointed(place, primary))
        (leader,) = await place.leaders()
        primary.options["replicaof"] = f"127.0.0.1 {leader.port}"
    await primary.start()


async def freeze(place: Place, primary: Server) -> None:
    """It comes back and still believes to be the primary."""
    primary.signal(signal.SIGSTOP)
    await until(lambda: _successor(place, primary))
    primary.signal(signal.SIGCONT)


async def depose(place: Place, primary: Server) -> None:
    """Sentinels appoint another one while the old one is well, and goes on for ten seconds."""
    await until(lambda: _accepted(place))
    await until(lambda: _successor(place, primary))


async def _accepted(place: Place) -> bool:
    try:
        await place.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
    except ResponseError:  # the failover before this one is not over for everybody
        return False
    return True


async def take_over(place: Place, primary: Server) -> None:
    """A replica makes itself primary without asking anybody."""
    (replica,) = await place.replicas_of(primary)
    await replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")
    await until(lambda: _successor(place, primary))


async def _appointed(place: Place, old: Server) -> bool:
    return old not in await place.leaders()


async def _successor(place: Place, old: Server) -> bool:
    """There is one primary more than before, the old one not counted."""
    return len([server for server in await place.primaries() if server is not old]) == place.shards


async def under_load(place: Place, directory: Path, kinds: list[Failover], count: int) -> Verdict:
    async with fleet(place, directory) as gateways:
        async with gateways.under_load():
            await asyncio.sleep(LOAD_SECONDS)
            for number in range(count):
                leaders = await place.leaders()
                await kinds[number % len(kinds)](place, leaders[number % len(leaders)])
                await until(place.whole)
                await asyncio.sleep(LOAD_SECONDS)
        return await gateways.verdict()


def judge(verdict: Verdict) -> None:
    sys.stdout.write(f"{verdict}\n")
    assert verdict.unmutes > 0
    assert verdict.wrong_unmutes == []
    assert verdict.unprotected == []
    assert verdict.missing == []
    assert verdict.twice == []
    assert verdict.holes == []


@pytest.mark.parametrize("count", [20 if SOAK else 1])
async def test_failovers_under_sentinels(tmp_path: Path, count: int) -> None:
    """Primaries die with an acknowledged tail, are killed, frozen or deposed while clients mute and unmute at two
    gateways: no recording is resumed against a hold that was acknowledged, every acknowledged operation stands in
    the trail (healed where the store lost it), once, and numbers have no holes."""
    async with under_sentinels(tmp_path) as place:
        judge(await under_load(place, tmp_path, [lose, freeze, depose, kill], count))


@pytest.mark.parametrize("count", [10 if SOAK else 1])
async def test_failovers_of_a_cluster(tmp_path: Path, count: int) -> None:
    """The same for the shards of a cluster."""
    async with clustered(tmp_path) as place:
        judge(await under_load(place, tmp_path, [lose, take_over, freeze, kill], count))
