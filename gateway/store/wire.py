"""One connection that carries everybody's commands: what is sent in one turn of the loop goes out in one write.

The server answers in the order in which it was asked, so that the oldest waiter gets the next reply. Hence:

- who gives up waiting keeps its place in the queue: its reply is thrown away when it comes;
- after a cut, a reply that nobody waits for, or one that cannot be read, nothing that comes means anything any more:
  the connection ends, and what everybody else waited for is unknown;
- nothing here is tried again, and no single command can be called back: a server that says nothing for
  `SILENT_SECONDS` while somebody waits is given up with the connection.

Commands that make the server wait (WAIT, SUBSCRIBE) and those with answers of megabytes keep others waiting: they
belong on connections of their own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, cast

import hiredis
from redis._parsers import BaseParser
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, RedisError

from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.store.address import Access, Place, Tls

Command = tuple[str | bytes | int, ...]

SILENT_SECONDS = 1.0
ROUNDED_SECONDS = 0.001  # the loop may wake up so much earlier than it was told to, and would be told again and again
MOST_WAITING = 16_384  # more than any server leaves unanswered for a second and is still of use

_NOTHING_YET = object()


class _Waiter:
    """Who gets the next `count` replies, together."""

    __slots__ = ("count", "future", "replies", "sent_at")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, sent_at: float) -> None:
        self.future = future
        self.count = count
        self.sent_at = sent_at
        self.replies: list[Any] = []


class _Limits:
    """Until when each waiter waits. One timer for all: nearly every answer is there long before, and a timer for each
    costs more than what it would end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: list[tuple[float, int, asyncio.Future[list[Any]]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    def put(self, future: asyncio.Future[list[Any]], seconds: float) -> None:
        """`StoreUnavailable` for whoever waits for it, unless it is done in so many seconds."""
        end = self._loop.time() + seconds
        heapq.heappush(self._ends, (end, next(self._numbers), future))
        if end < self._next:
            self._arm(end)

    def end(self) -> None:
        """Everybody knows by now, or is told otherwise."""
        self._ends.clear()
        self._disarm()

    def _arm(self, end: float) -> None:
        self._disarm()
        self._timer, self._next = self._loop.call_at(end + ROUNDED_SECONDS, self._look), end

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._next = None, math.inf

    def _look(self) -> None:
        """The waiter goes; its place in the queue stays."""
        self._timer, self._next = None, math.inf
        now, ends = self._loop.time(), self._ends
        while ends and (ends[0][0] <= now or ends[0][2].done()):
            _, _, future = heapq.heappop(ends)
            if not future.done():
                future.set_exception(StoreUnavailable("no answer in time"))
        if ends:
            self._arm(ends[0][0])


class Wire(asyncio.Protocol):
    """`lost` once it is of no use any more: whoever needs one makes another."""

    def __init__(self) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOTHING_YET
        )
        self._waiting: deque[_Waiter] = deque()
        self._out: list[bytes] = []
        self._limits = _Limits(self._loop)
        self._heard_at = 0.0
        self._watched = False
        self._ending = False

    # ── for whoever asks ──

    async def ask(self, commands: tuple[Command, ...], *, within: float | None = None) -> list[Any]:
        """The replies, in order; one may be a `ResponseError`. A `RedisError` when nobody knows what became of the
        commands, `StoreUnavailable` when they were not answered `within` so many seconds."""
        future = self._sent(commands)
        if within is not None:
            self._limits.put(future, within)
        replies = await future
        for reply in replies:  # one that says "not now" is no answer
            if isinstance(reply, ConnectionLost):
                raise reply
        return replies

    def end(self) -> None:
        """Take no more commands, and close once those under way are answered."""
        self._ending = True
        if not self._waiting:
            self._lose("no longer needed")

    def _sent(self, commands: tuple[Command, ...]) -> asyncio.Future[list[Any]]:
        if self.lost or self._ending:
            raise ConnectionLost("the connection has ended")
        if len(self._waiting) >= MOST_WAITING:
            self._lose("too many commands are unanswered")
            raise ConnectionLost("too many commands are unanswered")
        packed = [_packed(command) for command in commands]  # all or none: one that cannot be is nobody's
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += packed
        waiter = _Waiter(self._loop.create_future(), len(packed), self._loop.time())
        self._waiting.append(waiter)
        if not self._watched:
            self._watched = True
            self._loop.call_later(SILENT_SECONDS, self._look)
        return waiter.future

    def _flush(self) -> None:
        data, self._out = b"".join(self._out), []
        if self.lost:
            return
        try:
            self._write(data)
        except RuntimeError as error:  # the loop's own word for a connection that the peer has closed
            self._lose(str(error))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:  # pragma: no branch -- nobody has one before there is a connection
            self._transport.write(data)

    # ── for the loop ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            while not self.lost and (reply := self._reader.gets()) is not _NOTHING_YET:
                self._answered(reply)
        except (hiredis.HiredisError, RedisError, ValueError) as error:
            self._lose(f"unreadable: {type(error).__name__}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(type(exc).__name__ if exc else "closed by the server")

    def _answered(self, reply: Any) -> None:  # noqa: ANN401 -- whatever the server says
        if not self._waiting:
            self._lose("a reply that nobody waits for")
            return
        waiter = self._waiting[0]
        waiter.replies.append(reply)
        if len(waiter.replies) < waiter.count:
            return
        self._waiting.popleft()
        if not waiter.future.done():
            waiter.future.set_result(waiter.replies)
        if self._ending and not self._waiting:
            self._lose("no longer needed")

    def _look(self) -> None:
        """Is somebody waiting for a server that says nothing?"""
        self._watched = False
        if self.lost or not self._waiting:
            return
        silent = self._loop.time() - max(self._heard_at, self._waiting[0].sent_at)
        if silent >= SILENT_SECONDS:
            self._lose("no answer in time")
            return
        self._watched = True
        self._loop.call_later(SILENT_SECONDS - silent, self._look)

    def _lose(self, reason: str) -> None:
        """Nobody's reply can be told from another's any more, or none will come."""
        if self.lost:
            return
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        self._limits.end()
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.future.done():
                waiter.future.set_exception(ConnectionLost(reason))


_W = TypeVar("_W", bound=Wire)


def _packed(command: Command) -> bytes:
    data: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means a pair, not any number
    return data


async def wired(place: Place, access: Access, kind: Callable[[], _W]) -> _W:
    """A connection to the server that lets us in. `RedisError` or `OSError` where it does not."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SILENT_SECONDS):
        if place.port is None:
            _, wire = await loop.create_unix_connection(kind, place.host)
        else:
            context = None if access.tls is None else _context(access.tls)
            _, wire = await loop.create_connection(kind, place.host, place.port, ssl=context)
    try:
        await _let_in(wire, access)
    except BaseException:
        wire.end()
        raise
    return wire


async def _let_in(wire: Wire, access: Access) -> None:
    words: list[Command] = []
    if access.username or access.password:
        name = () if access.username is None else (access.username,)
        words.append(("AUTH", *name, access.password or ""))
    if access.db:
        words.append(("SELECT", access.db))
    for reply in await wire.ask(tuple(words)) if words else ():
        if isinstance(reply, RedisError):
            raise reply


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()  # verifies, and the name too
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file is not None:
        context.load_verify_locations(cafile=tls.ca_file)
    if tls.client_certificate is not None:
        context.load_cert_chain(tls.client_certificate, tls.client_key)
    return context
