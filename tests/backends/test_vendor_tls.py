"""The way to a vendor, encrypted: real servers with real certificates, each of which is trusted or is not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from papers import Authority, Pair

from gateway.backends.contract import NotSent, Unconfirmed
from gateway.backends.http import HttpClient, HttpRequest
from gateway.backends.settings import BackendSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

AUTHORITY = Authority()
GET = HttpRequest(method="GET")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Vendor:
    """A server for one certificate; `asked` is how often a request came through to it."""

    def __init__(self, directory: Path, shown: Pair) -> None:
        self.asked = 0
        self.directory = directory
        self.ca, _ = AUTHORITY.written(directory, "ca")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(*shown.written(directory, "vendor"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            self.asked += 1
            writer.write(OK)
        writer.close()

    @asynccontextmanager
    async def running(self, host: str = "127.0.0.1", **more: object) -> AsyncIterator[HttpClient]:
        """And a client for it under `host`."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self.context)
        port = server.sockets[0].getsockname()[1]
        said = {"base_url": f"https://{host}:{port}", "ca_file": self.ca, **more}
        client = HttpClient(BackendSettings.model_validate(said))
        try:
            yield client
        finally:
            await client.close()
            server.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + 20


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_a_vendor_of_the_configured_authority_is_spoken_to(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """In both good versions."""
    vendor = Vendor(tmp_path, AUTHORITY.signs("vendor"))
    vendor.context.minimum_version = vendor.context.maximum_version = version
    async with vendor.running() as client:
        assert (await client.exchange(GET, deadline=soon())).body == b"ok"
    assert vendor.asked == 1


def _old(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


BAD: dict[str, tuple[Pair, str, Callable[[ssl.SSLContext], None]]] = {
    "another-authority": (Authority().signs("vendor"), "127.0.0.1", lambda _: None),
    "another-name": (AUTHORITY.signs("vendor"), "localhost", lambda _: None),
    "expired": (AUTHORITY.signs("vendor", lasts=timedelta(days=-1)), "127.0.0.1", lambda _: None),
    "tls-1.1": (AUTHORITY.signs("vendor"), "127.0.0.1", _old),
}


@pytest.mark.parametrize(("shown", "host", "change"), BAD.values(), ids=BAD)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_whoever_else_answers_gets_no_request(
    tmp_path: Path, shown: Pair, host: str, change: Callable[[ssl.SSLContext], None]
) -> None:
    """Not one byte of it: the vendor was certainly not asked."""
    vendor = Vendor(tmp_path, shown)
    change(vendor.context)
    async with vendor.running(host) as client:
        with pytest.raises(NotSent):
            await client.exchange(GET, deadline=soon())
    assert vendor.asked == 0


async def test_a_vendor_that_demands_a_certificate_gets_ours(tmp_path: Path) -> None:
    """Without one, or with a stranger's, no request arrives."""
    vendor = Vendor(tmp_path, AUTHORITY.signs("vendor"))
    vendor.context.verify_mode = ssl.CERT_REQUIRED
    vendor.context.load_verify_locations(vendor.ca)
    for name, pair, fine in (("us", AUTHORITY.signs("us"), True), ("they", Authority().signs("us"), False)):
        certificate, key = pair.written(tmp_path, name)
        async with vendor.running(client_certificate=certificate, client_key=key) as client:
            if fine:
                assert (await client.exchange(GET, deadline=soon())).status == 200
                continue
            with pytest.raises((NotSent, Unconfirmed)):
                await client.exchange(GET, deadline=soon())
    assert vendor.asked == 1
