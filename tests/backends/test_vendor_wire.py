"""What is written is what aiohttp itself would have written, and what is read what aiohttp would have read."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import hdrs

from gateway.backends import http, wire
from gateway.backends.attempt import Attempt
from gateway.backends.contract import BackendError
from gateway.backends.http import HttpClient, HttpReply, HttpRequest
from gateway.backends.settings import BackendSettings
from gateway.tracing import OUTGOING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LETTERS = "aZ0-_.~*@+ é/%?&=#\"'"
_COOKIES = ("s=1; Path=/", 'q="a b"; Path=/', "deep=x; Path=/api/calls", "é=ü; Path=/", "gone=; Max-Age=0; Path=/")


class _Recorder:
    """Keeps every request as it came, and answers with what it is told to."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        self.ends = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.split(b"\r\n")
                length = next((int(line[16:]) for line in lines if line.startswith(b"Content-Length: ")), 0)
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                if self.ends:
                    break
        writer.close()


@asynccontextmanager
async def _both(path: str = "") -> AsyncIterator[tuple[_Recorder, HttpClient]]:
    recorder = _Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    client = HttpClient(
        BackendSettings.model_validate({"base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"})
    )
    yield recorder, client
    await client.close()
    server.close()
    await server.wait_closed()


def _soon() -> float:
    return asyncio.get_running_loop().time() + 5.0


async def _by_aiohttp(client: HttpClient, request: HttpRequest) -> HttpReply:
    """The same over the library's own session, which keeps the cookies, too."""
    async with client._session().request(
        request.method,
        client._url(request),
        data=http._body(request),
        headers=http._headers(request),
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=5),
        auto_decompress=False,
    ) as response:
        return HttpReply(status=response.status, headers=response.headers, body=await response.read())


def _text(random: Random) -> str:
    return "x" + "".join(random.choices(_LETTERS, k=random.randrange(12)))


def _pairs(random: Random) -> tuple[tuple[str, str], ...]:
    return tuple((_text(random), _text(random)) for _ in range(random.randrange(3)))


def _request(random: Random) -> HttpRequest:
    kind = random.choice(("bare", "form", "json"))
    headers = (
        ("Authorization", "Bearer t"),
        ("X-CSRF-Token", "a b"),
        ("Accept", "text/plain"),
        ("Content-Type", "a/b"),
    )
    return HttpRequest(
        method=random.choice((*wire._BODILESS - {hdrs.METH_HEAD}, *wire._TYPED, "DELETE")),
        path=tuple(_text(random) for _ in range(random.randrange(4))),
        query=_pairs(random),
        form=_pairs(random) if kind == "form" else None,
        json={_text(random): _text(random)} if kind == "json" else None,
        headers=tuple(random.sample(headers, random.randrange(len(headers)))),
        root=random.random() < 0.3,
    )


async def test_what_goes_out_is_what_aiohttp_would_send() -> None:
    """Byte for byte: methods, paths, queries, bodies, headers of ours and of a trace, and cookies as they were set."""
    random = Random(11)  # noqa: S311 -- requests to be had again, no secrets
    async with _both("/api/") as (recorder, client):
        for _ in range(400):
            request = _request(random)
            outgoing = OUTGOING.set((("traceparent", "00-0a-0b-01"),) if random.random() < 0.3 else ())
            said = random.choice((*_COOKIES, "", ""))
            recorder.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            await client.exchange(request, deadline=_soon())
            cookie = f"Set-Cookie: {said}\r\n" if said else ""
            recorder.answer = f"HTTP/1.1 200 OK\r\n{cookie}Content-Length: 0\r\n\r\n".encode()
            await _by_aiohttp(client, request)
            OUTGOING.reset(outgoing)
            if random.random() < 0.1:
                client.clear_cookies()
            ours, theirs = recorder.requests[-2:]
            assert ours == theirs
        assert any(b"Cookie: " in one for one in recorder.requests)
        assert any(b"traceparent: " in one for one in recorder.requests)
        assert any(b"octet-stream" in one for one in recorder.requests)


def _answer(random: Random) -> tuple[bytes, bool]:
    """Some answer, and whether it ends with its connection."""
    status = random.choice(("200 OK", "204 No", "404 Not", "400 Bad", "200", "299 é"))
    body = bytes(random.choices(range(256), k=random.choice((0, 1, 50, 5_000))))
    early = random.choice((b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"))
    lines = [f"HTTP/1.{random.choice((1, 1, 0))} {status}".encode(), b"X-One: a", b"x-one:  b "]
    match random.choice(("length", "chunks", "end", "cut", "closing")):
        case "length":
            return b"\r\n".join([early + lines[0], *lines[1:], b"Content-Length: %d" % len(body), b"", body]), False
        case "chunks":
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:7], body[7:]) if one)
            head = [b"HTTP/1.1 " + status.encode(), *lines[1:], b"Transfer-Encoding: chunked", b""]
            return early + b"\r\n".join([*head, chunks + b"0\r\n\r\n"]), False
        case "end":
            return b"\r\n".join([early + lines[0], *lines[1:], b"Connection: close", b"", body]), True
        case "cut":
            return b"\r\n".join([early + lines[0], b"Content-Length: %d" % (len(body) + 1), b"", body]), True
        case _:
            head = [early + lines[0], b"Connection: close", b"Content-Length: %d" % len(body)]
            return b"\r\n".join([*head, b"", body]), True


async def _outcome(client: HttpClient, request: HttpRequest, *, ours: bool) -> object:
    try:
        reply = await (client.exchange(request, deadline=_soon()) if ours else _by_aiohttp(client, request))
    except (BackendError, aiohttp.ClientError):
        return "lost"
    return reply.status, [*reply.headers.items()], reply.body


async def test_what_comes_back_is_what_aiohttp_would_read() -> None:
    """Status, every header and the body, or that it is none; and whether the connection is kept is decided alike."""
    random, kept = Random(5), []  # noqa: S311 -- as above
    async with _both() as (recorder, client):
        for _ in range(300):
            recorder.answer, recorder.ends = _answer(random)
            request = HttpRequest(method=random.choice(("GET", "PUT")))
            seen = []
            for ours in (True, False):
                seen.append(await _outcome(client, request, ours=ours))
                connector = client._session().connector
                assert connector is not None
                assert not connector._acquired
                seen.append(sum(map(len, connector._conns.values())))
            assert seen[:2] == seen[2:]
            kept.append(seen[1])
    assert set(kept) == {0, 1}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0", "a\x7f"])
def test_a_line_that_would_be_two_is_no_head(value: str) -> None:
    """Wherever it stands: in the target, a header or a cookie."""
    for target, headers, cookie in (
        (f"/{value}", {}, ""),
        ("/", {"X": value}, ""),
        ("/", {value: "x"}, ""),
        ("/", {}, value),
    ):
        with pytest.raises(ValueError, match="not a line"):
            wire.packed("GET", target, headers, cookie=cookie, body=None)


async def test_a_connection_that_is_going_is_not_written_to() -> None:
    """It went between the pool and the write: that is a lost connection."""
    async with _both() as (recorder, client):
        await client.exchange(HttpRequest(method="GET"), deadline=_soon())
        connector = client._session().connector
        assert connector is not None
        [[(protocol, _)]] = connector._conns.values()
        transport = protocol.transport
        assert transport is not None
        transport.close()
        with pytest.raises(aiohttp.ClientConnectionResetError):
            wire.sent(protocol, b"x", Attempt(deadline=_soon()))
        assert len(recorder.requests) == 1
