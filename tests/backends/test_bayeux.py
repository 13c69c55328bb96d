"""The protocol's client against a real server on a real socket; only its pauses are watched instead of slept."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.backends import bayeux
from gateway.backends.bayeux import Advice, BayeuxClient, Event, Reconnect, read
from gateway.backends.contract import Unconfirmed
from gateway.backends.http import HttpClient, HttpRequest
from gateway.backends.settings import BackendSettings
from gateway.sandbox.bayeux import BayeuxServer, Trick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.backends.bayeux import Message

CHANNEL = "/v2/me/calls"
ASKED = bayeux.connect(7, "abc")


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(0.005)


@dataclass(kw_only=True)
class Line:
    """A client on its server: what it heard, how long it wanted to rest, and what it logged."""

    server: BayeuxServer
    client: BayeuxClient
    task: asyncio.Task[None]
    heard: list[object]
    pauses: list[float]
    logged: list[str] = field(default_factory=list)

    async def ready(self) -> None:
        await until(lambda: self.client.live and self.server.listeners)

    async def lost(self, cause: Callable[[], None]) -> None:
        """The client has noticed what `cause` did."""
        pauses = len(self.pauses)
        cause()
        await until(lambda: len(self.pauses) > pauses)

    async def hears(self, data: object) -> None:
        self.server.publish(CHANNEL, data)
        await until(lambda: data in self.heard)


@asynccontextmanager
async def serving(server: BayeuxServer) -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await server.serve(request, session="s")

    app = web.Application()
    app.router.add_post("/n", serve)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        server.expire()
        await runner.cleanup()


@asynccontextmanager
async def listening(server: BayeuxServer, hear: Callable[[object], None] | None = None) -> AsyncIterator[Line]:
    heard: list[object] = []
    pauses: list[float] = []

    async def rest(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.001)

    async with serving(server) as origin:
        http = HttpClient(BackendSettings(base_url=origin, timeout_seconds=30))

        async def say(message: Message, patience_seconds: float) -> object:
            deadline = asyncio.get_running_loop().time() + patience_seconds
            reply = await http.exchange(HttpRequest(method="POST", path=("n",), json=(message,)), deadline=deadline)
            reply.expect_ok()
            return reply.json()

        client = BayeuxClient(say, name="gws", channel=CHANNEL, hear=hear or heard.append, sleep=rest)
        with capture_logs() as logs:
            task = asyncio.create_task(client.run())
            line = Line(server=server, client=client, task=task, heard=heard, pauses=pauses)
            try:
                yield line
            finally:
                task.cancel()
                await asyncio.wait({task})
                await http.close()
        line.logged = [entry["event"] for entry in logs]
        assert not client.live


@pytest.fixture
def server() -> BayeuxServer:
    return BayeuxServer()


def channels(server: BayeuxServer) -> list[object]:
    return [message["channel"] for message in server.received]


# Reading


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        "text",
        [{"channel": "/meta/connect", "id": "8", "successful": True}],
        [{"channel": "/meta/handshake", "id": "7", "successful": True}],
        [{"channel": CHANNEL, "data": 1}],
    ],
)
def test_an_answer_without_our_reply_is_unreadable(answer: object) -> None:
    """Another message's reply, events alone, or nothing: nobody knows how the connect went."""
    with pytest.raises(Unconfirmed):
        read(answer, ASKED, Advice())


@pytest.mark.parametrize("successful", [False, None, "true", 1])
def test_only_true_is_success(successful: object) -> None:
    """A word or a number that looks like yes is not one."""
    assert not read({"channel": "/meta/connect", "successful": successful}, ASKED, Advice()).successful


def test_events_come_in_the_order_of_the_wire() -> None:
    """Whatever is not an event, or not readable, is passed over; a reply need not repeat the id."""
    events = [{"channel": CHANNEL, "data": 1}, 5, {"channel": "/meta/x", "data": 2}, {"channel": "/b", "data": None}]
    answer = read([*events, {"channel": "/meta/connect", "successful": True, "clientId": ""}], ASKED, Advice())
    assert answer.successful
    assert answer.client_id is None
    assert answer.events == (Event(channel=CHANNEL, data=1), Event(channel="/b", data=None))


