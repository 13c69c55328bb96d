"""Keys through their life, on two real gateways that share a store: no restart, all or nothing."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from processes import ask, run, started, until

from gateway.store.embedded import binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORD = re.compile(r"[a-z]+\.[a-z]+")


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="rgw-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def url(directory: Path) -> Iterator[str]:
    """A store of its own, on a port."""
    port, home = free_port(), directory / "store"
    home.mkdir()
    words = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", "yes", "--save", "")
    popen = subprocess.Popen(
        [binary(), *words, "--appendfsync", "always"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: listens(port))
    yield f"redis://127.0.0.1:{port}"
    popen.terminate()
    popen.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Pods:
    """Two gateways with one mounted configuration, which is swapped as Kubernetes swaps it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.said: list[str] = []
        self.mount = directory / "mount"
        self.mount.mkdir()
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        self.version = 0
        self.tree: dict[str, Any] = {
            "environment": "development",
            "audit": {"pepper": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
            "backends": {
                "pbx": {
                    "vendor": "voicenter",
                    "base_url": "http://127.0.0.1:9/Comet/API",
                    "active_calls_code": "a",
                    "evidence": "accepted",
                }
            },
            "routes": [{"backends": ["pbx"]}],
            "clients": {
                "crm": {"tenant": "acme", "scopes": ["redaction:read"], "keys": [], "requests_per_second": 1000}
            },
        }

    def publish(self, *entries: dict[str, str]) -> None:
        """These keys: a new directory beside the old, and one rename that makes it the one."""
        self.tree["clients"]["crm"]["keys"] = list(entries)
        self.version += 1
        home = self.mount / f"..v{self.version}"
        home.mkdir()
        (home / "gateway.yaml").write_text(yaml.safe_dump(self.tree))
        (self.mount / "..data_tmp").symlink_to(home.name)
        os.replace(self.mount / "..data_tmp", self.mount / "..data")  # noqa: PTH105 -- of a link itself
        if not (self.mount / "gateway.yaml").is_symlink():
            (self.mount / "gateway.yaml").symlink_to("..data/gateway.yaml")

    def key(self) -> tuple[str, dict[str, str]]:
        """A new key, as `keys new` makes it, and its lines."""
        file = str(self.mount / "gateway.yaml")
        made = run("keys", "new", "--client", "crm", "--config", file, cwd=self.directory)
        text, _, lines = made.stdout.partition("\n")
        (entry,) = yaml.safe_load(lines)
        return text, entry

    def listed(self, environ: dict[str, str]) -> str:
        file = str(self.mount / "gateway.yaml")
        done = run("keys", "list", "--config", file, cwd=self.directory, environ=environ)
        assert done.returncode == 0
        return done.stdout

    def let_in(self, key: str) -> list[bool]:
        """At each of them. 503: they are, only the store is slow."""
        path = "/v1/calls/c1/redaction"
        found = [ask("GET", f"http://127.0.0.1:{port}{path}", key=key).status for port, _ in self.ports]
        assert {401, 404, 503} >= {*found}
        return [status != 401 for status in found]

    def metric(self, name: str) -> list[str]:
        pages = [ask("GET", f"http://127.0.0.1:{admin}/metrics").body.decode() for _, admin in self.ports]
        return [line.split()[-1] for page in pages for line in page.splitlines() if line.startswith(f"{name} ")]

    @contextmanager
    def running(self) -> Iterator[None]:
        contexts = [self._one(number) for number in range(2)]
        with contexts[0], contexts[1]:
            until(lambda: all(listens(port) for port, _ in self.ports))
            yield

    @contextmanager
    def _one(self, number: int) -> Iterator[None]:
        port, admin = self.ports[number]
        home = self.directory / f"pod{number}"
        home.mkdir()
        environ = {
            "GATEWAY_LISTEN__PORT": str(port),
            "GATEWAY_LISTEN__ADMIN_PORT": str(admin),
            "GATEWAY_LISTEN__HOST": "127.0.0.1",
            "GATEWAY_LISTEN__ADMIN_HOST": "127.0.0.1",
            "GATEWAY_STORE__URL": self.url,
            "GATEWAY_STORE__DIRECTORY": str(home),
        }
        file = str(self.mount / "gateway.yaml")
        log = home / "log"
        with started("serve", "--config", file, cwd=home, errors=home / "stderr", environ=environ, output=log):
            yield
        self.said.append(log.read_text())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def effective(true: Callable[[], bool]) -> None:
    """It becomes true on both; how long that took is printed, for whoever measures (`pytest -s`)."""
    began = time.monotonic()
    until(true)
    print(f"effective on both after {time.monotonic() - began:.1f} s")  # noqa: T201 -- it is a measurement


def test_a_key_comes_is_replaced_and_goes_without_a_restart(directory: Path, url: str) -> None:
    """New, overlapping, revoked: each on both pods; a wrong file changes nothing and is an alarm; the trail has each
    change, the log no key. `keys list` knows when a key was last used at any pod, and which never was; without the
    store it says so."""
    pods = Pods(directory, url)
    pods.publish()
    first, first_entry = pods.key()
    second, second_entry = pods.key()
    _, third_entry = pods.key()
    pods.publish(first_entry)
    with pods.running():
        assert pods.let_in(first) == [True, True]
        pods.publish(first_entry, second_entry)
        effective(lambda: pods.let_in(second) == [True, True])
        assert pods.let_in(first) == [True, True]
        pods.publish(second_entry)
        effective(lambda: pods.let_in(first) == [False, False])
        assert pods.let_in(second) == [True, True]
        pods.publish(first_entry, {**second_entry, "hash": "nonsense"})
        until(lambda: pods.metric("configuration_valid") == ["0.0", "0.0"])
        assert pods.let_in(second) == [True, True]
        assert pods.let_in(first) == [False, False]
        pods.publish(second_entry, third_entry)
        until(lambda: pods.metric("configuration_valid") == ["1.0", "1.0"])
    assert len(pods.said) == 2
    for said in pods.said:
        assert {"key.added", "key.removed", "configuration.refused"} <= set(WORD.findall(said))
        assert first not in said
        assert second not in said
    lines = {line.split()[2]: line for line in pods.listed({"GATEWAY_STORE__URL": url}).splitlines()}
    assert re.search(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", lines[second_entry["kid"]])
    assert "never" in lines[third_entry["kid"]]
    assert "not reached" in pods.listed({"GATEWAY_STORE__URL": f"redis://127.0.0.1:{free_port()}"})
