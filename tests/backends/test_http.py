from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import time
import traceback
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import backends
from gateway.backends.contract import NotSent, Refused, Unconfirmed
from gateway.backends.http import BODY_LIMIT, HttpClient, HttpReply, HttpRequest, as_list, as_object, build_url
from gateway.backends.settings import BackendSettings
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GET = HttpRequest(method="GET")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire:
    """A server of raw bytes: answers the n-th request of all with the n-th of `answers`, the last one again and
    again; an empty answer cuts the connection, None leaves the client waiting."""

    def __init__(self, *answers: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        self._answers = answers
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._over = asyncio.Event()
        self.asked = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)

    async def stop(self) -> None:
        assert self._server is not None
        self._over.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.requests.append(await self._request(reader))
                self.asked.set()
                answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
                if answer is None:
                    await self._over.wait()
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
        return head + await reader.readexactly(length)


@asynccontextmanager
async def wire(*answers: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    server = Wire(*answers, tls=tls)
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def client(base_url: str, **more: object) -> AsyncIterator[HttpClient]:
    client = HttpClient(BackendSettings.model_validate({"base_url": base_url, **more}))
    yield client
    await client.close()


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def url(base: str, *path: str, query: tuple[tuple[str, str], ...] = (), root: bool = False) -> str:
    return str(build_url(base, HttpRequest(method="GET", path=path, query=query, root=root)))


# The URL builder


@pytest.mark.parametrize(
    ("segment", "escaped"),
    [
        ("0003*210", "0003*210"),
        ("@me", "@me"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("a?mute=0&b", "a%3Fmute%3D0%26b"),
        ("a#b;c", "a%23b%3Bc"),
        ("..a", "%2E%2Ea"),
        ("é", "%C3%A9"),
    ],
)
def test_a_segment_stays_one_segment(segment: str, escaped: str) -> None:
    """Whatever a path segment holds, it adds exactly one segment, with `*` and `@` as the vendors want them."""
    assert url("https://h.example/api", "x", segment) == f"https://h.example/api/x/{escaped}"


@pytest.mark.parametrize("segment", ["", ".", "..", "a\r\nb", "a\x00", "\ud800"])
async def test_a_segment_that_cannot_be_one_is_never_sent(segment: str) -> None:
    """Segments that a server might resolve away or that hold control characters end before a connection."""
    async with wire(OK) as server, client(server.origin) as http:
        with pytest.raises(NotSent) as caught:
            await http.exchange(HttpRequest(method="GET", path=(segment,)), deadline=soon())
        assert (caught.value.fault, server.connections) == (Fault.MISCONFIGURED, 0)


def test_base_path_root_and_query() -> None:
    """The base URL's own path is kept, `root` leaves it out, and query values cannot leave their place."""
    assert url("https://h.example:8443/verba/api/") == "https://h.example:8443/verba/api"
    assert url("https://h.example") == "https://h.example/"
    assert url("https://h.example/uapi", "oauth", "token.php", root=True) == "https://h.example/oauth/token.php"
    query = (("status", "ongoing, next"), ("extension", "+1&mute=0"))
    assert url("https://h.example/a", query=query) == (
        "https://h.example/a?status=ongoing%2C%20next&extension=%2B1%26mute%3D0"
    )


# What goes out


async def test_what_is_on_the_wire() -> None:
    """A form goes out as a form, JSON as JSON, with the headers given and no offer to take compressed answers."""
    async with wire(OK) as server, client(f"{server.origin}/api") as http:
        await http.exchange(
            HttpRequest(method="POST", query=(("action", "X"),), form=(("a", "1 2"), ("b", "+*"))), deadline=soon()
        )
        await http.exchange(
            HttpRequest(method="PUT", path=("c",), json={"state": "1"}, headers=(("X-Csrf", "t"),)), deadline=soon()
        )
    form, put = server.requests
    assert form.startswith(b"POST /api?action=X HTTP/1.1\r\n")
    assert form.endswith(b"\r\n\r\na=1+2&b=%2B*")
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in form
    assert b"Accept-Encoding: identity\r\n" in form
    assert put.startswith(b"PUT /api/c HTTP/1.1\r\n")
    assert put.endswith(b'\r\n\r\n{"state":"1"}')
    assert b"Content-Type: application/json\r\n" in put
    assert b"X-Csrf: t\r\n" in put


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "ü"])
async def test_a_header_value_that_cannot_be_one_is_never_sent(value: str) -> None:
    """A credential with a line break or foreign letters is a configuration fault before anything is sent."""
    async with wire(OK) as server, client(server.origin) as http:
        with pytest.raises(NotSent) as caught:
            await http.exchange(HttpRequest(method="GET", headers=(("X", value),)), deadline=soon())
        assert (caught.value.fault, server.connections) == (Fault.MISCONFIGURED, 0)


