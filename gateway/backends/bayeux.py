"""Bayeux 1.0 over long polling, the client's side: what CometD servers speak to push events.

Messages are built and answers read by pure functions; `BayeuxClient` keeps one subscription alive over whatever
sends a message and brings the answer.

    handshake ─► subscribe ─► connect ─► connect ─► …      every connect is held until there is news, or a while
        ▲                        │
        └── advice "handshake", "402 unknown client", or failing twice in a row

Advice "none" ends it: the server does not want to see this client again.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from gateway.backends.contract import BackendError, Refused, Unconfirmed
from gateway.model import Fault

_log = structlog.stdlib.get_logger("bayeux")

Message = Mapping[str, object]
Send = Callable[[Message, float], Awaitable[object]]
"""Sends one message and gives the answer's JSON, within so many seconds. Raises `BackendError` leaves only."""

FIRST_PAUSE_SECONDS = 0.1  # after the first failure; doubled up to the longest
LONGEST_PAUSE_SECONDS = 60.0
QUICK_PAUSE_SECONDS = 0.05  # after the second connect in a row that was answered at once without news; doubled
LONGEST_QUICK_PAUSE_SECONDS = 5.0
HELD_SECONDS = 1.0  # a connect that was held so long is a healthy one
REPLY_SECONDS = 5.0  # for every message that the server answers at once
GRACE_SECONDS = 10.0  # how much longer than it said a server may hold a connect
LONGEST_POLL_SECONDS = 120.0
LEAVE_SECONDS = 0.5


class Reconnect(enum.StrEnum):
    RETRY = "retry"
    HANDSHAKE = "handshake"
    NONE = "none"


