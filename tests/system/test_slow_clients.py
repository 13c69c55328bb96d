"""However many connections others hold open without getting on, a mute gets through: real sockets, a real process."""

from __future__ import annotations

import os
import resource
import socket
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from processes import ask, sandbox

from gateway.footing import MOST_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 2_000
ASKED = 200 if os.environ.get("SOAK") else 10
SPARE = 200  # files of this process for everything else
USUAL = 1_024  # files that a process gets without asking


def held(port: int, key: str, number: int) -> socket.socket:
    """One of four kinds: says nothing, half a head, a head without its body, an answer that nobody reads."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.connect(("127.0.0.1", port))
    head = f"PUT /v1/calls/slow-{number}/redaction HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
    match number % 4:
        case 0:
            pass
        case 1:
            wire.send(head.encode())
        case 2:
            wire.send(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        case _:
            wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
    return wire


def p99(port: int, key: str, name: str) -> float:
    """In seconds, of mutes one after the other, each of which is proven."""
    took = []
    for number in range(ASKED):
        began = time.perf_counter()
        reply = ask(
            "PUT",
            f"http://127.0.0.1:{port}/v1/calls/demo-call/redaction",
            key=key,
            body={"hold": f"{name}-{number % 9}"},
        )
        took.append(time.perf_counter() - began)
        assert reply.status == 200, reply.json
        assert reply.json["protected"]
    return sorted(took)[int(len(took) * 0.99) - 1]


@contextmanager
def files(soft: int) -> Iterator[int]:
    """This process, and what it starts, may have so many at first; gives how many there may be at all."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard), hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 -- thousands of names that are only counted


def may_open(pid: int) -> int:
    (line,) = (one for one in Path(f"/proc/{pid}/limits").read_text().splitlines() if one.startswith("Max open files"))
    return int(line.split()[3])


def test_a_mute_gets_through_beside_thousands_that_are_slow(tmp_path: Path) -> None:
    """Each of them proven while they are open, at a gateway that was started with the usual limit of files and takes as
    many as it may; what it cost is printed (`pytest -s`)."""
    with ExitStack() as stack:
        hard = stack.enter_context(files(USUAL))
        process = stack.enter_context(sandbox(tmp_path / "data"))
        assert may_open(process.popen.pid) == min(hard, MOST_FILES)
        count = min(SLOW, hard - SPARE)
        stack.enter_context(files(count + SPARE))
        port, key = int(process.said["base_url"].rpartition(":")[2]), process.said["key"]
        quiet, before = p99(port, key, "quiet"), open_files(process.popen.pid)
        for number in range(count):
            stack.callback(held(port, key, number).close)
        taken = open_files(process.popen.pid) - before
        beside = p99(port, key, "beside")
        left = open_files(process.popen.pid) - before
        assert process.stop() == 0
    print(  # noqa: T201 -- it is a measurement
        f"{count} slow, {taken} open when the first mute was asked for, {left} after the last:"
        f" p99 {1000 * quiet:.1f} ms alone, {1000 * beside:.1f} ms beside them"
    )