def test_a_request_does_not_show_its_secrets() -> None:
    """Neither query, body nor headers of a request or a reply are in its repr."""
    request = HttpRequest(
        method="GET", query=(("k", "s3"),), form=(("k", "s3"),), json={"k": "s3"}, headers=(("k", "s3"),)
    )
    assert "s3" not in repr(request) + repr(HttpReply(status=200, headers={"k": "s3"}, body=b"s3"))


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not get the vendor's credentials."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with wire(OK) as server, client(server.origin) as http:
        assert (await http.exchange(GET, deadline=soon())).body == b"ok"


async def test_cookies_are_kept_and_cleared() -> None:
    """A cookie that the vendor sets goes back with the next request, until it is cleared."""
    async with wire(answer("200 OK", "Set-Cookie: JSESSIONID=abc; Path=/")) as server, client(server.origin) as http:
        await http.exchange(GET, deadline=soon())
        assert dict(http.cookies()) == {"JSESSIONID": "abc"}
        await http.exchange(GET, deadline=soon())
        http.clear_cookies()
        await http.exchange(GET, deadline=soon())
    cookies = [b"Cookie: JSESSIONID=abc" in request for request in server.requests]
    assert cookies == [False, True, False]


# Once


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_command_goes_out_once_when_a_kept_connection_drops(method: str) -> None:
    """The vendor reads the second request of a connection and cuts it: the request is not sent a second time."""
    async with wire(OK, b"", OK) as server, client(server.origin) as http:
        await http.exchange(GET, deadline=soon())
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(HttpRequest(method=method, json={"a": 1}), deadline=soon())
        assert caught.value.fault is Fault.CONNECTION_LOST
        assert (len(server.requests), server.connections) == (2, 1)


async def test_an_answer_that_nobody_asked_for_answers_nothing() -> None:
    """A vendor says on a connection that nobody uses just then that the call is muted: that is not the answer to the
    next command, which goes out once, on another connection."""
    said, connections = asyncio.Event(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer("200 OK", body=b'{"connection":%d}' % len(connections)))
        await asyncio.sleep(0.02)
        writer.write(answer("200 OK", body=b'{"muted":true}'))
        said.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as http:
        await http.exchange(GET, deadline=soon())
        await said.wait()
        await asyncio.sleep(0.02)
        reply = await http.exchange(HttpRequest(method="POST"), deadline=soon())
        assert (reply.body, len(connections)) == (b'{"connection":2}', 2)


# What comes back


async def test_an_answer_arrives_whole() -> None:
    """Status, headers by any case, and the body up to the limit."""
    body = b"x" * BODY_LIMIT
    async with wire(answer("404 Gone", "X-Csrf-Token: t", body=body)) as server, client(server.origin) as http:
        reply = await http.exchange(GET, deadline=soon())
    assert (reply.status, reply.headers["x-csrf-TOKEN"], reply.body) == (404, "t", body)


