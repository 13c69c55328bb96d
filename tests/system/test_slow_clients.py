"""However many connections others hold open without getting on, a mute gets through: real sockets, a real process."""

from __future__ import annotations

import os
import resource
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from processes import ask, sandbox

if TYPE_CHECKING:
    from pathlib import Path

SOAK = bool(os.environ.get("SOAK"))
SLOW = 2_000 if SOAK else 600
ASKED = 200 if SOAK else 10
SPARE = 200  # files of this process for everything else


def held(port: int, key: str, number: int) -> socket.socket:
    """One of four kinds: says nothing, half a head, a head without its body, an answer that nobody reads."""
    wire = socket.create_connection(("127.0.0.1", port))
    head = f"PUT /v1/calls/slow-{number}/redaction HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
    match number % 4:
        case 0:
            pass
        case 1:
            wire.send(head.encode())
        case 2:
            wire.send(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        case _:
            wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
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
        assert (reply.status, reply.json["protected"]) == (200, True)
    return sorted(took)[int(len(took) * 0.99) - 1]


def test_a_mute_gets_through_beside_thousands_that_are_slow(tmp_path: Path) -> None:
    """Each of them proven while they are open; what it cost is printed (`SOAK=1 pytest -s`: 2,000 of them)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(SLOW, hard - SPARE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + SPARE), hard))
    try:
        with sandbox(tmp_path / "data") as process, ExitStack() as stack:
            port, key = int(process.said["base_url"].rpartition(":")[2]), process.said["key"]
            quiet = p99(port, key, "quiet")
            for number in range(count):
                stack.callback(held(port, key, number).close)
            beside = p99(port, key, "beside")
            assert process.stop() == 0
        print(f"{count} slow: p99 {1000 * quiet:.1f} ms alone, {1000 * beside:.1f} ms beside them")  # noqa: T201 -- it is a measurement
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
