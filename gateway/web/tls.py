"""From a connection to an encrypted one: counted from its first moment, given an end, and greeted with the
certificates that count then.

The event loop's own way knows a connection only once it is encrypted: those who connect and say nothing would be
nobody's, and a server's certificates would be those of its start.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway import logs
from gateway.asks import Code
from gateway.web.told import far_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.web.connection import Connection, Room, Welcome
    from gateway.web.told import Told

HANDSHAKE_FAILED = "handshake.failed"

_log = logs.get("gateway.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Porter:
    """Greets whoever connects. `context` is asked for each, `make` makes what serves it then. `told` hears of who
    did not get so far."""

    room: Room
    context: Callable[[], ssl.SSLContext]
    make: Callable[[Welcome], Connection]
    told: Told
    handshake_seconds: float
    greetings: set[asyncio.Task[None]] = field(default_factory=set)

    def greet(self) -> Greeting:
        return Greeting(self)

    async def end(self) -> None:
        """Whoever is being greeted is sent away."""
        for task in self.greetings:
            task.cancel()
        if self.greetings:
            await asyncio.wait(set(self.greetings))


class Greeting(asyncio.Protocol):
    """One connection until it is encrypted; after that, what is known of how it was greeted."""

    idle = True  # where there is no room it is the first to go

    def __init__(self, porter: Porter) -> None:
        self._porter = porter
        self._context = porter.context()
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._address: str | None = None

    @property
    def fresh(self) -> bool:
        return self._porter.context() is self._context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket changes hands before anything is read from it."""
        wire = cast("asyncio.Transport", transport)
        self._address = far_end(wire)
        kept = _kept(wire) if self._porter.room.enter(self) else None
        wire.abort()
        if kept is None:
            self.over()
            self._porter.told.full(self._address)
            return
        self._task = asyncio.get_running_loop().create_task(self._greet(kept))
        self._porter.greetings.add(self._task)
        self._task.add_done_callback(lambda task: self._ended(task, kept))

    def over(self) -> None:
        """It is encrypted: another one takes its place."""
        self._porter.room.leave(self)

    def force_close(self) -> None:
        """Make room."""
        if self._task is not None:  # pragma: no branch -- whoever is in the room is being greeted
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None], kept: socket.socket) -> None:
        self._porter.greetings.discard(task)
        self.over()
        if not self._begun:
            kept.close()

    async def _greet(self, wire: socket.socket) -> None:
        self._begun = True  # from here on the loop closes it
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._porter.make(self),
                wire,
                ssl=self._context,
                ssl_handshake_timeout=self._porter.handshake_seconds,
            )
        except (ssl.SSLError, ConnectionAbortedError) as error:  # the latter: not in time
            _log.warning(HANDSHAKE_FAILED, error=type(error).__name__)
            self._porter.told.refused("other", Code.INVALID_REQUEST, address=self._address)
        except OSError:
            pass  # went away without a word, as whoever only looks whether the port is open does


def _kept(wire: asyncio.Transport) -> socket.socket | None:
    """The connection apart from its transport; None where this process has no file left for it."""
    try:
        return socket.socket(fileno=os.dup(wire.get_extra_info("socket").fileno()))
    except OSError:
        return None
