"""Where connections may go: by the address that a name turned out to be."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.addresses import Guard, allowed
from gateway.backends.contract import NotSent
from gateway.backends.http import HttpClient, HttpRequest
from gateway.backends.settings import BackendSettings
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fe80::a9fe:a9fe",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "0.0.0.0",  # noqa: S104 -- refused, not bound to
    "::",
    "224.0.0.1",
    "ff02::1",
]


@pytest.mark.parametrize("text", METADATA)
def test_what_hands_out_credentials_is_refused(text: str) -> None:
    """In every spelling, and also where the operator's list would let it pass."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert not allowed(ip_address(text))
    assert not allowed(ip_address(text), everything)


@pytest.mark.parametrize(
    ("text", "networks", "may"),
    [
        ("192.0.2.7", [], True),
        ("127.0.0.1", [], True),
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("64:ff9b:1::a01:203", ["10.0.0.0/8"], True),
        ("::1", ["::1/128"], True),
        ("::1", ["0.0.0.0/8"], False),
        ("2001:db8::1", ["10.0.0.0/8", "2001:db8::/32"], True),
        ("2001:db9::1", ["10.0.0.0/8", "2001:db8::/32"], False),
    ],
)
def test_a_list_of_networks_lets_only_those_in(text: str, networks: list[str], may: bool) -> None:  # noqa: FBT001 -- an example's one word
    """None is any."""
    assert allowed(ip_address(text), [ip_network(network) for network in networks]) is may


class Rebinding(AbstractResolver):
    """Says what it is told that a name means."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.parametrize(("network", "may"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)], ids=["inside", "outside"])
@pytest.mark.parametrize("host", ["vendor.example", "127.0.0.1"])
async def test_the_connected_address_counts_not_the_name(host: str, network: str, may: bool) -> None:  # noqa: FBT001 -- as above
    """Whoever owns the name's zone cannot point it elsewhere; no byte is sent."""
    guard = Guard([ip_network(network)])
    async with served() as port:
        connector = aiohttp.TCPConnector(resolver=Rebinding("127.0.0.1"), socket_factory=guard.socket)
        async with aiohttp.ClientSession(connector=connector) as session:
            if may:
                assert await (await session.get(f"http://{host}:{port}/")).text() == "secret"
                return
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"http://{host}:{port}/")


@pytest.mark.parametrize(
    ("networks", "fault"),
    [(["10.0.0.0/8"], Fault.CONNECTION_FAILED), (["127.0.0.0/8"], None)],
    ids=["outside", "inside"],
)
async def test_a_vendor_outside_of_its_networks_is_not_spoken_to(networks: list[str], fault: Fault | None) -> None:
    """As configured: nothing was sent, and the answer says so."""
    async with served() as port:
        tree = {"base_url": f"http://127.0.0.1:{port}", "allowed_networks": networks}
        client = HttpClient(BackendSettings.model_validate(tree))
        deadline = asyncio.get_running_loop().time() + 30
        if fault is None:
            assert (await client.exchange(HttpRequest(method="GET"), deadline=deadline)).body == b"secret"
        else:
            with pytest.raises(NotSent) as caught:
                await client.exchange(HttpRequest(method="GET"), deadline=deadline)
            assert caught.value.fault is fault
        await client.close()
