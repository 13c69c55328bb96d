"""Bad keys in great number, one after the other on each of a few connections: a process of its own, so that who asks
beside it is not slowed down by it. `python strangers.py PORT COUNT CONNECTIONS` prints how many were let in."""

from __future__ import annotations

import asyncio
import secrets
import sys

from gateway.auth.keys import mint

SEEN = (b" 401 ", b" 429 ")


def _request() -> bytes:
    """A key of the right form, its check sum included: only the gateway can know that it is nobody's."""
    key = mint(secrets.token_bytes).text
    return f"GET /v1/calls/c1/redaction HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()


async def _ask(port: int, requests: list[bytes]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    let_in = 0
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        let_in += not any(status in head[:16] for status in SEEN)
    writer.close()
    await writer.wait_closed()
    return let_in


async def main(port: int, count: int, connections: int) -> int:
    shares = [[_request() for _ in range(count // connections)] for _ in range(connections)]
    print("ready", flush=True)  # noqa: T201 -- the one who started it waits for this
    await asyncio.to_thread(sys.stdin.readline)
    return sum(await asyncio.gather(*(_ask(port, share) for share in shares)))


if __name__ == "__main__":
    print(asyncio.run(main(*map(int, sys.argv[1:]))))  # noqa: T201 -- as above
