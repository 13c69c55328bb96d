"""The server's side of Bayeux over long polling: clients that expire, connects that are held, events that queue."""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable

Message = Mapping[str, object]

_KEPT = 1_000  # events for a client that does not come for them, and messages to look at later
_HUGE = "x" * 1_000_000


class Trick(enum.StrEnum):
    """What can go wrong with the events on their way."""

    DOUBLED = "doubled"
    REVERSED = "reversed"  # what one answer brings comes newest first
    GARBAGE = "garbage"  # among them are messages that nobody can read
    HUGE = "huge"
    SILENT = "silent"  # no event is ever sent


@dataclass(slots=True, kw_only=True, eq=False)
class _Client:
    session: str
    channels: set[str] = field(default_factory=set)
    queue: deque[Message] = field(default_factory=lambda: deque(maxlen=_KEPT))
    news: asyncio.Event = field(default_factory=asyncio.Event)


class BayeuxServer:
    """Knobs:

    `missing`: there is no such path. `cuts`: so many of the next connects are cut off; `cut` does it to those that
    are held. `reconnect`, `interval_ms`, `timeout_ms`: the advice. `forbidden`: subscriptions are refused.
    `withheld`: events are kept back until it is False and `release` is called. `tricks`: see there.
    """

    def __init__(self) -> None:
        self.missing = False
        self.forbidden = False
        self.withheld = False
        self.cuts = 0
        self.reconnect = "retry"
        self.interval_ms = 0
        self.timeout_ms = 30_000
        self.tricks: set[Trick] = set()
        self.received: deque[Message] = deque(maxlen=_KEPT)
        self._clients: dict[str, _Client] = {}
        self._held: dict[int, web.Request] = {}

    @property
    def listeners(self) -> int:
        """How many connects are held now."""
        return len(self._held)

    def said(self, channel: str) -> list[Message]:
        """The messages that clients sent to `channel`, the oldest first."""
        return [message for message in self.received if message.get("channel") == channel]

    # What happens

    def publish(self, channel: str, data: object) -> None:
        """Tell everybody who is subscribed."""
        if Trick.SILENT in self.tricks:
            return
        for client in self._clients.values():
            if channel in client.channels:
                client.queue.append({"channel": channel, "data": data})
        self.release()

    def release(self) -> None:
        """Let the connects go for which there is something to say."""
        for client in self._clients.values():
            if client.queue and not self.withheld:
                client.news.set()

    def expire(self) -> None:
        """Forget every client; those who wait are told."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.news.set()

    def cut(self) -> None:
        """Cut the connections that are held."""
        for request in self._held.values():
            _aborted(request)

    # Requests

    async def serve(self, request: web.Request, *, session: str) -> web.StreamResponse:
        """Answer one request of the login `session`; a single message or several."""
        if self.missing:
            return web.Response(status=404, body=b"<html>not here</html>", content_type="text/html")
        body = orjson.loads(await request.read())
        replies: list[object] = []
        for message in body if isinstance(body, list) else [body]:
            self.received.append(message)
            if message["channel"] == "/meta/connect" and self.cuts:
                self.cuts -= 1
                return _aborted(request)
            replies += await self._answer(request, message, session)
        return web.Response(body=orjson.dumps(replies), content_type="application/json")

    async def _answer(self, request: web.Request, message: Message, session: str) -> list[object]:
        if message["channel"] == "/meta/handshake":
            return [self._handshake(message, session)]
        client = self._clients.get(str(message.get("clientId")))
        if client is None or client.session != session:
            return [_unknown(message)]
        match message["channel"]:
            case "/meta/subscribe":
                return [self._subscribe(client, message)]
            case "/meta/connect":
                return await self._connect(request, client, message)
            case _:
                self._clients.pop(str(message["clientId"]))
                return [_reply(message, successful=True)]

    def _handshake(self, message: Message, session: str) -> Message:
        client_id = secrets.token_hex(12)
        self._clients[client_id] = _Client(session=session)
        about = {"version": "1.0", "supportedConnectionTypes": ["long-polling"], "clientId": client_id}
        return _reply(message, successful=True, advice=self._advice()) | about

    def _subscribe(self, client: _Client, message: Message) -> Message:
        about = {"subscription": message["subscription"]}
        if self.forbidden:
            return _reply(message, successful=False) | about | {"error": f"403:{message['subscription']}:Forbidden"}
        client.channels.add(str(message["subscription"]))
        return _reply(message, successful=True) | about

    async def _connect(self, request: web.Request, client: _Client, message: Message) -> list[object]:
        """Held until there is news, unless the client wants it at once; who was forgotten meanwhile hears it."""
        if message.get("advice") != {"timeout": 0}:
            await self._hold(request, client)
        if client not in self._clients.values():
            return [_unknown(message)]
        client.news.clear()
        queue: list[Message] = []
        if not self.withheld:
            queue = list(client.queue)
            client.queue.clear()
        return [*self._spoiled(queue), _reply(message, successful=True, advice=self._advice())]

    async def _hold(self, request: web.Request, client: _Client) -> None:
        self._held[id(request)] = request
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                await client.news.wait()
        except TimeoutError:
            return
        finally:
            del self._held[id(request)]

    def _advice(self) -> Message:
        return {"reconnect": self.reconnect, "interval": self.interval_ms, "timeout": self.timeout_ms}

    def _spoiled(self, queue: list[Message]) -> Iterable[object]:
        events: list[object] = list(reversed(queue)) if Trick.REVERSED in self.tricks else list(queue)
        if Trick.DOUBLED in self.tricks:
            events = [event for event in events for _ in range(2)]
        if Trick.GARBAGE in self.tricks and queue:
            odd = [{"channel": message["channel"], "data": odd} for message in queue for odd in _ODD]
            events = [*_GARBAGE, *odd, *events]
        if Trick.HUGE in self.tricks and queue:
            events.append({"channel": "/v2/me/calls", "data": _HUGE})
        return events


_ELSEWHERE = {"channel": "/v2/elsewhere", "data": "not for us"}
_GARBAGE: tuple[object, ...] = (None, 7, "text", [], {}, {"channel": 5}, {"channel": "/v2/me/calls"}, _ELSEWHERE)
_ODD: tuple[object, ...] = (
    None,
    [],
    {"messageType": "CallStateChangeMessage"},
    {"messageType": "CallStateChangeMessage", "call": {"id": 5, "recordingState": ["Paused"]}},
    {"messageType": "CallStateChangeMessage", "call": {"id": "c1", "recordingState": "Melting"}},
    {"messageType": "DeviceStateChangeMessage", "call": {"id": "c1", "recordingState": "Recording"}},
)


def _reply(message: Message, *, successful: bool, advice: Message | None = None) -> dict[str, object]:
    reply = {"id": message["id"], "channel": message["channel"], "successful": successful}
    return reply if advice is None else {**reply, "advice": advice}


def _unknown(message: Message) -> Message:
    advice = {"reconnect": "handshake", "interval": 0}
    return _reply(message, successful=False, advice=advice) | {"error": "402::Unknown client"}


def _aborted(request: web.Request) -> web.StreamResponse:
    request.protocol.force_close()
    return web.Response()
