"""The main port encrypted, on real sockets: who gets in, what is refused, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
import uvloop
from front import CLIENTS, DOCUMENT, PATH, Front, fronted, until
from papers import Authority, Pair
from structlog.testing import capture_logs

from gateway.asks import Answer, Ask, Code
from gateway.certificates import server_context
from gateway.web.connection import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

# What is to replace it can only be said for all tests of a run.
pytestmark = pytest.mark.filterwarnings('ignore:Overriding the "event_loop_policy" fixture is deprecated')

AUTHORITY = Authority()
SERVER = AUTHORITY.signs("gateway")
CRM = AUTHORITY.signs("crm")


@pytest.fixture
def event_loop_policy() -> object:
    """The loop that the gateway runs on: the usual one of Python hands sockets over at other moments."""
    return uvloop.EventLoopPolicy()


class Ground:
    """The files of one listener, and clients that trust its authority."""

    def __init__(self, directory: Path, *, demand: bool = False) -> None:
        self.directory = directory
        self.ca, _ = AUTHORITY.written(directory, "ca")
        self.certificate, self.key = SERVER.written(directory, "server")
        self.served = server_context(self.certificate, self.key, self.ca if demand else None)

    def context(self, shown: Pair | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self.ca)
        if shown is not None:
            made.load_cert_chain(*shown.written(self.directory, "shown"))
        return made

    @asynccontextmanager
    async def fronted(
        self, *, clients: dict[str, dict[str, object]] | None = None, patience: Patience | None = None
    ) -> AsyncIterator[Front]:
        async with fronted(tls=lambda: self.served, clients=clients or CLIENTS, patience=patience) as front:
            yield front


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def strict(tmp_path: Path) -> Ground:
    """One that demands certificates."""
    return Ground(tmp_path, demand=True)


async def status(front: Front, context: ssl.SSLContext, client: str = "crm") -> int:
    """Of one mute on a connection of its own."""
    url, key = f"https://127.0.0.1:{front.port}{PATH}", {"X-API-Key": front.keys[client]}
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.put(url, headers=key) as response:
        await response.read()
        return response.status


async def connect(front: Front, stack: AsyncExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    stack.callback(writer.close)
    return reader, writer


def others(front: Front, outcome: str) -> float:
    return front.count("redaction_requests_total", method="other", outcome=outcome)


# ── encrypted ──


async def test_a_mute_over_tls(ground: Ground) -> None:
    """A client that trusts the authority is served; one that does not breaks off; plain HTTP gets nothing."""
    async with ground.fronted() as front:
        assert await status(front, ground.context()) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status(front, ssl.create_default_context())
        asked = len(front.service.asked)
        assert await front.raw(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == b""
        await until(lambda: others(front, "invalid-request") >= 1)
        assert len(front.service.asked) == asked == 1


@pytest.mark.parametrize("size", [1, 200, 16_000])
async def test_a_request_that_comes_with_the_handshake_is_whole(ground: Ground, size: int) -> None:
    """What a client sends without waiting is served, however little of the handshake's end was seen by then."""
    body = b'{"hold": "h"}' + b" " * size
    async with ground.fronted() as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=ground.context())
        head = f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {front.keys['crm']}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_both_good_versions_serve(ground: Ground, version: ssl.TLSVersion) -> None:
    """Each by itself, with an ephemeral key exchange and authenticated encryption."""
    context = ground.context()
    context.minimum_version = context.maximum_version = version
    async with ground.fronted() as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=context)
        cipher, spoken, _ = writer.get_extra_info("cipher")
        writer.close()
    assert spoken == version.name.replace("_", ".")
    assert cipher.startswith(("ECDHE-", "TLS_"))
    assert "GCM" in cipher or "CHACHA20" in cipher