async def test_one_request_may_have_a_longer_answer() -> None:
    """Its own limit holds for it alone, and is one too."""
    body = b"x" * (BODY_LIMIT + 1)
    raw = answer("200 OK", body=body)
    async with wire(raw, raw, raw) as server, client(server.origin) as http:
        long = HttpRequest(method="GET", limit=BODY_LIMIT + 1)
        assert (await http.exchange(long, deadline=soon())).body == body
        for request in (GET, HttpRequest(method="GET", limit=BODY_LIMIT)):
            with pytest.raises(Unconfirmed) as caught:
                await http.exchange(request, deadline=soon())
            assert caught.value.fault is Fault.BAD_ANSWER


@pytest.mark.parametrize("apart", [True, False])
async def test_the_limit_holds_however_an_answer_comes(*, apart: bool) -> None:
    """With its head at once or after it, a body is taken up to the limit and no further."""
    parts = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", b"ok"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts if apart else (b"".join(parts),):
            writer.write(part)
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(f"http://127.0.0.1:{port}") as http:
        assert (await http.exchange(HttpRequest(method="GET", limit=2), deadline=soon())).body == b"ok"
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(HttpRequest(method="GET", limit=1), deadline=soon())
    assert caught.value.fault is Fault.BAD_ANSWER
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (answer("302 Found", "Location: /elsewhere"), Fault.REDIRECTED),
        (answer("304 Not Modified"), Fault.REDIRECTED),
        (answer("429 Slow", "Retry-After: 1"), Fault.RATE_LIMITED),
        (answer("500 Oops"), Fault.SERVER_ERROR),
        (answer("503 Later"), Fault.SERVER_ERROR),
        (answer("200 OK", body=b"x" * (BODY_LIMIT + 1)), Fault.BAD_ANSWER),
        (answer("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"ok", mtime=0)), Fault.BAD_ANSWER),
        (b"not http at all\r\n\r\n", Fault.BAD_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Bad: " + b"y" * 10_000 + b"\r\n\r\n", Fault.BAD_ANSWER),
        (b"", Fault.CONNECTION_LOST),
    ],
)
async def test_an_answer_that_nobody_should_judge(raw: bytes, fault: Fault) -> None:
    """Each kind of unusable answer after the request went out is unconfirmed, with its own fault, sent once."""
    async with wire(raw) as server, client(server.origin) as http:
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(GET, deadline=soon())
    assert (caught.value.fault, len(server.requests)) == (fault, 1)


async def test_a_body_that_is_cut_is_lost() -> None:
    """A connection cut in the middle of the body is not an answer."""

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(f"http://127.0.0.1:{port}") as http:
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(GET, deadline=soon())
    assert caught.value.fault is Fault.CONNECTION_LOST
    server.close()
    await server.wait_closed()


async def test_a_silent_vendor_is_given_up_at_the_deadline() -> None:
    """The deadline counts where it is nearer than the backend's own limit, and the other way round."""
    async with wire(None) as server, client(server.origin, timeout_seconds=60) as http:
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(GET, deadline=soon(0.1))
        assert caught.value.fault is Fault.TIMEOUT
    async with wire(None) as server, client(server.origin, timeout_seconds=0.1) as http:
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(GET, deadline=soon(60))
        assert caught.value.fault is Fault.TIMEOUT


async def test_a_request_that_is_given_up_does_not_stay_behind() -> None:
    """The connection is cut, not closed: nothing of it is delivered after that."""
    ended: asyncio.Future[type[Exception] | None] = asyncio.get_running_loop().create_future()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                pass
            ended.set_result(None)
        except ConnectionResetError:
            ended.set_result(ConnectionResetError)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(f"http://127.0.0.1:{port}") as http:
        with pytest.raises(Unconfirmed):
            await http.exchange(GET, deadline=soon(0.1))
        assert await asyncio.wait_for(ended, 10) is ConnectionResetError
    server.close()
    await server.wait_closed()


# Not sent


async def test_a_closed_port_is_not_sent() -> None:
    """Nothing was sent to a port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with client(f"http://127.0.0.1:{unused.getsockname()[1]}") as http:
            with pytest.raises(NotSent) as caught:
                await http.exchange(GET, deadline=soon())
    assert caught.value.fault is Fault.CONNECTION_FAILED


async def test_a_host_that_does_not_accept_is_not_sent() -> None:
    """A deadline that passes while connecting is no longer a question of what the vendor did."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        async with client(f"http://127.0.0.1:{full.getsockname()[1]}") as http:
            with pytest.raises(NotSent) as caught:
                await http.exchange(GET, deadline=soon(0.2))
        assert caught.value.fault is Fault.CONNECTION_FAILED
        for one in waiting:
            one.close()


async def test_a_pool_that_stays_full_is_busy() -> None:
    """With every connection in use until the deadline nothing is sent; a free one is used again."""
    async with wire(None) as server, client(server.origin, max_connections=1) as http:
        hanging = asyncio.create_task(http.exchange(GET, deadline=soon(1.5)))
        await server.asked.wait()
        with pytest.raises(NotSent) as caught:
            await http.exchange(GET, deadline=soon(0.1))
        assert (caught.value.fault, len(server.requests)) == (Fault.BUSY, 1)
        with pytest.raises(Unconfirmed):
            await hanging


async def test_a_deadline_that_has_passed_sends_nothing() -> None:
    """No time left means that nothing goes out, on a kept connection either."""
    async with wire(OK) as server, client(server.origin) as http:
        await http.exchange(GET, deadline=soon())
        with pytest.raises(NotSent) as caught:
            await http.exchange(GET, deadline=soon(-1))
        assert (caught.value.fault, len(server.requests)) == (Fault.BUSY, 1)


@pytest.mark.parametrize("place", ["answered", "sent"])
@pytest.mark.parametrize("body", [None, {"a": 1}])
@pytest.mark.parametrize("kept", [True, False])
async def test_nothing_is_written_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch, place: str, body: dict[str, object] | None, *, kept: bool
) -> None:
    """The process stands still past the deadline when the connection is there already, or right before the bytes are
    written: not one of them leaves, and it is said to be so."""
    original = getattr(backends.wire, place)
    deadlines: list[float] = []

    def stands_still(*arguments: object, **named: object) -> object:
        while deadlines and asyncio.get_running_loop().time() <= deadlines[0]:
            time.sleep(0.01)  # the whole process is to stand still
        return original(*arguments, **named)

    monkeypatch.setattr(backends.wire, place, stands_still)
    async with wire(OK) as server, client(server.origin) as http:
        if kept:
            await http.exchange(GET, deadline=soon())
        deadlines.append(soon(0.3))
        with pytest.raises(NotSent) as caught:
            await http.exchange(HttpRequest(method="POST", json=body), deadline=deadlines[0])
        assert caught.value.fault is Fault.BUSY
        deadlines.clear()
        await http.exchange(HttpRequest(method="PUT"), deadline=soon())
        assert [request[:4] for request in server.requests] == [b"GET "] * kept + [b"PUT "]


