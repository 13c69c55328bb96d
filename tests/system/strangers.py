"""Bad keys in great number, one after the other on each of a few connections: a process of its own, so that who asks
beside it is not slowed down by it. `python strangers.py PORT COUNT CONNECTIONS` says ``ready``; a line on its standard
input sets it going, the next one makes it pause. It says ``paused`` once nothing of its is under way, and at the end
``done`` and how many were let in."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from dataclasses import dataclass, field

from gateway.auth.keys import mint

SEEN = (b" 401 ", b" 429 ")


def _request() -> bytes:
    """A key of the right form, its check sum included: only the gateway can know that it is nobody's."""
    key = mint(secrets.token_bytes).text
    return f"GET /v1/calls/c1/redaction HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()


@dataclass(kw_only=True)
class Strangers:
    port: int
    going: asyncio.Event = field(default_factory=asyncio.Event)
    asking: int = 0

    async def ask(self, requests: list[bytes]) -> int:
        """How many of the requests were let in."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        let_in = 0
        for request in requests:
            await self.going.wait()
            self.asking += 1
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
            self.asking -= 1
            let_in += not any(status in head[:16] for status in SEEN)
        writer.close()
        await writer.wait_closed()
        return let_in

    async def obey(self) -> None:
        while await asyncio.to_thread(sys.stdin.readline):
            if not self.going.is_set():
                self.going.set()
                continue
            self.going.clear()
            while self.asking:  # noqa: ASYNC110 -- many share the number
                await asyncio.sleep(0.005)
            _say("paused")


def _say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 -- the one who started it waits for this


async def main(port: int, count: int, connections: int) -> None:
    shares = [[_request() for _ in range(count // connections)] for _ in range(connections)]
    strangers = Strangers(port=port)
    _say("ready")
    obeying = asyncio.create_task(strangers.obey())
    let_in = sum(await asyncio.gather(*map(strangers.ask, shares)))
    _say(f"done {let_in}")
    await obeying


if __name__ == "__main__":
    os.nice(10)  # what asks must not take the processor from what answers: that is not what is measured
    asyncio.run(main(*map(int, sys.argv[1:])))
