"""A vendor that is never the bottleneck: answers at once or after a set time, in the form of a vendor that proves a
mute by its answer (VoipNow) and of one that has to be asked (Verba). `python -m bench.vendor` prints its two ports."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import cast
from urllib.parse import parse_qs

import uvloop

from bench import wire

SLOW_SECONDS = 0.02
_JSON, _XML = b"application/json", b"text/xml"
_TOKEN = b'{"access_token":"bench","expires_in":"7200","token_type":"Bearer"}'
_DONE = b'<VerbaApi><Response code="0" type="MuteRecording"/></VerbaApi>'


class Vendor:
    """What both ports know: which calls are silent."""

    def __init__(self) -> None:
        self.silent: set[bytes] = set()

    def answer(self, head: bytes, body: bytes) -> bytes:
        method, path, _ = head.split(b" ", 2)
        if path.startswith(b"/uapi/"):
            return self._voipnow(method, path.rpartition(b"/")[2], body)
        if path.startswith(b"/verba/"):
            return self._verba(body)
        return wire.reply(_TOKEN, _JSON)

    def _voipnow(self, method: bytes, call: bytes, body: bytes) -> bytes:
        if method == b"PUT":
            (self.silent.add if b"StopRecording" in body else self.silent.discard)(call)
        view = {
            "id": "01", "extension": "8856", "status": "5", "flow": "8",
            "source": ["7778888"], "destination": ["8856"], "callerId": "John Doe <3333>",
        }  # fmt: skip
        if call not in self.silent:
            view["recording"] = "2026-11-21T11:03:02+00:00"
        return wire.reply(json.dumps({"id": call.decode(), "ownerId": "3", "phoneCallView": [view]}).encode(), _JSON)

    def _verba(self, body: bytes) -> bytes:
        form = parse_qs(body)
        call, mute = form[b"callID"][0], form.get(b"mute")
        if mute is not None:
            (self.silent.discard if mute[0] == b"0" else self.silent.add)(call)
            return wire.reply(_DONE, _XML)
        said = b"true" if call in self.silent else b"false"
        state = b'code="0" type="MuteRecording" callerMuted="%b" calledMuted="%b"' % (said, said)
        return wire.reply(b"<VerbaApi><Response %b/></VerbaApi>" % state, _XML)


class Line(asyncio.Protocol):
    def __init__(self, vendor: Vendor, seconds: float) -> None:
        self._vendor = vendor
        self._seconds = seconds
        self._messages = wire.Messages()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        for head, body in self._messages.feed(data):
            answer = self._vendor.answer(head, body)
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._write, answer)
            else:
                self._write(answer)


async def serve() -> None:
    loop, vendor = asyncio.get_running_loop(), Vendor()
    lines = [partial(Line, vendor, seconds) for seconds in (0.0, SLOW_SECONDS)]
    servers = [await loop.create_server(line, "127.0.0.1", 0, backlog=1024) for line in lines]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(*ports, flush=True)  # noqa: T201 -- what the process is to say
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
