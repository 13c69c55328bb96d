"""Bytes on a real socket, before the whole gateway: what is refused reaches no recorder, and shows in the metrics."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio
import raw
import raw_framing
import raw_heads
from raw import HIDDEN, Case
from raw_slow import SLOW, Slow

from gateway import app
from gateway.model import Parties
from gateway.sandbox import demo
from gateway.web.connection import Patience
from gateway.web.reception import Rules
from gateway.web.server import Bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.sandbox.desk import Fake
    from gateway.settings import Settings

PATIENCE_SECONDS = 1.0  # what a head and a body get here; a case takes as long only when it is slow
CASES = (*raw_framing.CASES, *raw_heads.CASES)
_COUNT = re.compile(r'^redaction_requests_total\{method="\w+",outcome="([a-z-]+)"\} (\S+)$', re.MULTILINE)
_STATUS = re.compile(rb"HTTP/[0-9]\.[0-9] ([0-9]{3})")


@dataclass(kw_only=True)
class House:
    """A whole gateway in front of one recorder, and what is seen of both."""

    port: int
    key: str
    fake: Fake
    metrics_url: str
    session: aiohttp.ClientSession
    cases: int = 0

    async def counts(self) -> dict[str, float]:
        """The requests by outcome, of all methods."""
        async with self.session.get(self.metrics_url) as answer:
            found: dict[str, float] = {}
            for outcome, count in _COUNT.findall(await answer.text()):
                found[outcome] = found.get(outcome, 0) + float(count)
            return found

    async def refused(self) -> float:
        return sum(count for outcome, count in (await self.counts()).items() if outcome != "ok")

    def calls(self) -> tuple[str, str]:
        """Two new calls, on tape."""
        self.cases += 1
        found = f"verba-{self.cases}-asked", f"verba-{self.cases}-other"
        for call in found:
            self.fake.add_call(call, extension=f"{self.cases}")
        return found

    def reached(self, call: str) -> bool:
        """Whether the recorder has heard of the call at all."""
        return any(call in sent.raw_path or call.encode() in sent.body for sent in self.fake.requests)

    def silent(self, call: str) -> bool:
        return self.fake.calls[call].muted is Parties.BOTH


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patience = Patience(head_seconds=PATIENCE_SECONDS)
        patch.setattr(app, "Bind", partial(Bind, patience=patience))
        patch.setattr(app, "Rules", partial(Rules, body_seconds=PATIENCE_SECONDS))
        async with _housed(tmp_path_factory.mktemp("raw")) as house:
            yield house
            assert "internal-error" not in await house.counts()


@asynccontextmanager
async def _housed(directory: Path) -> AsyncIterator[House]:
    async with (
        demo.desk(directory, port=0) as desk,
        aiohttp.ClientSession() as session,
        app.running(_unhurried(desk.settings)) as state,
    ):
        yield House(
            port=state.port,
            key=desk.key,
            fake=desk.fakes["verba"],
            metrics_url=f"http://127.0.0.1:{state.admin_port}/metrics",
            session=session,
        )


def _unhurried(settings: Settings) -> Settings:
    """No limit of a client and no stalled disk is what these tests are about."""
    backend = settings.backends["verba"].model_copy(update={"timeout_seconds": 20.0})
    client = settings.clients[demo.CLIENT].model_copy(update={"requests_per_second": 100_000.0})
    changes = {
        "backends": {**settings.backends, "verba": backend},
        "clients": {demo.CLIENT: client},
        "policy": settings.policy.model_copy(update={"deadline_seconds": 20.0}),
    }
    return settings.model_copy(update=changes)


def written(data: bytes, house: House, call: str, other: str) -> bytes:
    """The bytes of a case, with its calls and the key in them."""
    paths = {b"@CALL": _path(call), b"@OTHER": _path(other), b"@ID": call.encode(), b"@KEY": house.key.encode()}
    hidden = HIDDEN
    for mark, value in paths.items():
        data, hidden = data.replace(mark, value), hidden.replace(mark, value)
    return data.replace(b"@LENGTH", str(len(hidden)).encode())


def _path(call: str) -> bytes:
    return f"/v1/calls/{call}/redaction".encode()


async def talked(port: int, data: bytes, *, shut: bool) -> tuple[int, ...]:
    """The statuses that come until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if shut:
        writer.write_eof()
    return await _heard(reader, writer)


async def dripped(port: int, first: bytes, drip: bytes) -> tuple[int, ...]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    dripping = asyncio.create_task(_drip(writer, drip))
    try:
        return await _heard(reader, writer)
    finally:
        dripping.cancel()


async def _drip(writer: asyncio.StreamWriter, drip: bytes) -> None:
    while True:
        await asyncio.sleep(0.05)
        writer.write(drip)


async def _heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, ...]:
    answer = b""
    with suppress(ConnectionError):  # it was told to go before it had said everything
        async with asyncio.timeout(30):
            while more := await reader.read(65_536):
                answer += more
    writer.close()
    return tuple(int(status) for status in _STATUS.findall(answer))


def _ids() -> Iterator[str]:
    for case in CASES:
        yield case.name.encode("ascii", "backslashreplace").decode()


def test_there_are_enough_of_them() -> None:
    """Names are told apart, and nobody thins the corpus out unseen."""
    assert len({case.name for case in CASES}) == len(CASES) > 300


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=_ids())
async def test_only_what_is_asked_for_in_good_form_is_done(house: House, case: Case) -> None:
    """Every other answer is a refusal that is counted, and no recorder hears of a call that is not to be muted."""
    call, other = house.calls()
    before = await house.refused()
    assert await talked(house.port, written(case.data, house, call, other), shut=case.shut) == case.answers
    await _counted(house, before + case.refused)
    assert (house.silent(call), house.silent(other)) == (case.muted, case.other)
    assert (house.reached(call), house.reached(other)) == (case.muted, case.other)


async def _counted(house: House, refused: float) -> None:
    """So many refusals, once the last of them has been written down, and no more."""
    async with asyncio.timeout(10):
        while await house.refused() < refused:  # noqa: ASYNC110 -- a counter is no event
            await asyncio.sleep(0.01)
    assert await house.refused() == refused


@pytest.mark.asyncio(loop_scope="module")
async def test_who_is_slow_has_an_end_and_a_mute_gets_through_meanwhile(house: House) -> None:
    """However a client keeps the line busy, head and body have one time each; all of them at once hold up nobody."""
    before = await house.refused()
    slow = asyncio.gather(*(_slow(house, one) for one in SLOW))
    call, _ = house.calls()
    assert await talked(house.port, written(raw.request(), house, call, call), shut=False) == (200,)
    assert not slow.done()
    assert await slow == [(one.name, one.answers, one.muted, False) for one in SLOW]
    await _counted(house, before + sum(one.refused for one in SLOW))


async def _slow(house: House, one: Slow) -> tuple[str, tuple[int, ...], bool, bool]:
    call, other = house.calls()
    answers = await dripped(house.port, written(one.first, house, call, other), written(one.drip, house, call, other))
    return one.name, answers, house.reached(call), house.reached(other)
