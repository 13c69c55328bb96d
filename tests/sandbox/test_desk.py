from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.model import Parties, Vendor
from gateway.sandbox.desk import CARD_NUMBER, Fake, FakeReply, FaultKind, Operation, Perform, WireRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Plain(Fake):
    """The simplest vendor: `POST /mute/<id>` mutes, anything else is a read."""

    vendor = Vendor.VOICENTER

    def settings(self) -> dict[str, object]:
        return {"base_url": self.base_url}

    def operation(self, request: WireRequest) -> Operation:
        return "command" if request.method == "POST" else "read"

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        if request.method == "POST":
            call = self.calls[request.path[-1]]
            perform(lambda: call.switch(Parties.BOTH))
        return FakeReply.of_json({"ok": True})

    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        return FakeReply.of_json({"no": text, "path": request.path})


class PlainXml(Plain):
    dialect = "xml"


@pytest.fixture
async def fake() -> AsyncIterator[Plain]:
    fake = Plain()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def web(fake: Plain) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake.base_url, auto_decompress=False) as session:
        yield session


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 -- a tape tells nobody when it changes
            await asyncio.sleep(0.01)


async def mute(web: aiohttp.ClientSession, call_id: str = "c1") -> tuple[int, bytes]:
    async with web.post(f"/mute/{call_id}", allow_redirects=False, headers={"X-Key": "s3cret"}) as response:
        return response.status, await response.read()


async def test_a_command_reaches_the_tape(fake: Plain, web: aiohttp.ClientSession) -> None:
    """The recorder is silent before the answer is out."""
    call = fake.add_call("c1", extension="8856")
    assert call.tape.recorded(Parties.BOTH, since=call.tape.began, until=time.time_ns())
    assert (await mute(web))[0] == 200
    now = time.time_ns()
    assert call.tape.silent(Parties.BOTH, since=now, until=now)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FaultKind.UNAUTHORIZED, 401),
        (FaultKind.THROTTLE, 429),
        (FaultKind.SERVER_ERROR, 500),
        (FaultKind.REDIRECT, 307),
        (FaultKind.GARBAGE, 200),
        (FaultKind.REFUSE, 200),
        (FaultKind.LIE, 200),
    ],
)
async def test_faults_that_answer(fake: Plain, web: aiohttp.ClientSession, kind: FaultKind, status: int) -> None:
    """Each of these answers as planned, and nothing happens to the call."""
    call = fake.add_call("c1", extension="8856")
    fake.plan(kind)
    assert (await mute(web))[0] == status
    assert call.muted is Parties.NONE


async def test_a_late_effect(fake: Plain, web: aiohttp.ClientSession) -> None:
    """LATE says ok first and does it afterwards."""
    call = fake.add_call("c1", extension="8856")
    fake.plan(FaultKind.LATE, delay=0.05)
    assert (await mute(web))[0] == 200
    assert call.muted is Parties.NONE
    await until(lambda: call.muted is Parties.BOTH)


@pytest.mark.parametrize(("kind", "muted"), [(FaultKind.DROP, Parties.NONE), (FaultKind.DROP_AFTER, Parties.BOTH)])
async def test_a_cut_connection(fake: Plain, web: aiohttp.ClientSession, kind: FaultKind, muted: Parties) -> None:
    """The connection is cut after the request was read, before or after it was carried out."""
    call = fake.add_call("c1", extension="8856")
    fake.plan(kind)
    with pytest.raises(aiohttp.ClientError):
        await mute(web)
    assert (call.muted, len(fake.requests)) == (muted, 1)


async def test_a_hanging_answer(fake: Plain, web: aiohttp.ClientSession) -> None:
    """HANG reads the request and never answers; stopping the fake ends it."""
    fake.add_call("c1", extension="8856")
    fake.plan(FaultKind.HANG)
    asked = asyncio.create_task(mute(web))
    await until(lambda: len(fake.requests) > 0)
    assert not asked.done()
    await fake.stop()
    with pytest.raises(aiohttp.ClientError):
        await asked


async def test_a_huge_and_a_bottomless_answer(fake: Plain, web: aiohttp.ClientSession) -> None:
    """HUGE is far over any sane limit; the bomb speaks the vendor's language."""
    fake.add_call("c1", extension="8856")
    fake.plan(FaultKind.HUGE, times=1)
    assert len((await mute(web))[1]) == 1024 * 1024
    fake.plan(FaultKind.XML_BOMB)
    assert (await mute(web))[1].startswith(b"[[[[")
    other = PlainXml()
    await other.start()
    other.plan(FaultKind.XML_BOMB)
    async with aiohttp.ClientSession(other.base_url) as session:
        assert b"<!ENTITY" in (await mute(session))[1]
    await other.stop()


async def test_a_leak_quotes_everything(fake: Plain, web: aiohttp.ClientSession) -> None:
    """The leaking answer holds a card number and the secrets of the request's headers, path and body."""
    fake.plan(FaultKind.LEAK)
    async with web.post("/mute/c1?k=in+query", data=b"in body", headers={"X-Key": "in header"}) as response:
        text = await response.text()
    assert all(word in text for word in (CARD_NUMBER, "in+query", "in body", "in header"))


