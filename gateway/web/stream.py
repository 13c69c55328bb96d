"""`Accept: text/event-stream`: the document now, after every change, and a sign of life in between.

The id of an event is the document's version. Whoever comes back with `Last-Event-ID` gets the state as it is now,
which is all there is to know of what was missed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web

from gateway.asks import Code, Failure
from gateway.web import headers
from gateway.web.exchange import EXCHANGE
from gateway.web.render import to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.asks import Answer, Read
    from gateway.model import CallKey
    from gateway.view import Document

MEDIA_TYPE = "text/event-stream"
SIGN_SECONDS = 15.0
LOOK_SECONDS = 1.0
_SIGN = b": alive\n\n"


class Changes(Protocol):
    """Word of changes; `over` when no more will come, `full` when nobody more is taken."""

    @property
    def over(self) -> bool: ...

    @property
    def full(self) -> bool: ...

    def listening(self, key: CallKey) -> AbstractAsyncContextManager[asyncio.Event]: ...


class Reader(Protocol):
    async def read(self, ask: Read) -> Answer: ...


def wanted(request: web.Request) -> bool:
    """The caller asks for the stream and not (also) for JSON."""
    accepted = [part.split(";")[0].strip().lower() for part in request.headers.get(hdrs.ACCEPT, "").split(",")]
    return MEDIA_TYPE in accepted and "application/json" not in accepted


async def stream(
    request: web.Request, ask: Read, reader: Reader, changes: Changes, stays: Callable[[], Awaitable[bool]]
) -> web.StreamResponse:
    """Serve until the caller goes, would not be let in any more, or the gateway stops. A call without a redaction is a
    problem before anything is streamed; a state that cannot be read later ends the stream, and the caller comes
    again."""
    if changes.full:
        raise Failure(Code.RATE_LIMITED, "Too many listeners on this gateway; ask for the state instead.")
    async with changes.listening(ask.key) as changed:
        first = (await reader.read(ask)).document
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: MEDIA_TYPE, "X-Accel-Buffering": "no"})
        response.headers.update({**headers.COMMON, headers.REQUEST_ID: request[EXCHANGE].request_id})
        await response.prepare(request)
        feed = Feed(response=response, reader=reader, ask=replace(ask, refresh=False, if_match=None))
        with suppress(ConnectionError, Failure):
            await feed.show(first)
            while not changes.over and not _gone(request):
                await _either(changed)
                changed.clear()
                if not await stays():
                    break
                await feed.look()
        return response


@dataclass(slots=True, kw_only=True)
class Feed:
    """One listener: what it was shown last, and when it last heard anything."""

    response: web.StreamResponse
    reader: Reader
    ask: Read
    shown: Document | None = None
    said_at: float = 0.0

    async def show(self, document: Document) -> None:
        await self._say(_event(document))
        self.shown = document

    async def look(self) -> None:
        """Show the state if it is news; otherwise a sign of life when it is time for one."""
        now = (await self.reader.read(self.ask)).document
        if self.shown is None or (now.version, now.protected) != (self.shown.version, self.shown.protected):
            await self.show(now)
        elif _now() - self.said_at >= SIGN_SECONDS:
            await self._say(_SIGN)

    async def _say(self, data: bytes) -> None:
        await self.response.write(data)
        self.said_at = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _gone(request: web.Request) -> bool:
    """The caller has hung up; waiting for a write to fail would keep its place taken."""
    return request.transport is None or request.transport.is_closing()


async def _either(changed: asyncio.Event) -> None:
    """Wait for word of a change, at most until the next look."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await changed.wait()
    except TimeoutError:
        return


def _event(document: Document) -> bytes:
    return b"event: redaction\nid: %d\ndata: %s\n\n" % (document.version, to_json(document))