async def test_a_fault_says_nothing_of_the_url() -> None:
    """A traceback of a fault holds neither the key in the query nor the library's text about the URL."""
    request = HttpRequest(method="GET", query=(("apiKey", "s3" + "cret"),))
    async with wire(b"nonsense\r\n\r\n") as server, client(server.origin) as http:
        with pytest.raises(Unconfirmed) as caught:
            await http.exchange(request, deadline=soon())
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


# TLS


def _certificate(directory: Path, name: str) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def _server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_an_unknown_authority_is_not_spoken_to(tmp_path: Path) -> None:
    """A certificate that nobody vouches for ends the handshake: nothing was sent."""
    tls = _server_tls(_certificate(tmp_path, "server"))
    async with wire(OK, tls=tls) as server, client(server.origin) as http:
        with pytest.raises(NotSent) as caught:
            await http.exchange(GET, deadline=soon())
    assert (caught.value.fault, server.requests) == (Fault.CONNECTION_FAILED, [])


async def test_the_configured_authority_and_client_certificate(tmp_path: Path) -> None:
    """With `ca_file` the server is trusted, and it gets to see the client's certificate."""
    ours, theirs = _certificate(tmp_path, "client"), _certificate(tmp_path, "server")
    tls = _server_tls(theirs)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(ours)
    more = {"ca_file": theirs, "client_certificate": ours, "client_key": ours}
    async with wire(OK, tls=tls) as server, client(server.origin, **more) as http:
        assert (await http.exchange(GET, deadline=soon())).body == b"ok"


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    """A server that can no more than TLS 1.1 is not spoken to, whatever the system would allow."""
    theirs = _certificate(tmp_path, "server")
    settings = BackendSettings.model_validate({"base_url": "https://h.example", "ca_file": theirs})
    context = settings.tls()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