def _only_old(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")  # or the client would not even ask


@pytest.mark.parametrize(
    "weaken",
    [
        pytest.param(_only_old, id="tls-1.1"),
        pytest.param(lambda context: context.set_ciphers("AES256-GCM-SHA384"), id="no-forward-secrecy"),
        pytest.param(lambda context: context.set_ciphers("ECDHE-ECDSA-AES128-SHA256"), id="cbc"),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_a_client_that_can_only_do_weakly_is_refused(
    ground: Ground, weaken: Callable[[ssl.SSLContext], None]
) -> None:
    """Below TLS 1.2, and in 1.2 without ephemeral keys or authenticated encryption: no handshake, and it is counted."""
    context = ground.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    weaken(context)
    async with ground.fronted() as front:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", front.port, ssl=context)
        await until(lambda: others(front, "invalid-request") == 1)


# ── client certificates ──


async def test_without_a_certificate_of_the_authority_nobody_gets_in(strict: Ground) -> None:
    """None, a stranger's, one of the right name that another authority signed, one that has expired."""
    forged = Authority().signs("crm")
    old = AUTHORITY.signs("crm", lasts=timedelta(days=-1))
    async with strict.fronted() as front:
        for shown in (None, forged, old):
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                await status(front, strict.context(shown))
        assert await status(front, strict.context(CRM)) == 200
        assert len(front.service.asked) == 1
        await until(lambda: others(front, "invalid-request") >= 3)  # the client's library tries again


CASES = {
    "fingerprint": ([CRM.fingerprint], 200),
    "subject": (["CN=crm"], 200),
    "one-of-several": ([SERVER.fingerprint, "CN=ivr", "CN=crm"], 200),
    "other-fingerprint": ([SERVER.fingerprint], 401),
    "other-subject": (["CN=gateway"], 401),
    "longer-subject": (["CN=crm,O=Acme"], 401),
    "nothing-said": ([], 200),
}


@pytest.mark.parametrize(("certificates", "expected"), CASES.values(), ids=CASES)
async def test_key_and_certificate_must_both_fit(strict: Ground, certificates: list[str], expected: int) -> None:
    """A client with certificates of its own is let in only when it shows one of them, beside its key; which of both
    was wrong is for the metric and the trail, not for the answer."""
    clients = {"crm": {**CLIENTS["crm"], "certificates": certificates}, "other": CLIENTS["other"]}
    async with strict.fronted(clients=clients) as front:
        assert await status(front, strict.context(CRM)) == expected
        assert front.count("auth_denied_total", reason="certificate") == (expected == 401)
        assert [denied.reason.value for denied, _ in front.denials.said] == ["certificate"] * (expected == 401)


async def test_a_good_certificate_does_not_replace_the_key(strict: Ground) -> None:
    """Another client's key with this client's certificate is nobody; and the other way round."""
    ivr = AUTHORITY.signs("ivr")
    clients = {
        "crm": {**CLIENTS["crm"], "certificates": ["CN=crm"]},
        "other": {**CLIENTS["other"], "certificates": [ivr.fingerprint]},
    }
    async with strict.fronted(clients=clients) as front:
        assert await status(front, strict.context(CRM), "crm") == 200
        assert await status(front, strict.context(ivr), "other") == 200
        assert await status(front, strict.context(CRM), "other") == 401
        assert await status(front, strict.context(ivr), "crm") == 401
        front.keys["crm"] = front.keys["crm"][:-1] + "x"
        assert await status(front, strict.context(CRM), "crm") == 401


async def test_a_bound_client_shows_nothing_in_the_clear() -> None:
    """Where nothing is encrypted a client with certificates of its own is never let in."""
    clients = {"crm": {**CLIENTS["crm"], "certificates": ["CN=crm"]}}
    async with fronted(clients=clients) as front:
        assert (await front.ask("PUT")).status == 401


async def test_no_session_outlives_what_it_was_made_under(strict: Ground) -> None:
    """A session is taken up again as long as the same certificates count, and never after: whoever was let in by an
    authority that is gone has to show a certificate anew."""
    context = strict.context(CRM)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with strict.fronted() as front:
        _, session = await asyncio.to_thread(taken_up, front.port, context, None)
        assert (await asyncio.to_thread(taken_up, front.port, context, session))[0]
        strict.served = server_context(strict.certificate, strict.key, strict.ca)
        assert not (await asyncio.to_thread(taken_up, front.port, context, session))[0]


def taken_up(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bool | None, ssl.SSLSession | None]:
    """Whether a connection went on with `session`; and its own."""
    with (
        socket.create_connection(("127.0.0.1", port)) as wire,
        context.wrap_socket(wire, server_hostname="127.0.0.1", session=session) as secure,
    ):
        return secure.session_reused, secure.session


# ── slow, many, gone ──


async def test_who_connects_and_says_nothing_is_sent_away(ground: Ground) -> None:
    """The handshake has its time; it is counted, and written down with from where."""
    async with ground.fronted(patience=Patience(handshake_seconds=0.2)) as front, AsyncExitStack() as stack:
        reader, _ = await connect(front, stack)
        with capture_logs() as lines:
            async with asyncio.timeout(30):
                assert await reader.read() == b""
            await until(lambda: others(front, "invalid-request") == 1)
        assert [line["event"] for line in lines] == ["handshake.failed"]
        assert front.denials.never_requests == [(Code.INVALID_REQUEST, "127.0.0.1")]


async def test_silent_connections_keep_nobody_out(ground: Ground) -> None:
    """Those still in the handshake take places like any other, and are the first to lose them to a mute."""
    async with ground.fronted(patience=Patience(connections=3)) as front, AsyncExitStack() as stack:
        silent = [await connect(front, stack) for _ in range(3)]
        assert await status(front, ground.context()) == 200
        async with asyncio.timeout(30):
            assert await silent[0][0].read() == b""


async def test_a_look_at_the_port_is_no_event(ground: Ground) -> None:
    """Load balancers connect and hang up: neither a line nor a count, and the place is free again."""
    async with ground.fronted(patience=Patience(connections=1)) as front:
        with capture_logs() as lines:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", front.port)
                writer.close()
                await writer.wait_closed()
            assert await status(front, ground.context()) == 200
        assert [line["event"] for line in lines] == ["request.served"]
        assert others(front, "invalid-request") == 0


async def test_stopping_does_not_wait_for_those_who_say_nothing(ground: Ground) -> None:
    """The end of the server is the end of every greeting."""
    async with AsyncExitStack() as stack:
        async with ground.fronted() as front:
            reader, _ = await connect(front, stack)
            assert await status(front, ground.context()) == 200
        async with asyncio.timeout(30):
            assert await reader.read() == b""


async def test_who_is_sent_away_before_the_greeting_began_is_gone(ground: Ground) -> None:
    """Several at once where there is one place: each takes the last one's, and nobody's socket stays open."""
    async with ground.fronted(patience=Patience(connections=1)) as front, AsyncExitStack() as stack:
        wires = [stack.enter_context(socket.create_connection(("127.0.0.1", front.port))) for _ in range(20)]
        assert await status(front, ground.context()) == 200
        for wire in wires:
            wire.settimeout(30)
            assert await asyncio.to_thread(wire.recv, 1) == b""


async def test_without_a_file_left_a_connection_is_refused_and_counted(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over at once, takes no place, and the next one is served."""
    async with ground.fronted(patience=Patience(connections=1)) as front, AsyncExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", _no_file)
            reader, _ = await connect(front, stack)
            async with asyncio.timeout(30):
                assert await reader.read() == b""
        assert others(front, "rate-limited") == 1
        assert await status(front, ground.context()) == 200


def _no_file(_: int) -> int:
    raise OSError(errno.EMFILE, "no file left")


async def test_when_all_are_at_work_one_more_is_refused_before_its_handshake(ground: Ground) -> None:
    """It costs the gateway no cryptography; it is counted, and written down with from where."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def wait(_: Ask) -> Answer:
        entered.set()
        await go.wait()
        return Answer(document=DOCUMENT)

    async with ground.fronted(patience=Patience(connections=1)) as front, AsyncExitStack() as stack:
        front.service.act = wait
        first = asyncio.create_task(status(front, ground.context()))
        await entered.wait()
        reader, _ = await connect(front, stack)
        async with asyncio.timeout(30):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert others(front, "rate-limited") == 1
        assert front.denials.never_requests == [(Code.RATE_LIMITED, "127.0.0.1")]
        go.set()
        assert await first == 200


# ── renewed ──


async def test_what_counts_is_asked_for_each_connection(tmp_path: Path) -> None:
    """From one moment to the next the new certificate is shown; a connection of before serves what comes on it and
    says that it ends."""
    ground, other = Ground(tmp_path), AUTHORITY.signs("renewed")
    async with ground.fronted() as front:
        connector = aiohttp.TCPConnector(ssl=ground.context())
        url, key = f"https://127.0.0.1:{front.port}{PATH}", {"X-API-Key": front.keys["crm"]}
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(url, headers=key) as response:
                assert "Connection" not in response.headers
            ground.served = server_context(*other.written(tmp_path, "other"), None)
            async with session.get(url, headers=key) as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")
        _, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=ground.context())
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    assert shown == ssl.PEM_cert_to_DER_cert(other.certificate_pem.decode())