async def test_plans_pick_their_requests(fake: Plain, web: aiohttp.ClientSession) -> None:
    """A plan hits only its operations, only so many times, the oldest first; healing ends all."""
    fake.add_call("c1", extension="8856")
    fake.plan(FaultKind.THROTTLE, on={"read"})
    fake.plan(FaultKind.SERVER_ERROR, on={"command"}, times=2)
    fake.plan(FaultKind.UNAUTHORIZED, on={"command"}, times=1)
    assert [(await mute(web))[0] for _ in range(4)] == [500, 500, 401, 200]
    async with web.get("/anything") as response:
        assert response.status == 429
    fake.heal()
    async with web.get("/anything") as response:
        assert response.status == 200


async def test_requests_are_kept_as_they_were(fake: Plain, web: aiohttp.ClientSession) -> None:
    """Method, target, headers and body are those of the wire, and can be read in the vendors' ways."""
    async with web.get("/a%2Fb/0003*210?x=1&y=&x=2"):
        pass
    async with web.put("/form", data={"a": "1 2", "b": ""}):
        pass
    async with web.put("/json", json={"a": 1}):
        pass
    async with web.put("/json", json=[1]):
        pass
    get, form, json, array = fake.requests
    assert (get.method, get.path) == ("GET", ("a/b", "0003*210"))
    assert get.raw_path == "/a%2Fb/0003*210?x=1&y=&x=2"
    assert get.query == (("x", "1"), ("y", ""), ("x", "2"))
    assert (get.form, dict(get.json)) == ((), {})
    assert form.form == (("a", "1 2"), ("b", ""))
    assert (dict(json.json), dict(array.json)) == ({"a": 1}, {})
    assert fake.sent("read") == list(fake.requests)
    assert fake.read_times == sorted(fake.read_times)
    assert fake.sent("command") == []


async def test_it_comes_back_on_the_same_port(fake: Plain) -> None:
    """A fake that was stopped refuses connections, and started again it is where it was."""
    before = fake.base_url
    await fake.stop()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(before)
        await fake.start()
        async with session.get(fake.base_url) as response:
            assert (fake.base_url, response.status) == (before, 200)


def test_calls_are_found() -> None:
    """Ongoing calls are found by id and extension; ended ones are not."""
    fake = Plain()
    one, two = fake.add_call("c1", extension="1"), fake.add_call("c2", extension="2")
    assert fake.ongoing() == [one, two]
    assert fake.ongoing(extension="2") == [two]
    assert fake.ongoing(call_id="c1", extension="2") == []
    fake.end_call("c2")
    assert fake.ongoing(call_id="c2") == []


async def test_stopping_what_never_ran() -> None:
    """Stopping is fine at any time."""
    await Plain().stop()


async def test_control_over_http(fake: Plain, web: aiohttp.ClientSession) -> None:
    """A tester in another process can add calls, see their tapes, resume and end them."""
    async with web.post("/_sandbox/calls", json={"call_id": "c1", "extension": "8856"}) as response:
        assert (response.status, (await response.json())["muted"]) == (201, None)
    await mute(web)
    async with web.get("/_sandbox/calls") as response:
        (call,) = await response.json()
    assert (call["call_id"], call["extension"], call["muted"], call["ended"]) == ("c1", "8856", "both", False)
    assert [cut["muted"] for cut in call["tape"]["cuts"]] == [None, "both"]
    async with web.post("/_sandbox/calls/c1/resume") as response:
        assert (await response.json())["muted"] is None
    async with web.delete("/_sandbox/calls/c1") as response:
        assert (await response.json())["ended"] is True
    async with web.delete("/_sandbox/calls/c9") as response:
        assert response.status == 404
    assert fake.calls["c1"].ended
    async with web.get("/_sandbox/requests") as response:
        (request,) = await response.json()
    assert (request["operation"], request["method"], request["raw_path"]) == ("command", "POST", "/mute/c1")


async def test_faults_over_http(fake: Plain, web: aiohttp.ClientSession) -> None:
    """Faults are planned, listed and healed from outside; a misspelt one is told so."""
    fake.add_call("c1", extension="8856")
    async with web.post("/_sandbox/faults", json={"kind": "throttle", "on": ["command"], "times": 5}) as response:
        planned = await response.json()
    assert planned == {"kind": "throttle", "on": ["command"], "times": 5, "delay": 0.3}
    assert (await mute(web))[0] == 429
    async with web.get("/_sandbox/faults") as response:
        assert await response.json() == [{**planned, "times": 4}]
    async with web.delete("/_sandbox/faults") as response:
        assert await response.json() == []
    assert (await mute(web))[0] == 200
    async with web.post("/_sandbox/faults", json={"kind": "magic"}) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["loc"] == ["kind"]