_RECONNECTS: dict[str, Reconnect] = {word.value: word for word in Reconnect}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """How the server wants to be called: how again, after which pause, and how long it holds a connect."""

    reconnect: Reconnect = Reconnect.RETRY
    interval_seconds: float = 0.0
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    channel: str
    data: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The reply to one message, and the events that came with it in the order of the wire."""

    successful: bool
    client_id: str | None
    advice: Advice
    events: tuple[Event, ...]


# Build


def handshake(number: int) -> Message:
    return {
        "id": str(number),
        "channel": "/meta/handshake",
        "version": "1.0",
        "minimumVersion": "1.0",
        "supportedConnectionTypes": ["long-polling"],
    }


def subscribe(number: int, client_id: str, channel: str) -> Message:
    return {"id": str(number), "channel": "/meta/subscribe", "clientId": client_id, "subscription": channel}


def connect(number: int, client_id: str, *, at_once: bool = False) -> Message:
    """To be held until there is news, or answered `at_once` to see whether one is (still) known."""
    held = {"id": str(number), "channel": "/meta/connect", "clientId": client_id, "connectionType": "long-polling"}
    return {**held, "advice": {"timeout": 0}} if at_once else held


def disconnect(number: int, client_id: str) -> Message:
    return {"id": str(number), "channel": "/meta/disconnect", "clientId": client_id}


# Read


def read(answer: object, message: Message, advice: Advice) -> Answer:
    """What came back for `message`; `advice` is what held so far. `Unconfirmed` when the reply is not in it.

    Whatever else is in the answer and cannot be read is passed over: one odd event does not cost the others.
    """
    items = answer if isinstance(answer, list) else [answer]
    messages = [item for item in items if isinstance(item, dict)]
    reply = next((item for item in messages if _replies(item, message)), None)
    if reply is None:
        raise Unconfirmed(Fault.BAD_ANSWER)
    client_id = reply.get("clientId")
    return Answer(
        successful=reply.get("successful") is True,
        client_id=client_id if isinstance(client_id, str) and client_id else None,
        advice=_advised(reply.get("advice"), advice),
        events=tuple(event for item in messages if (event := _event(item)) is not None),
    )


def _replies(item: Message, message: Message) -> bool:
    """Servers may leave the id out; one that is there must be ours."""
    return item.get("channel") == message["channel"] and item.get("id", message["id"]) == message["id"]


def _event(item: Message) -> Event | None:
    channel = item.get("channel")
    if not isinstance(channel, str) or channel.startswith("/meta/") or "data" not in item:
        return None
    return Event(channel=channel, data=item["data"])


def _advised(value: object, before: Advice) -> Advice:
    if not isinstance(value, dict):
        return before
    word = value.get("reconnect")
    return Advice(
        reconnect=_RECONNECTS.get(word, before.reconnect) if isinstance(word, str) else before.reconnect,
        interval_seconds=_seconds(value.get("interval"), before.interval_seconds, LONGEST_PAUSE_SECONDS),
        timeout_seconds=_seconds(value.get("timeout"), before.timeout_seconds, LONGEST_POLL_SECONDS),
    )


def _seconds(milliseconds: object, otherwise: float, most: float) -> float:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or milliseconds < 0:
        return otherwise
    return min(milliseconds / 1000, most) if milliseconds < most * 1000 else most


class BayeuxClient:
    """One subscription to `channel`; `hear` gets the data of each of its events.

    `name` is for the log. A server that has no such channel costs one line in it, and a try a minute. `live` is
    True while nothing is missed: what the server says between two connects waits for the second one.
    """

    def __init__(
        self,
        send: Send,
        *,
        name: str,
        channel: str,
        hear: Callable[[object], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._name = name
        self._channel = channel
        self._hear = hear
        self._sleep = sleep
        self._advice = Advice()
        self._client_id: str | None = None
        self._number = 0
        self._failures = 0
        self._quick = 0
        self.live = False

    async def run(self) -> None:
        """Keep the subscription until cancelled, or until the server does not want it."""
        try:
            while self._advice.reconnect is not Reconnect.NONE:
                await self._turn()
        finally:
            self.live = False
        _log.warning("stream.ended", backend=self._name)

    async def leave(self) -> None:
        """Tell the server that nobody listens any more, so that it need not keep what it would say."""
        if self._client_id is not None:
            with suppress(BackendError):
                await self._send(disconnect(self._next(), self._client_id), LEAVE_SECONDS)

    async def _turn(self) -> None:
        try:
            if self._client_id is None:
                self._client_id = await self._opened()
            await self._poll(self._client_id)
        except BackendError as error:
            await self._recover(error)
        except Exception:  # noqa: BLE001 -- whatever an event trips over, the stream goes on
            _log.exception("stream.tripped", backend=self._name)
            await self._recover(Unconfirmed(Fault.BAD_ANSWER))

    async def _opened(self) -> str:
        self._advice = Advice()
        client_id = (await self._exchange(handshake(self._next()), REPLY_SECONDS)).client_id
        if client_id is None:
            raise Unconfirmed(Fault.BAD_ANSWER)
        await self._exchange(subscribe(self._next(), client_id, self._channel), REPLY_SECONDS)
        return client_id

    async def _poll(self, client_id: str) -> None:
        began = asyncio.get_running_loop().time()
        patience = self._advice.timeout_seconds + GRACE_SECONDS
        answer = await self._exchange(connect(self._next(), client_id, at_once=not self.live), patience)
        if not self.live:
            self.live = True
            _log.info("stream.opened", backend=self._name)
        if self._advice.reconnect is Reconnect.HANDSHAKE:
            self._client_id, self.live = None, False
        healthy = bool(answer.events) or asyncio.get_running_loop().time() - began >= HELD_SECONDS
        await self._rest(healthy=healthy)

    async def _rest(self, *, healthy: bool) -> None:
        """As long as the server wants; longer and longer where it answers at once and says nothing."""
        self._quick = 0 if healthy else min(self._quick + 1, 10)
        self._failures = 0 if healthy else self._failures
        quick = QUICK_PAUSE_SECONDS * (2 ** (self._quick - 1) - 1) if self._quick else 0.0
        pause = max(self._advice.interval_seconds, min(quick, LONGEST_QUICK_PAUSE_SECONDS))
        if pause > 0:
            await self._sleep(pause)

    async def _recover(self, error: BackendError) -> None:
        """A readable no needs a new client at once; a cut connection only when the second try fails as well."""
        if self.live or not self._failures:
            _log.warning("stream.lost", backend=self._name, fault=error.fault.value)
        if isinstance(error, Refused) or self._failures:
            self._client_id = None
        self.live = False
        self._failures = min(self._failures + 1, 20)
        if self._advice.reconnect is not Reconnect.NONE:
            longest = min(FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
            await self._sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 -- only to spread clients

    async def _exchange(self, message: Message, patience_seconds: float) -> Answer:
        """Send, take the advice, pass on the events; `Refused` where the server says no."""
        answer = read(await self._send(message, patience_seconds), message, self._advice)
        self._advice = answer.advice
        for event in answer.events:
            if event.channel == self._channel:
                self._hear(event.data)
        if not answer.successful:
            raise Refused(Fault.REFUSED)
        return answer

    def _next(self) -> int:
        self._number += 1
        return self._number