# Reading


def reply(body: bytes, status: int = 200) -> HttpReply:
    return HttpReply(status=status, headers={}, body=body)


def test_json_is_read() -> None:
    """Plain JSON is read, with a byte order mark too."""
    assert reply(b'\xef\xbb\xbf{"a": [1, "x", null]}').json() == {"a": [1, "x", None]}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<a/>", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 60_000, b"\xff", b"1" * 5000]
)
def test_json_that_cannot_be_trusted(body: bytes) -> None:
    """Half, ambiguous, bottomless or foreign JSON is unconfirmed and nothing else."""
    with pytest.raises(Unconfirmed) as caught:
        reply(body).json()
    assert caught.value.fault is Fault.BAD_ANSWER


def test_xml_is_read() -> None:
    """Plain XML is read."""
    assert reply(b'<?xml version="1.0"?><a><b c="1"/></a>').xml()[0].attrib == {"c": "1"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"{}",
        b'<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>',
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b'<a b="1" b="2"/>',
    ],
)
def test_xml_that_cannot_be_trusted(body: bytes) -> None:
    """Half, hostile or foreign XML is unconfirmed and nothing else."""
    with pytest.raises(Unconfirmed) as caught:
        reply(body).xml()
    assert caught.value.fault is Fault.BAD_ANSWER


def test_json_shapes() -> None:
    """An object is an object and an array an array; anything else is unreadable."""
    assert as_object({"a": 1}) == {"a": 1}
    assert as_list([1]) == [1]
    with pytest.raises(Unconfirmed):
        as_object([1])
    with pytest.raises(Unconfirmed):
        as_list({"a": 1})


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        (401, Refused, Fault.UNAUTHENTICATED),
        (403, Refused, Fault.UNAUTHENTICATED),
        (404, Refused, Fault.MISCONFIGURED),
        (405, Refused, Fault.MISCONFIGURED),
        (400, Refused, Fault.REFUSED),
        (408, Unconfirmed, Fault.TIMEOUT),
        (204, Unconfirmed, Fault.BAD_ANSWER),
    ],
)
def test_only_200_passes(status: int, kind: type[Exception], fault: Fault) -> None:
    """No other status passes for a yes, and each says what it was."""
    reply(b"").expect_ok()
    with pytest.raises(kind) as caught:
        reply(b"", status).expect_ok()
    assert caught.value.args == (fault.value,)


async def test_what_is_closed_sends_nothing() -> None:
    """Who asks all the same has a defect, and is told so."""
    async with wire(OK) as server, client(server.origin) as http:
        await http.exchange(GET, deadline=soon())
        await http.close()
        with pytest.raises(RuntimeError):
            await http.exchange(GET, deadline=soon())
        assert len(server.requests) == 1


async def test_closing_what_was_never_opened() -> None:
    """A client that nobody used closes as well."""
    http = HttpClient(BackendSettings.model_validate({"base_url": "https://h.example"}))
    await http.close()
