"""One request on one connection of aiohttp's pool: written in one piece, its answer read by aiohttp's own parser.

What goes out is, byte for byte, what aiohttp's own request writes. That one makes a score of objects for it, and a
task of its own where there is a body: a tenth of what a mute costs. Nothing here sends anything twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from aiohttp.http_exceptions import HttpProcessingError

from gateway.backends.contract import Unconfirmed
from gateway.model import Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.http_parser import RawResponseMessage
    from aiohttp.streams import StreamReader

    from gateway.backends.attempt import Attempt

_BODILESS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_TRACE})
_TYPED = frozenset({hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH})
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # in a line of a head (RFC 9110, 5.5)
_INTERIM = range(100, 200)
_SWITCHED = 101


def packed(method: str, target: str, headers: Mapping[str, str], *, cookie: str = "", body: bytes | None) -> bytes:
    """The request as it is on the wire. `target` is escaped; `headers` begin with `Host`, and name neither what is
    said of the body's length nor cookies. `ValueError` for a line that would be more than one."""
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if hdrs.ACCEPT not in headers:
        lines.append("Accept: */*")
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if body is not None or method not in _BODILESS:
        lines.append(f"Content-Length: {len(body or b'')}")
    if method in _TYPED and hdrs.CONTENT_TYPE not in headers:
        lines.append("Content-Type: application/octet-stream")
    if _FORBIDDEN.search("".join(lines)):
        raise ValueError("not a line of a head")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


async def answered(
    protocol: ResponseHandler, data: bytes, attempt: Attempt, *, method: str
) -> tuple[RawResponseMessage, StreamReader]:
    """Send `data`; when status and headers of the answer are there, these and where its body will be.

    `Unconfirmed` for what is no HTTP; whatever else goes wrong comes as aiohttp has it."""
    protocol.set_response_params(skip_payload=method == hdrs.METH_HEAD, read_until_eof=True, auto_decompress=False)
    sent(protocol, data, attempt)
    try:
        message, payload = await protocol.read()
        while message.code in _INTERIM and message.code != _SWITCHED:
            message, payload = await protocol.read()
    except HttpProcessingError:
        raise Unconfirmed(Fault.BAD_ANSWER) from None
    return message, payload


def sent(protocol: ResponseHandler, data: bytes, attempt: Attempt) -> None:
    """Between the last look at the clock and the write nobody else has a turn."""
    attempt.written()
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError
    write(transport, data)


def write(transport: asyncio.Transport, data: bytes) -> None:
    transport.write(data)
