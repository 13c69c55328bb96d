"""Connections that go wrong: clients that hang up, bodies that do not come, bytes that are no HTTP, the end."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from front import CARD, DOCUMENT, PATH, Front, fronted, parsed, until
from structlog.testing import capture_logs

from gateway.asks import Answer, Ask, Code
from gateway.web.exchange import Work
from gateway.web.server import Bind, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "rgw_abcdefgh_secret"


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with fronted() as front:
        yield front


class Gate:
    """A service's work that goes on when it is let."""

    def __init__(self) -> None:
        self.begun, self.let, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def act(self, _: Ask) -> Answer:
        self.begun.set()
        await self.let.wait()
        self.done.set()
        return Answer(document=DOCUMENT)


def head(front: Front, *lines: str, method: str = "PUT") -> bytes:
    said = [f"{method} {PATH} HTTP/1.1", "Host: x", f"X-API-Key: {front.keys['crm']}", *lines, "", ""]
    return "\r\n".join(said).encode()


async def test_a_client_that_hangs_up_changes_nothing(front: Front) -> None:
    """The mute under way is finished, counted and logged as if somebody had waited."""
    gate = Gate()
    front.service.act = gate.act
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(head(front))
        await gate.begun.wait()
        writer.transport.abort()
        await _until_gone(writer)
        gate.let.set()
        await gate.done.wait()
        await until(lambda: lines)
    assert (lines[0]["event"], lines[0]["code"]) == ("request.served", "ok")
    assert front.count("redaction_requests_total", method="PUT", outcome="ok") == 1


