"""SIGTERM: readiness goes first, nobody new is let in, what is under way is finished, and it ends with 0."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from pods import Nursery, Pod, nursery, pods, site, until
from servers import Server, single

from gateway.model import Parties
from gateway.sandbox.faults import FaultKind
from gateway.sandbox.verba import VerbaFake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TERM_SECONDS = 10.0 + 5.0  # what is promised, and time for a busy machine
CALLS = 20


@dataclass(kw_only=True)
class Shop:
    """One gateway at work, with what it works with."""

    pod: Pod
    server: Server
    fake: VerbaFake

    async def under_way(self, *methods: str) -> dict[str, asyncio.Task[tuple[int, Any]]]:
        """Requests that the recorder has heard of, and does not answer."""
        tasks = {method: asyncio.create_task(self.pod.ask(method, f"c-{method}", actor="a")) for method in methods}
        await until(self._heard(len(methods)))
        return tasks

    def _heard(self, count: int) -> Any:  # noqa: ANN401 -- what `until` takes
        async def heard() -> bool:
            return len({request.body for request in self.fake.sent("command")}) >= count

        return heard

    async def refuses(self) -> bool:
        """No new connection is taken."""
        return (await self.pod.ask("GET", "c-1"))[0] == 0

    async def muted(self, call_id: str) -> bool:
        return self.fake.calls[call_id].muted == Parties.BOTH


@asynccontextmanager
async def shop(directory: Path) -> AsyncIterator[Shop]:
    fake = VerbaFake(login=False)
    async with AsyncExitStack() as stack:
        await fake.start()
        stack.push_async_callback(fake.stop)
        server = await stack.enter_async_context(single(directory))
        children: Nursery = await stack.enter_async_context(nursery())
        # A connection of its own for each request, as from new clients.
        connector = aiohttp.TCPConnector(force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        (pod,) = pods(children, directory, site(f"redis://127.0.0.1:{server.port}", [fake]), session, 1)
        stack.push_async_callback(pod.end)
        await pod.start()
        yield Shop(pod=pod, server=server, fake=fake)


@pytest.mark.parametrize("times", [1, 3])
async def test_who_is_told_while_a_recorder_hangs_finishes_first(tmp_path: Path, times: int) -> None:
    """Once or more often told: not ready any more and nobody new is let in while a request is still under way; that
    one gets its honest answer, and the end is 0 within the promised time."""
    async with shop(tmp_path) as at:
        at.fake.add_call("c-PUT", extension="1")
        at.fake.plan(FaultKind.HANG, on={"command"})
        tasks = await at.under_way("PUT")
        for _ in range(times):
            at.pod.signal(signal.SIGTERM)
        await until(lambda: _unready(at.pod))
        await until(at.refuses)
        assert not tasks["PUT"].done()
        assert await at.pod.over(TERM_SECONDS) == 0
        status, document = await tasks["PUT"]
        assert (status, document["code"]) == (504, "recorder-unconfirmed")
        at.fake.heal()
        await at.pod.start()
        await until(lambda: at.muted("c-PUT"))


async def _unready(pod: Pod) -> bool:
    return await pod.readiness() == 503


async def test_who_is_told_under_load_loses_no_acknowledged_work(tmp_path: Path) -> None:
    """Mutes at all stages when the signal comes: each that was answered with 200 is silent and known to the next
    start; those that were let in are answered."""
    async with shop(tmp_path) as at:
        names = [f"c-{number}" for number in range(CALLS)]
        for name in names:
            at.fake.add_call(name, extension="1")
        asked = [asyncio.create_task(at.pod.ask("PUT", name, actor="a")) for name in names]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        at.pod.signal(signal.SIGTERM)
        assert await at.pod.over(TERM_SECONDS) == 0
        answers = dict(zip(names, await asyncio.gather(*asked), strict=True))
        told = [name for name, (status, _) in answers.items() if status == 200]
        assert told
        assert {status for status, _ in answers.values()} <= {0, 200}
        await at.pod.start()
        for name in told:
            assert await at.muted(name)
            status, document = await at.pod.ask("GET", name)
            assert (status, document["desired"]) == (200, "muted")


async def test_who_is_told_while_the_store_hangs_keeps_what_the_journal_has(tmp_path: Path) -> None:
    """A mute that was acknowledged from the journal, and one under way: the process ends with 0 although the store
    answers nothing, and its next start gives the store what it missed."""
    async with shop(tmp_path) as at:
        for name in ("c-1", "c-2"):
            at.fake.add_call(name, extension="1")
        at.server.signal(signal.SIGSTOP)
        first = await at.pod.ask("PUT", "c-1", actor="a")
        second = asyncio.create_task(at.pod.ask("PUT", "c-2", actor="a"))
        await until(lambda: at.muted("c-2"))
        at.pod.signal(signal.SIGTERM)
        assert await at.pod.over(TERM_SECONDS) == 0
        assert (first[0], first[1]["durability"]) == (200, "journal")
        assert (await second)[0] in {0, 200}
        at.server.signal(signal.SIGCONT)
        await at.pod.start()
        await until(lambda: _known(at.pod, "c-1"))
        if (await second)[0] == 200:
            await until(lambda: _known(at.pod, "c-2"))


async def _known(pod: Pod, call_id: str) -> bool:
    status, document = await pod.ask("GET", call_id)
    return bool(status == 200 and document["protected"])


async def test_an_unmute_under_way_is_settled_before_the_end(tmp_path: Path) -> None:
    """Told while the recorder keeps the unmute waiting: the client hears that it has not happened, and the next start
    has the call silent and says so."""
    async with shop(tmp_path) as at:
        at.fake.add_call("c-DELETE", extension="1")
        assert (await at.pod.ask("PUT", "c-DELETE", actor="a"))[0] == 200
        sent = len(at.fake.sent("command"))
        at.fake.plan(FaultKind.HANG, on={"command"}, times=1)
        task = asyncio.create_task(at.pod.ask("DELETE", "c-DELETE"))
        await until(lambda: _more_than(at.fake, sent))
        at.pod.signal(signal.SIGTERM)
        assert await at.pod.over(TERM_SECONDS) == 0
        assert (await task)[0] == 504
        assert await at.muted("c-DELETE")
        await at.pod.start()
        await until(lambda: _known(at.pod, "c-DELETE"))


async def _more_than(fake: VerbaFake, count: int) -> bool:
    return len(fake.sent("command")) > count


async def test_a_listener_and_an_idle_connection_do_not_hold_it_up(tmp_path: Path) -> None:
    """An open event stream ends, an idle connection is closed, and the process with them."""
    async with shop(tmp_path) as at, aiohttp.ClientSession() as session:
        at.fake.add_call("c-1", extension="1")
        assert (await at.pod.ask("PUT", "c-1", actor="a"))[0] == 200
        url = f"http://127.0.0.1:{at.pod.port}/v1/calls/c-1/redaction"
        headers = {"X-API-Key": at.pod.key}
        async with session.get(url, headers=headers) as idle:
            await idle.read()
        async with session.get(url, headers={**headers, "Accept": "text/event-stream"}) as stream:
            await stream.content.readline()
            at.pod.signal(signal.SIGTERM)
            await stream.read()
        assert await at.pod.over(TERM_SECONDS) == 0
