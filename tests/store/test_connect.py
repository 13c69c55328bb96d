"""A store's URL becomes connections: to the right place, with the right credentials, through verified TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers import Server, single, under_sentinels, until
from steps import ORDER, call_in, change, commit, opened

from gateway.store.address import Access, Address, Kind, Place, Tls, parse
from gateway.store.contract import StoreUnavailable, StoreUnsettled
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = call_in(1)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "redis://h",
            Address(kind=Kind.SERVER, places=(Place(host="h", port=6379),), access=Access()),
        ),
        (
            "redis://us%40er:p%3Aw@[::1]:7000/3",
            Address(
                kind=Kind.SERVER,
                places=(Place(host="::1", port=7000),),
                access=Access(username="us@er", password="p:w", db=3),
            ),
        ),
        (
            "rediss://h?username=u&password=p&db=2&ca_file=/ca.pem&client_certificate=/c&client_key=/k",
            Address(
                kind=Kind.SERVER,
                places=(Place(host="h", port=6379),),
                access=Access(
                    username="u",
                    password="p",
                    db=2,
                    tls=Tls(ca_file="/ca.pem", client_certificate="/c", client_key="/k"),
                ),
            ),
        ),
        (
            "redis+sentinel://:p@a,b:7001/the%20calls/4?sentinel_username=s&sentinel_password=w",
            Address(
                kind=Kind.SENTINEL,
                places=(Place(host="a", port=26379), Place(host="b", port=7001)),
                access=Access(password="p", db=4),
                service="the calls",
                sentinel=Access(username="s", password="w"),
            ),
        ),
        (
            "rediss+cluster://a,b:7001/0",
            Address(
                kind=Kind.CLUSTER,
                places=(Place(host="a", port=6379), Place(host="b", port=7001)),
                access=Access(tls=Tls()),
                sentinel=Access(tls=Tls()),
            ),
        ),
        (
            "unix:///run/a%20b.sock",
            Address(kind=Kind.SERVER, places=(Place(host="/run/a b.sock", port=None),), access=Access()),
        ),
    ],
)
def test_every_form_of_the_url_is_read(url: str, address: Address) -> None:
    """Places with their default ports, decoded credentials, database, service, TLS."""
    found = parse(url)
    assert found.sentinel.tls == found.access.tls
    assert (found.kind, found.places, found.access, found.service) == (
        address.kind,
        address.places,
        address.access,
        address.service,
    )
    assert (found.sentinel.username, found.sentinel.password) == (address.sentinel.username, address.sentinel.password)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must be"),
        ("http://h", "must be"),
        ("redis+://h", "must be"),
        ("redis+proxy://h", "must be"),
        ("redis://", "empty host"),
        ("redis://u:p@", "empty host"),
        ("redis+cluster://a,,b", "empty host"),
        ("redis://a,b", "one host"),
        ("redis://h:port", "port"),
        ("redis://h:99999", "port"),
        ("redis://h/1/2", "path"),
        ("redis://h/one", "database"),
        ("redis+cluster://a/1", "only 0"),
        ("redis+sentinel://a,b/", "name of the service"),
        ("redis://h?ca_file=/x", "after the"),
        ("redis://h?sentinel_password=x", "after the"),
        ("redis://h?hunter2", "after the"),
        ("unix://host/path", "unix"),
        ("unix:///path?db=1", "unix"),
    ],
)
def test_every_mistake_in_the_url_is_said_without_its_value(url: str, says: str) -> None:
    """The message names what is wrong and quotes nothing."""
    with pytest.raises(ValueError, match=says) as caught:
        parse(url)
    assert "hunter2" not in str(caught.value)
    assert "99999" not in str(caught.value)


def test_an_address_does_not_show_its_passwords() -> None:
    """A print of the address is safe to log."""
    assert "hunter2" not in repr(parse("redis+sentinel://u:hunter2@h/s?sentinel_password=hunter2"))


async def test_credentials_and_database_are_used(tmp_path: Path) -> None:
    """The right user gets in, and finds what it wrote in its own database; wrong and missing ones do not, nor one
    that may not ask for the settings."""
    async with single(tmp_path) as server:
        rights = ("on", ">secret", "allcommands", "allkeys", "allchannels")
        await server.ask("ACL", "SETUSER", "gate", *rights)
        await server.ask("ACL", "SETUSER", "poor", *rights, "-config")
        await server.client.config_set("requirepass", "other")
        url = f"127.0.0.1:{server.port}/3"
        async with opened(f"redis://gate:secret@{url}") as store:
            assert await store.probe("n", word="w", within=5) == "" != await store.probe("n", word="v", within=5)
        assert list(await server.info("keyspace")) == ["db3"]
        for credentials in ("", "gate:wrong@", ":secret@", "poor:secret@"):
            store = RedisStore(f"redis://{credentials}{url}", strict=True)
            with pytest.raises(StoreUnavailable):
                await store.open()
            await store.close()


async def test_a_server_that_was_restarted_is_a_new_one(tmp_path: Path) -> None:
    """Even when nobody noticed that it was away: told once, its trail is looked at anew, and an order that lets a
    party be recorded waits until every gateway can have put back what it acknowledged meanwhile."""
    async with single(tmp_path) as server, opened(f"redis://127.0.0.1:{server.port}") as store:
        await store.probe("n", word="1", within=5)
        await commit(store, change(KEY, "op1", order=ORDER))
        await server.kill()
        await server.start()
        with suppress(StoreUnavailable):  # unless its connection said so first
            await store.ping(within=5)
        assert await store.probe("n", word="2", within=5) == ""
        assert await store.probe("n", word="3", within=5) == "2"
        with pytest.raises(StoreUnsettled):
            await store.commit(change(call_in(2), "op2", order=ORDER), within=5)


async def test_what_is_not_read_back_was_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says ok and has something else is not there."""

    async def other(*_: object) -> list[bytes | None]:
        return [None, b"other"]

    async with single(tmp_path) as server, opened(f"redis://127.0.0.1:{server.port}") as store:
        monkeypatch.setattr(store._primaries, "send", other)
        with pytest.raises(StoreUnavailable, match="read back"):
            await store.probe("n", word="1", within=5)


