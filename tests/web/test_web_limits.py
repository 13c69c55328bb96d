"""Clients that are slow, greedy or many; and what is refused before it becomes a request: said, counted, ended."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import pytest
from front import CARD, DOCUMENT, PATH, Front, fronted, parsed, until
from structlog.testing import capture_logs

from gateway.asks import Answer, Ask
from gateway.metrics import CONTENT_TYPE, Page
from gateway.web import server
from gateway.web.admin import build_admin
from gateway.web.connection import Patience
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

HOUR = 3600.0
SECRET = "rgw_abcdefgh_secret"


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


def put(front: Front, *lines: str) -> bytes:
    said = [f"PUT {PATH} HTTP/1.1", "Host: x", f"X-API-Key: {front.keys['crm']}", *lines, "", ""]
    return "\r\n".join(said).encode()


async def connected(front: Front, stack: AsyncExitStack) -> tuple[StreamReader, StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    stack.callback(writer.close)
    return reader, writer


async def answered(reader: StreamReader, writer: StreamWriter, data: bytes) -> int:
    """The status of one request on a connection that stays open."""
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1])


def refused(front: Front, code: str, method: str = "other") -> float:
    return front.count("redaction_requests_total", method=method, outcome=code)


# ── slow ──


async def test_a_head_that_comes_byte_by_byte_is_cut() -> None:
    """However busy the client keeps the line, the whole head has one time; it is counted and nothing is asked."""
    async with fronted(patience=Patience(head_seconds=0.2)) as front, AsyncExitStack() as stack:
        reader, writer = await connected(front, stack)
        dripping = asyncio.create_task(_drip(writer, put(front)))
        with capture_logs() as lines:
            async with asyncio.timeout(30):
                assert await reader.read() == b""
        dripping.cancel()
        assert [(line["event"], line["late"]) for line in lines] == [("connection.cut", "head")]
        assert refused(front, "invalid-request") == 1
        assert not front.service.asked


async def _drip(writer: StreamWriter, data: bytes) -> None:
    for byte in data[:-1]:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    await asyncio.Event().wait()


async def test_the_second_head_of_a_connection_has_its_time_too() -> None:
    """A client that was quick once gets no more patience for it."""
    async with fronted(patience=Patience(head_seconds=0.1)) as front, AsyncExitStack() as stack:
        reader, writer = await connected(front, stack)
        assert await answered(reader, writer, put(front)) == 200
        writer.write(put(front)[:-1])
        async with asyncio.timeout(30):
            assert await reader.read() == b""


async def test_a_connection_that_idles_between_requests_is_not_cut() -> None:
    """The time of a head begins with its first byte: a load balancer's spare connection stays."""
    async with fronted(patience=Patience(head_seconds=0.05)) as front, AsyncExitStack() as stack:
        reader, writer = await connected(front, stack)
        assert await answered(reader, writer, put(front)) == 200
        await asyncio.sleep(0.2)
        assert await answered(reader, writer, put(front)) == 200


async def test_work_that_takes_longer_than_a_head_is_not_cut() -> None:
    """Only the client's slowness is meant."""
    gate = asyncio.Event()

    async def act(_: Ask) -> Answer:
        await gate.wait()
        return Answer(document=DOCUMENT)

    async with fronted(patience=Patience(head_seconds=1.0)) as front, AsyncExitStack() as stack:
        front.service.act = act
        reader, writer = await connected(front, stack)
        data = put(front)
        writer.write(data[:-3])
        await writer.drain()
        asyncio.get_running_loop().call_later(1.2, gate.set)
        assert await answered(reader, writer, data[-3:]) == 200