@pytest.mark.parametrize(
    ("advice", "wanted"),
    [
        (None, Advice(interval_seconds=1)),
        ("retry", Advice(interval_seconds=1)),
        ({}, Advice(interval_seconds=1)),
        ({"reconnect": "dance", "interval": -1, "timeout": True}, Advice(interval_seconds=1)),
        ({"reconnect": ["none"], "interval": "2", "timeout": None}, Advice(interval_seconds=1)),
        ({"reconnect": "none", "interval": 0}, Advice(reconnect=Reconnect.NONE)),
        ({"interval": 10**400, "timeout": 1e300}, Advice(interval_seconds=60, timeout_seconds=120)),
        ({"interval": 2500, "timeout": 60_000}, Advice(interval_seconds=2.5, timeout_seconds=60)),
    ],
)
def test_advice_holds_until_there_is_other(advice: object, wanted: Advice) -> None:
    """What is not said, or not sensible, stays as it was; no server makes us wait without end."""
    reply = {"channel": "/meta/connect", "id": "7", "successful": True, "advice": advice}
    assert read([reply], ASKED, Advice(interval_seconds=1)).advice == wanted


# Talking


async def test_it_shakes_hands_subscribes_and_connects(server: BayeuxServer) -> None:
    """The messages are the protocol's, each with an id of its own; events arrive one after the other."""
    async with listening(server) as line:
        await line.ready()
        await line.hears("one")
        await line.hears("two")
        server.publish("/other", "not ours")
        await line.hears("three")
    assert line.heard == ["one", "two", "three"]
    assert channels(server)[:3] == ["/meta/handshake", "/meta/subscribe", "/meta/connect"]
    first, subscribe, connect, *_ = server.received
    assert first == {
        "id": "1",
        "channel": "/meta/handshake",
        "version": "1.0",
        "minimumVersion": "1.0",
        "supportedConnectionTypes": ["long-polling"],
    }
    assert (subscribe["subscription"], connect["connectionType"]) == (CHANNEL, "long-polling")
    assert len({message["id"] for message in server.received}) == len(server.received)
    assert len(server.said("/meta/handshake")) == 1
    assert line.logged == ["stream.opened"]


async def test_a_forgotten_client_begins_anew(server: BayeuxServer) -> None:
    """402 unknown client: another handshake and subscription, and events go on."""
    async with listening(server) as line:
        await line.ready()
        server.expire()
        await until(lambda: len(server.said("/meta/subscribe")) >= 2)
        await line.ready()
        await line.hears("after")
    assert len(server.said("/meta/handshake")) == 2
    assert line.logged == ["stream.opened", "stream.lost", "stream.opened"]


async def test_a_cut_connection_loses_nothing(server: BayeuxServer) -> None:
    """The same client connects again and hears what was said meanwhile."""
    async with listening(server) as line:
        await line.ready()
        server.withheld = True
        server.publish(CHANNEL, "meanwhile")
        await line.lost(server.cut)
        await line.ready()
        server.withheld = False
        server.release()
        await until(lambda: line.heard == ["meanwhile"])
    assert len(server.said("/meta/handshake")) == 1


async def test_cut_twice_it_begins_anew(server: BayeuxServer) -> None:
    """A client that does not get through is given up; one line tells of it."""
    async with listening(server) as line:
        await line.ready()
        server.cuts = 1
        server.cut()
        await until(lambda: len(server.said("/meta/handshake")) >= 2)
        await line.ready()
        await line.hears("after")
    assert line.logged.count("stream.lost") == 1


async def test_advice_none_is_the_end(server: BayeuxServer) -> None:
    """A server that does not want the client is left alone, after a failure and after a success."""
    async with listening(server) as line:
        await line.ready()
        server.reconnect = "none"
        server.publish(CHANNEL, "last words")
        async with asyncio.timeout(10):
            await line.task
        told = len(server.received)
    assert line.heard == ["last words"]
    assert len(server.received) == told
    assert line.logged[-1] == "stream.ended"


async def test_a_refused_handshake_with_advice_none_is_the_end(server: BayeuxServer) -> None:
    """No second try, no pause."""
    server.forbidden = True
    server.reconnect = "none"
    async with listening(server) as line, asyncio.timeout(10):
        await line.task
    assert channels(server) == ["/meta/handshake", "/meta/subscribe"]
    assert line.pauses == []
    assert line.logged == ["stream.lost", "stream.ended"]


async def test_advice_handshake_is_followed(server: BayeuxServer) -> None:
    """A connect that went well and asks for a new client gets one."""
    async with listening(server) as line:
        await line.ready()
        server.reconnect = "handshake"
        server.publish(CHANNEL, "bye")
        await until(lambda: len(server.said("/meta/handshake")) >= 2)
        server.reconnect = "retry"
        await line.ready()
        await line.hears("again")


