"""The real gateway in production behind its own TLS: client certificates, renewal under way, and a store it refuses."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from processes import ask, run, started, until
from unsafe import House

from gateway.store.embedded import binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papers import Pair


@pytest.fixture
def house() -> Iterator[House]:
    home = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield House(home)
    shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Gateway:
    """One that runs with the house's files, and a client's key for it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port, self.admin = free_port(), free_port()
        self.log = house.home / "log"
        house.tree["listen"] |= {"port": self.port, "admin_port": self.admin}
        house.set("clients.crm.token", "none")
        house.set("clients.crm.scopes", ["redaction:read"])
        house.file.write_text(yaml.safe_dump(house.tree))
        made = run("keys", "new", "--client", "crm", "--config", str(house.file), cwd=house.home, environ=house.environ)
        self.key, _, lines = made.stdout.partition("\n")
        house.set("clients.crm.keys", yaml.safe_load(lines))
        house.file.write_text(yaml.safe_dump(house.tree))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        home = self.house.home
        arguments = ("serve", "--config", str(self.house.file))
        files = {"errors": home / "stderr", "output": self.log}
        with started(*arguments, cwd=home, environ=self.house.environ, **files) as popen:
            until(lambda: popen.poll() is not None or _listens(self.port))
            yield popen

    def context(self, shown: Pair | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self.house.ca)
        if shown is not None:
            made.load_cert_chain(*shown.written(self.house.home, "shown"))
        return made

    def status(self, shown: Pair | None) -> int:
        """Of one question on a connection of its own; 0 when it does not come about."""
        wire = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context(shown))
        try:
            wire.request("GET", "/v1/calls/c1/redaction", headers={"X-API-Key": self.key})
            return wire.getresponse().status
        except (ssl.SSLError, ConnectionError):
            return 0
        finally:
            wire.close()

    def shows(self, shown: Pair) -> bytes | None:
        """The certificate that callers see now."""
        with (
            socket.create_connection(("127.0.0.1", self.port)) as wire,
            self.context(shown).wrap_socket(wire, server_hostname="127.0.0.1") as secure,
        ):
            return secure.getpeercert(binary_form=True)

    def metric(self, name: str) -> float:
        page = ask("GET", f"http://127.0.0.1:{self.admin}/metrics").body.decode()
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())


@pytest.mark.pci("4.2.1")
def test_certificates_are_demanded_bound_and_renewed_while_it_runs(house: House) -> None:
    """Key and certificate must both fit. A new pair is shown without a restart, a broken one is an alarm and changes
    nothing; the end is in order, and no key of any kind is in what was logged."""
    gateway = Gateway(house)
    crm, ivr, renewed = (house.authority.signs(name) for name in ("crm", "ivr", "gateway"))
    with gateway.running() as popen:
        assert [gateway.status(shown) for shown in (crm, ivr, None)] == [404, 401, 0]
        assert ask("GET", f"http://127.0.0.1:{gateway.admin}/readyz").status == 200
        house.key.write_bytes(renewed.key_pem)
        until(lambda: gateway.metric("certificates_fresh") == 0)
        assert gateway.shows(crm) != _der(renewed)
        assert gateway.status(crm) == 404
        house.certificate.write_bytes(renewed.certificate_pem)
        until(lambda: gateway.shows(crm) == _der(renewed))
        assert gateway.metric("certificates_fresh") == 1
        assert gateway.status(crm) == 404
        ends = renewed.certificate.not_valid_after_utc.timestamp()
        until(lambda: gateway.metric('certificate_expires_timestamp_seconds{certificate="listen.tls.c') == ends)
        popen.terminate()
        assert popen.wait(60) == 0
    said = gateway.log.read_text()
    assert '"certificates.refused"' in said
    assert '"certificates.taken"' in said
    assert "PRIVATE KEY" not in said
    assert gateway.key.split("_")[2] not in said


def test_a_store_that_could_forget_is_refused(house: House) -> None:
    """A real server that loses the last second is not started with: 78, and what is wrong with it."""
    port, home = free_port(), house.home / "store"
    home.mkdir()
    words = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", "yes", "--save", "")
    unfit = ("--appendfsync", "everysec")
    server = subprocess.Popen([binary(), *words, *unfit], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        house.environ["GATEWAY_STORE__URL"] = f"redis://127.0.0.1:{port}"
        ran = run("serve", "--config", house.written(), cwd=house.home, environ=house.environ)
    finally:
        server.terminate()
        server.wait(60)
    assert ran.returncode == 78
    assert "appendfsync" in ran.stderr