async def test_a_client_that_does_not_read_is_cut() -> None:
    """It asks and asks and takes no answer: neither its memory nor its place is kept."""
    async with fronted(patience=Patience(reading_seconds=0.1)) as front:
        greedy = socket.socket()
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(greedy, ("127.0.0.1", front.port))
        with capture_logs() as lines, greedy:
            asking = asyncio.create_task(_ask_for_ever(greedy, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"))
            await until(lambda: [line for line in lines if line["event"] == "connection.cut"])
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        cut = [line["late"] for line in lines if line["event"] == "connection.cut"]
        assert cut == ["answer"]


async def _ask_for_ever(greedy: socket.socket, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await loop.sock_sendall(greedy, data)


async def test_a_client_that_reads_late_but_reads_is_served() -> None:
    """Everything that was asked is answered, once the client goes on."""
    asked = 200
    async with fronted(patience=Patience(reading_seconds=HOUR)) as front, AsyncExitStack() as stack:
        reader, writer = await connected(front, stack)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(request * (asked - 1) + request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        await asyncio.sleep(0.3)
        answer = await reader.read()
        assert answer.count(b"HTTP/1.1 200 OK") == asked


# ── many ──


async def test_one_connection_too_many_takes_the_place_of_the_idlest() -> None:
    """A mute gets through however many connections somebody holds open; who spoke last is not the one to go."""
    async with fronted(patience=Patience(connections=2)) as front, AsyncExitStack() as stack:
        first, second = await connected(front, stack), await connected(front, stack)
        assert await answered(*second, put(front)) == 200
        assert await answered(*first, put(front)) == 200
        third = await connected(front, stack)
        assert await answered(*third, put(front)) == 200
        assert await second[0].read() == b""
        assert await answered(*first, put(front)) == 200


async def test_when_all_are_at_work_one_more_is_refused_and_counted() -> None:
    """What is under way is never cut for somebody new; when it is done there is room again."""
    begun, let = asyncio.Event(), asyncio.Event()

    async def act(_: Ask) -> Answer:
        begun.set()
        await let.wait()
        return Answer(document=DOCUMENT)

    async with fronted(patience=Patience(connections=1)) as front, AsyncExitStack() as stack:
        front.service.act = act
        reader, writer = await connected(front, stack)
        working = asyncio.create_task(answered(reader, writer, put(front)))
        await begun.wait()
        with capture_logs() as lines:
            await _until_refused(front, stack)
        assert [line["event"] for line in lines] == ["connection.refused"]
        assert refused(front, "rate-limited") == 1
        let.set()
        assert await working == 200
        assert await answered(*await connected(front, stack), put(front)) == 200


async def test_who_has_no_key_keeps_no_place_whatever_is_asked_for() -> None:
    """What anybody may ask for, and not read, is given up for a mute; so is a path that there is not."""
    patience = Patience(connections=3, reading_seconds=HOUR)
    async with fronted(patience=patience) as front, AsyncExitStack() as stack:
        for path in ("/openapi.json", "/openapi.json", "/nothing"):
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await _filled(wire, front.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await answered(*await connected(front, stack), put(front)) == 200


async def _filled(wire: socket.socket, port: int, data: bytes) -> None:
    """Ask until nothing more goes through, which is when the other side does not read any more."""
    wire.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(wire, ("127.0.0.1", port))
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while True:
                async with asyncio.timeout(0.3):
                    await loop.sock_sendall(wire, data * 50)


async def _until_refused(front: Front, stack: AsyncExitStack) -> None:
    reader, _ = await connected(front, stack)
    try:
        async with asyncio.timeout(20):
            assert await reader.read() == b""
    except ConnectionError:
        return


@pytest.mark.parametrize(("files", "most"), [(1024, 512), (10_000_000, 4096), (resource.RLIM_INFINITY, 4096), (1, 1)])
def test_connections_leave_files_for_the_rest(files: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, journal and vendors need files as well, or a mute could be taken and not be carried out."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert server._most(Patience().connections) == most


# ── refused before it is a request ──


async def test_an_unknown_expectation_is_417_and_counted(front: Front) -> None:
    """A problem like any other, that repeats nothing; whoever sent an id finds it again."""
    lines = (f"Expect: {SECRET}", "X-Request-Id: abcd-1234", "Connection: close")
    reply = parsed(await front.raw(put(front, *lines)))
    assert (reply.status, reply.json["code"]) == (417, "expectation-failed")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert (reply.headers["X-Request-Id"], reply.json["request_id"]) == ("abcd-1234", "abcd-1234")
    assert (reply.headers["Cache-Control"], reply.headers["Server"]) == ("no-store", "redaction-gateway")
    assert SECRET not in str(reply)
    assert refused(front, "expectation-failed", "PUT") == 1
    assert not front.service.asked


async def test_an_expectation_of_an_unknown_method_is_counted_as_other(front: Front) -> None:
    """No label is ever a client's own word."""
    head = b"PROPFIND / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nConnection: close\r\n\r\n"
    assert parsed(await front.raw(head)).status == 417
    assert refused(front, "expectation-failed") == 1


@pytest.mark.parametrize("method", ["FOO", "GETT", "put", CARD])
async def test_a_method_that_nobody_knows_is_405_and_told_which_there_are(front: Front, method: str) -> None:
    """Also one that the parser does not get past."""
    reply = parsed(await front.raw(f"{method} {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    assert (reply.status, reply.json["code"]) == (405, "method-not-allowed")
    assert reply.headers["Allow"] == "DELETE,GET,HEAD,POST,PUT"
    assert refused(front, "method-not-allowed") == 1


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n"])
async def test_what_cannot_be_read_is_counted(front: Front, data: bytes) -> None:
    """Whoever probes shows in the metrics."""
    assert parsed(await front.raw(data)).status == 400
    assert refused(front, "invalid-request") == 1


async def test_the_admin_port_refuses_alike_and_counts_nobody() -> None:
    """Probes are no clients: what they do wrong is said and logged only."""
    app = build_admin(ready=lambda: True, metrics=lambda _: Page(b"", CONTENT_TYPE))
    async with listening(app, Bind(host="127.0.0.1")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"FOO / HTTP/1.1\r\n\r\n")
        reply = parsed(await reader.read())
        writer.close()
    assert (reply.status, reply.headers["Allow"]) == (405, "GET,HEAD")