@pytest.mark.parametrize("trouble", ["missing", "forbidden"])
async def test_a_server_without_the_channel_costs_one_line(server: BayeuxServer, trouble: str) -> None:
    """Tried more and more seldom, at last once a minute, never in step with others; said once."""
    setattr(server, trouble, True)
    async with listening(server) as line:
        await until(lambda: len(line.pauses) >= 40)
        assert not line.client.live
        setattr(server, trouble, False)
        await line.ready()
        await line.hears("at last")
    assert line.logged == ["stream.lost", "stream.opened"]
    pauses = line.pauses[:40]
    assert pauses[0] <= 0.1
    assert all(30 <= pause <= 60 for pause in pauses[-20:])
    assert len(set(pauses[-20:])) > 1


async def test_the_servers_interval_is_kept(server: BayeuxServer) -> None:
    """The pause between two connects is the one that was asked for."""
    server.interval_ms = 1_500
    async with listening(server) as line:
        await line.ready()
        await line.hears("one")
        await line.hears("two")
    assert line.pauses
    assert set(line.pauses) == {1.5}


async def test_a_server_that_holds_nothing_is_asked_less_and_less(server: BayeuxServer) -> None:
    """Empty answers at once do not make a storm; an event makes it prompt again."""
    server.timeout_ms = 0
    async with listening(server) as line:
        await until(lambda: line.pauses and line.pauses[-1] == 5.0)
        assert line.pauses[0] == pytest.approx(0.05)
        assert line.pauses == sorted(line.pauses)
        await line.hears("news")
        count = len(line.pauses)
        await until(lambda: len(line.pauses) > count)
        assert min(line.pauses[count - 1 :]) < 5.0


async def test_garbage_does_not_cost_the_event_beside_it(server: BayeuxServer) -> None:
    """Odd messages are passed over; doubled and reversed ones arrive as they came."""
    server.tricks = {Trick.GARBAGE, Trick.DOUBLED, Trick.REVERSED}
    async with listening(server) as line:
        await line.ready()
        server.withheld = True
        server.publish(CHANNEL, "one")
        server.publish(CHANNEL, "two")
        server.withheld = False
        server.release()
        await until(lambda: "one" in line.heard)
        assert line.client.live
    assert [event for event in line.heard if isinstance(event, str)] == ["two", "two", "one", "one"]
    assert "stream.lost" not in line.logged


async def test_a_huge_answer_is_not_read(server: BayeuxServer) -> None:
    """It is a failure like a cut; afterwards events go on."""
    server.tricks = {Trick.HUGE}
    async with listening(server) as line:
        await line.ready()
        await line.lost(lambda: server.publish(CHANNEL, "lost"))
        server.tricks = set()
        await line.ready()
        await line.hears("after")
    assert line.heard == ["after"]


async def test_an_event_that_trips_the_listener_does_not_end_the_stream(server: BayeuxServer) -> None:
    """It is logged; the next event is heard."""
    heard: list[object] = []

    def hear(data: object) -> None:
        if data == "bad":
            raise ZeroDivisionError
        heard.append(data)

    async with listening(server, hear) as line:
        await line.ready()
        await line.lost(lambda: server.publish(CHANNEL, "bad"))
        await line.ready()
        server.publish(CHANNEL, "good")
        await until(lambda: heard == ["good"])
    assert "stream.tripped" in line.logged


async def test_a_handshake_without_a_client_is_unreadable() -> None:
    """A yes that names nobody is no session: tried again from the start."""
    said: list[object] = []
    enough = asyncio.Event()

    async def say(message: Message, _: float) -> object:
        said.append(message["channel"])
        return [{"channel": message["channel"], "successful": True}]

    async def rest(_: float) -> None:
        if len(said) == 3:
            enough.set()
            await asyncio.Event().wait()

    client = BayeuxClient(say, name="gws", channel=CHANNEL, hear=said.append, sleep=rest)
    task = asyncio.create_task(client.run())
    await enough.wait()
    task.cancel()
    await asyncio.wait({task})
    assert said == ["/meta/handshake"] * 3


async def test_it_takes_its_leave(server: BayeuxServer) -> None:
    """Who is subscribed says that it goes, and does not mind when nobody hears it; who never was says nothing."""
    async with listening(server) as line:
        await line.ready()
        line.task.cancel()
        await asyncio.wait({line.task})
        await line.client.leave()
        assert len(server.said("/meta/disconnect")) == 1
        server.missing = True
        await line.client.leave()
    server = BayeuxServer()
    server.missing = True
    async with listening(server) as line:
        await line.client.leave()
    assert not server.received
