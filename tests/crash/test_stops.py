"""A gateway stands still right before an unmute leaves it, and goes on after a newer mute was proven by another one."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import aiohttp
from doom import Doom
from pods import PATIENCE_SECONDS, Pod, nursery, pods, site, until
from servers import single

from gateway.model import Parties
from gateway.sandbox.verba import VerbaFake

PLACES = ("asked.stopped", "send.stopped")


async def test_what_stood_still_is_not_sent_late(tmp_path: Path) -> None:
    """Stopped between the last word to the caller and the write, with the connection there: once the other gateway has
    answered a mute with 200, the unmute never reaches the recorder, and its own client is told that it has not
    happened."""
    async with AsyncExitStack() as stack:
        fake = VerbaFake(login=False)
        await fake.start()
        stack.push_async_callback(fake.stop)
        server = await stack.enter_async_context(single(tmp_path))
        children = await stack.enter_async_context(nursery())
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        gateways = pods(children, tmp_path, site(f"redis://127.0.0.1:{server.port}", [fake]), session, 1 + len(PLACES))
        for pod in gateways:
            pod.patient = True
            stack.push_async_callback(_ended, pod)
        await gateways[0].start()
        stories = (_stops(fake, pod, gateways[0], place) for pod, place in zip(gateways[1:], PLACES, strict=True))
        await asyncio.gather(*stories)


async def _stops(fake: VerbaFake, pod: Pod, other: Pod, place: str) -> None:
    call, armed = fake.add_call(place, extension=place), pod.home / "armed"
    await pod.launch(Doom(place=place, passage=1, armed=armed))
    await until(pod.ready)
    await until(lambda: _muted(pod, place))
    armed.touch()
    unmute = asyncio.create_task(pod.ask("DELETE", place))
    await until(partial(asyncio.to_thread, _stands_still, pod))
    await until(lambda: _muted(other, place))
    proven_at = time.time_ns()
    pod.signal(signal.SIGCONT)
    status, document = await unmute
    assert (status, document["code"]) == (409, "redaction-open"), document
    assert call.muted is Parties.BOTH
    assert call.tape.silent(Parties.BOTH, since=proven_at, until=time.time_ns())
    sent = [one.form for one in fake.sent("command") if ("callID", place) in one.form]
    assert sent, "the recorder was sent mutes"
    assert not [form for form in sent if ("mute", "0") in form]


async def _muted(pod: Pod, call_id: str) -> bool:
    status, document = await pod.ask("PUT", call_id)
    return status == 200 and bool(document["protected"])


def _stands_still(pod: Pod) -> bool:
    stat = Path(f"/proc/{pod.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


async def _ended(pod: Pod) -> None:
    if pod.ended is not None:
        pod.signal(signal.SIGCONT)
    await pod.end()