async def test_a_replica_is_not_a_store(tmp_path: Path) -> None:
    """Nothing is read from a server that only follows another one, nor is it asked to write."""
    async with single(tmp_path) as primary, single(tmp_path, replicaof=f"127.0.0.1 {primary.port}") as replica:
        await refused(f"redis://127.0.0.1:{replica.port}")


async def test_a_connection_closed_under_a_write_is_a_lost_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faster event loop says so with an error of its own: no request fails by it, no listener dies of it."""

    def at_once(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async def closed(*_: object, **__: object) -> None:
        at_once()

    async with single(tmp_path) as server, opened(f"redis://127.0.0.1:{server.port}") as store:
        changes = store.changes()
        assert await anext(changes) is None
        listener = asyncio.ensure_future(anext(changes))
        await until(lambda: _is_heard(server))
        with monkeypatch.context() as patch:
            patch.setattr("redis.asyncio.connection.AbstractConnection.send_packed_command", closed)
            patch.setattr("redis.asyncio.connection.AbstractConnection.read_response", closed)
            patch.setattr("gateway.store.wire.Wire._write", at_once)
            with pytest.raises(StoreUnavailable):
                await store.load(KEY, within=5)
            with pytest.raises(StoreUnavailable):
                await listener
        assert await store.load(KEY, within=5) is None


async def _is_heard(server: Server) -> bool:
    return bool(await server.ask("PUBSUB", "NUMPAT"))


async def test_a_command_whose_answer_was_lost_is_not_sent_again(tmp_path: Path) -> None:
    """Only a step is tried again, and it has a name by which it is taken once; anything else is sent once."""
    async with single(tmp_path) as server, deaf(server) as port, opened(f"redis://127.0.0.1:{server.port}") as direct:
        store = RedisStore(f"redis://127.0.0.1:{port}", strict=True)
        for ask in (lambda: store.claim("t", KEY, within=5), lambda: store.commit(change(KEY, "op"), within=5)):
            with pytest.raises(StoreUnavailable):
                await ask()
        await store.close()
        assert (await direct.claim("t", KEY, within=5)).own.split(":")[1] == "2"  # the second one, by name
        assert [entry.seq for entry in await direct.entries(KEY, within=5)] == [1]


@asynccontextmanager
async def deaf(server: Server) -> AsyncIterator[int]:
    """Passes everything on, but cuts the connection instead of giving the answer of a function."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        called = False
        while not called and (data := await reader.read(65_536)):
            called = b"FCALL" in data
            inner_writer.write(data)
            answer = await inner_reader.read(65_536)
            if not called:
                writer.write(answer)
        inner_writer.close()
        writer.close()

    listener = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def test_sentinels_have_credentials_of_their_own(tmp_path: Path) -> None:
    """Sentinels that want a password get theirs, not the servers'."""
    async with under_sentinels(tmp_path, replicas=1) as place:
        for server in place.servers:
            await server.client.config_set("requirepass", "data")
        for sentinel in place.sentinels:
            await sentinel.ask("ACL", "SETUSER", "default", "resetpass", ">watch")
        hosts = place.url.removeprefix("redis+sentinel://")
        async with opened(f"redis+sentinel://:data@{hosts}?sentinel_password=watch") as store:
            await store.ping(within=5)
        wrong = RedisStore(f"redis+sentinel://:data@{hosts}?sentinel_password=data", strict=True)
        with pytest.raises(StoreUnavailable):
            await wrong.open()
        await wrong.close()


async def test_tls_is_verified(tmp_path: Path) -> None:
    """Through TLS with the authority that was named; not with another, for another name, or without our own
    certificate where one is wanted."""
    ours, other = certificate(tmp_path, "ours", "127.0.0.1"), certificate(tmp_path, "other", "127.0.0.2")
    async with single(tmp_path) as server, encrypted(server, ours, client_ca=None) as port:
        async with opened(f"rediss://127.0.0.1:{port}?ca_file={ours}") as store:
            await store.ping(within=5)
        await refused(f"rediss://127.0.0.1:{port}")
        await refused(f"rediss://127.0.0.1:{port}?ca_file={other}")
    async with single(tmp_path) as server, encrypted(server, other, client_ca=None) as port:
        await refused(f"rediss://127.0.0.1:{port}?ca_file={other}")
    async with single(tmp_path) as server, encrypted(server, ours, client_ca=other) as port:
        shown = f"&client_certificate={other}&client_key={other}"
        async with opened(f"rediss://127.0.0.1:{port}?ca_file={ours}{shown}") as store:
            await store.ping(within=5)
        await refused(f"rediss://127.0.0.1:{port}?ca_file={ours}")


async def refused(url: str) -> None:
    store = RedisStore(url, strict=True)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


@asynccontextmanager
async def encrypted(server: Server, pem: Path, *, client_ca: Path | None) -> AsyncIterator[int]:
    """TLS before a server that has none, on a port of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
    context.verify_mode = ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE
    context.load_cert_chain(pem)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


def certificate(directory: Path, name: str, address: str) -> Path:
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
