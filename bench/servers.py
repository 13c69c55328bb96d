"""The processes that a run consists of: store, vendor, gateways and the thin services, each on the core that it is
given, each ended by its own pid."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import RedisError

from bench import cores
from gateway.store.embedded import binary
from gateway.store.node import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

START_SECONDS = 60.0
STOP_SECONDS = 30.0
NODE = Path(__file__).with_name("node")


class Unstarted(Exception):  # noqa: N818 -- reads as the fact it states
    """A process did not come up; the text has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One process that runs, and where it listens."""

    popen: subprocess.Popen[bytes]
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        return self.ports[0]


@contextmanager
def launched(
    words: Sequence[str | Path], *, core: int | None, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on `core` that is ended with the block. What it says goes to `log`, its first words to a pipe too."""
    with log.open("ab") as stream:
        popen = subprocess.Popen(
            words,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=log.parent,
            env={**_environ(), **(environ or {})},
            preexec_fn=lambda: cores.pin(0, core),  # noqa: PLW1509 -- one thread runs here when processes are started
        )
    try:
        yield popen
    finally:
        end(popen)


def end(popen: subprocess.Popen[bytes]) -> int:
    """Told to stop, and after a while made to; its exit status."""
    if popen.poll() is None:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            popen.kill()
    return popen.wait()


def _environ() -> dict[str, str]:
    """Ours without any setting of a gateway; the bench itself can be imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[1])}


@contextmanager
def announced(words: Sequence[str | Path], *, core: int | None, log: Path) -> Iterator[Server]:
    """A process whose first line names its ports."""
    log.write_bytes(b"")
    with launched(words, core=core, log=log) as popen:
        line = await_line(popen, log, b"")
        yield Server(popen=popen, ports=tuple(map(int, line.split())))


def await_line(popen: subprocess.Popen[bytes], log: Path, mark: bytes) -> bytes:
    """The first whole line in `log` with `mark` in it."""
    end_at = time.monotonic() + START_SECONDS
    while time.monotonic() < end_at:
        for line in log.read_bytes().split(b"\n")[:-1]:
            if mark in line:
                return line
        if popen.poll() is not None:
            break
        select.select([], [], [], 0.02)
    raise Unstarted(log.read_text()[-3000:])


@contextmanager
def store(home: Path, *, core: int | None, fsync: str = "always") -> Iterator[Server]:
    """A store with the gateway's functions; `fsync` as `appendfsync` has it."""
    home.mkdir(parents=True)
    port = free_port()
    options = {
        "port": str(port), "bind": "127.0.0.1", "dir": str(home), "save": "", "appendonly": "yes",
        "appendfsync": fsync, "maxmemory-policy": "noeviction",
    }  # fmt: skip
    words = [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    with launched(words, core=core, log=home / "log") as popen:
        with Redis(port=port) as client:
            _await_answer(client, popen, home / "log")
            client.function_load(LIBRARY, replace=True)
        yield Server(popen=popen, ports=(port,))


def _await_answer(client: Redis, popen: subprocess.Popen[bytes], log: Path) -> None:
    end_at = time.monotonic() + START_SECONDS
    while popen.poll() is None and time.monotonic() < end_at:
        try:
            client.ping()
        except (RedisError, OSError):
            time.sleep(0.02)
        else:
            return
    raise Unstarted(log.read_text()[-3000:])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
    return port


def vendor(home: Path, *, core: int | None) -> AbstractContextManager[Server]:
    return announced([sys.executable, "-m", "bench.vendor"], core=core, log=home / "vendor.log")


def stock(
    home: Path, store_port: int, vendor_ports: Sequence[int], *, core: int | None, port: int = 0
) -> AbstractContextManager[Server]:
    """On `port` there can be several."""
    words = [sys.executable, "-m", "bench.stock", str(store_port), *map(str, vendor_ports), str(port)]
    return announced(words, core=core, log=home / f"stock-{len([*home.glob('stock-*.log')])}.log")


def node(
    home: Path, store_port: int, vendor_ports: Sequence[int], *, core: int | None
) -> AbstractContextManager[Server]:
    """`npm ci` has been run before."""
    words = [_node(), str(NODE / "server.js"), str(store_port), *map(str, vendor_ports)]
    return announced(words, core=core, log=home / "node.log")


def has_node() -> bool:
    """Whether what the comparison with Node needs is there; it is installed where it is not yet."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    if not (NODE / "node_modules" / ".package-lock.json").exists():
        words = [npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(words, cwd=NODE, check=True, timeout=300)
    return True


def _node() -> str:
    return shutil.which("node") or "node"