async def _until_gone(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        return


async def test_work_goes_on_when_the_one_who_waits_is_cancelled() -> None:
    """The task belongs to the gateway, not to the connection; the end waits for it."""
    work, gate = Work(), Gate()

    async def carried_out() -> web.StreamResponse:
        await gate.act(Ask.__new__(Ask))
        return web.Response()

    waiting = asyncio.create_task(work.run(carried_out()))
    await gate.begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    drained = asyncio.create_task(work.drain(60))
    await asyncio.sleep(0)
    assert not drained.done()
    gate.let.set()
    await drained
    assert gate.done.is_set()


async def test_draining_has_an_end() -> None:
    """A request that never ends does not keep the process."""
    work = Work()
    waiting = asyncio.create_task(work.run(_never()))
    await asyncio.sleep(0)
    await work.drain(0.01)
    assert len(work._tasks) == 1
    for task in work._tasks:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _never() -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def test_shutting_down_finishes_what_is_under_way() -> None:
    """The request gets its answer; a new connection is refused."""
    gate = Gate()
    async with aiohttp.ClientSession() as session:
        async with fronted() as front:
            front.service.act = gate.act
            headers = {"X-API-Key": front.keys["crm"]}
            url = f"http://127.0.0.1:{front.port}{PATH}"
            asking = asyncio.create_task(_status(session, url, headers))
            await gate.begun.wait()
            asyncio.get_running_loop().call_soon(gate.let.set)
        assert await asking == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await _status(session, url, headers)


async def test_shutting_down_finishes_what_nobody_waits_for_any_more() -> None:
    """A mute whose client has gone, and whose connection has been given up, is carried out before the end."""
    gate = Gate()
    async with fronted(grace_seconds=0.01) as front:
        front.service.act = gate.act
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(head(front))
        await gate.begun.wait()
        writer.transport.abort()
        await _until_gone(writer)
        asyncio.get_running_loop().call_later(0.1, gate.let.set)
    assert gate.done.is_set()


async def _status(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with session.put(url, headers=headers) as response:
        return response.status


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    """400 after the time that a body gets; nothing is asked."""
    async with fronted(body_seconds=0.05) as front:
        lines = ("Content-Type: application/json", "Content-Length: 20", "Connection: close")
        async with asyncio.timeout(4):  # less than the default, so that the configured time is what counts
            reply = parsed(await front.raw(head(front, *lines) + b'{"hold":'))
        assert (reply.status, reply.fields) == (400, ["body"])
        assert not front.service.asked


async def test_half_a_body_is_not_a_mute(front: Front) -> None:
    """A client that hangs up within its body has asked for nothing, and it is logged as that."""
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(head(front, "Content-Type: application/json", "Content-Length: 20") + b'{"hold":')
        await writer.drain()
        await _until_gone(writer)
        await until(lambda: lines)
    assert lines[0]["code"] == "invalid-request"
    assert not front.service.asked


async def test_a_broken_chunk_is_400(front: Front) -> None:
    """The framing is at fault, nothing is asked."""
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close")
    reply = parsed(await front.raw(head(front, *lines) + b"zz\r\n{}\r\n0\r\n\r\n"))
    assert reply.status == 400
    assert not front.service.asked


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        f"GET /{CARD} {SECRET}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nX-API-Key: {SECRET}\x00{CARD}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\n{SECRET} {CARD}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\nX: {SECRET}{'a' * 9000}\r\n\r\n".encode(),
        f"GET /{SECRET}{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}\r\n\r\n".encode(),
        f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        f"PUT {PATH} HTTP/9.9 {SECRET}\r\n\r\n".encode(),
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=range(10),
)
async def test_bytes_that_are_no_http_are_a_problem_that_repeats_nothing(
    front: Front, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answer nor any log has what was sent; the connection is closed."""
    with capture_logs() as lines:
        reply = parsed(await front.raw(data))
    assert reply.status in {400, 404, 405}
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["request_id"] == reply.headers["X-Request-Id"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert len(lines) == 1
    for output in (str(reply), str(lines), caplog.text):
        assert SECRET not in output
        assert CARD not in output
    assert not front.service.asked


async def test_a_failing_connection_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What aiohttp has to say of a broken handler is its kind only; the caller gets a problem."""
    app = web.Application()

    async def broken(_: web.Request) -> web.StreamResponse:
        raise RuntimeError(SECRET)

    app.router.add_get("/", broken)
    with capture_logs() as lines:
        async with listening(app, Bind(host="127.0.0.1")) as port:
            reply = parsed(await _got(port))
    assert (reply.status, reply.json["code"]) == (500, "internal-error")
    assert SECRET not in str(reply)
    assert lines == [
        {"event": "request.malformed", "log_level": "warning", "status": 500, "error": "RuntimeError",
         "request_id": lines[0]["request_id"]}
    ]  # fmt: skip
    assert SECRET not in caplog.text


async def test_an_answer_that_has_begun_is_cut_not_mended() -> None:
    """A second answer behind half of the first would be taken for the next request's."""
    app = web.Application()

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError(SECRET)

    app.router.add_get("/", broken)
    with capture_logs() as lines:
        async with listening(app, Bind(host="127.0.0.1")) as port:
            answer = await _got(port)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"half\r\n")
    assert SECRET not in str(lines) + str(answer)


async def _got(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    await _until_gone(writer)
    return answer


async def test_one_connection_serves_one_request_after_the_other(front: Front) -> None:
    """Also after a refused one."""
    bad = head(front, "Content-Type: text/plain", "Content-Length: 2") + b"{}"
    answer = await front.raw(bad + head(front) + head(front, "Connection: close"))
    assert re.findall(rb"HTTP/1.1 [0-9]{3}", answer) == [
        b"HTTP/1.1 415", b"HTTP/1.1 200", b"HTTP/1.1 200",
    ]  # fmt: skip


async def test_expect_continue_is_served(front: Front) -> None:
    """Curl asks so before longer bodies."""
    lines = ("Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue", "Connection: close")
    answer = await front.raw(head(front, *lines) + b"{}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_what_the_http_library_complains_of_is_its_kind_only(caplog: pytest.LogCaptureFixture) -> None:
    """Its own texts may hold what was sent; ours are constants."""
    app = web.Application()

    async def silent(_: web.Request) -> web.StreamResponse:
        return None  # type: ignore[return-value]  # -- the fault that is planted

    app.router.add_get("/", silent)
    with capture_logs() as lines:
        async with listening(app, Bind(host="127.0.0.1")) as port:
            assert parsed(await _got(port)).status == 500
    assert [line["event"] for line in lines] == ["connection.failed"]
    assert not caplog.records


async def test_what_is_no_request_is_written_down(front: Front) -> None:
    """From where and why, never what; with a code of ours, whoever refused it."""
    await front.raw(f"PUT {PATH} HTTP/1.1\r\n{CARD}\r\n\r\n".encode())
    await front.raw(b"NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n")
    codes = {code for code, _ in front.denials.never_requests}
    assert codes <= {Code.INVALID_REQUEST, Code.METHOD_NOT_ALLOWED}
    assert Code.INVALID_REQUEST in codes
    assert {address for _, address in front.denials.never_requests} == {"127.0.0.1"}


@pytest.mark.pci("12.10.7")
async def test_a_card_number_where_none_belongs_is_written_down(front: Front) -> None:
    """In a field, in a header: whose key it was and from where, and it is counted; a stranger's is not ours to tell."""
    await front.ask("PUT", json={"actor": CARD})
    await front.ask("PUT", headers={"Idempotency-Key": CARD})
    await front.ask("PUT", json={"targets": {"pbx": {"user_id": CARD}}})
    await front.ask("PUT", json={"actor": CARD}, client="")
    await front.ask("PUT", json={"actor": "two words"})
    await front.ask("DELETE", f"{PATH}?hold={CARD}")
    assert front.denials.cards == [("crm", "127.0.0.1")] * 4
    assert front.denials.names == [("actor",), ("idempotency-key",), ("user_id",), ("hold",)]
    assert front.count("card_numbers_found_total") == 4


@pytest.mark.parametrize("size", [20_000, 3 * 2**20])
async def test_a_body_that_was_refused_is_passed_over(front: Front, size: int) -> None:
    """However far it is beyond what is kept of one at once: the next request of the connection is answered."""
    lines = ("Content-Type: application/json", f"Content-Length: {size}")
    more = [head(front, method="GET")] * 40 + [head(front, "Connection: close", method="GET")]
    answer = await front.raw(head(front, *lines) + b"x" * size + b"".join(more))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"413", *[b"200"] * len(more)]
