"""From a connection to an encrypted one: counted from its first moment, given an end, and greeted with the
certificates that count then.

asyncio's own way knows a connection only once it is encrypted: those who connect and say nothing would be nobody's,
and a server's certificates would be those of its start.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.web.connection import Connection, Room

HANDSHAKE_FAILED = "handshake.failed"

_log = logs.get("gateway.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Porter:
    """Greets whoever connects. `context` is asked for each; `make` makes what serves it then, and is given whether
    the certificates are still those it was greeted with. `full` and `failed` count who did not get so far."""

    room: Room
    context: Callable[[], ssl.SSLContext]
    make: Callable[[Callable[[], bool]], Connection]
    full: Callable[[], None]
    failed: Callable[[], None]
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
    """One connection while it is being encrypted."""

    idle = True  # where there is no room it is the first to go

    def __init__(self, porter: Porter) -> None:
        self._porter = porter
        self._wire: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = self._wire = cast("asyncio.Transport", transport)
        if not self._porter.room.enter(self):
            self._porter.full()
            wire.abort()
            return
        wire.pause_reading()  # nothing is read before it can be deciphered
        self._task = asyncio.get_running_loop().create_task(self._greet(wire))
        self._porter.greetings.add(self._task)
        self._task.add_done_callback(self._over)

    def data_received(self, data: bytes) -> None:
        """Deciphered already, and early: what serves it is there a moment later."""
        self._early += data

    def force_close(self) -> None:
        """Make room."""
        if self._task is not None:  # pragma: no branch -- whoever is in the room is being greeted
            self._task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._porter.greetings.discard(task)
        self._porter.room.leave(self)
        if task.cancelled() and self._wire is not None:  # perhaps before it began
            self._wire.abort()

    async def _greet(self, wire: asyncio.Transport) -> None:
        context = self._porter.context()
        try:
            encrypted = await self._encrypted(wire, context)
        except (ssl.SSLError, ConnectionAbortedError) as error:  # the latter: not in time
            _log.warning(HANDSHAKE_FAILED, error=type(error).__name__)
            self._porter.failed()
        except OSError:
            pass  # went away without a word, as whoever only looks whether the port is open does
        else:
            self._hand_over(encrypted, context)

    async def _encrypted(self, wire: asyncio.Transport, context: ssl.SSLContext) -> asyncio.Transport | None:
        return await asyncio.get_running_loop().start_tls(
            wire, self, context, server_side=True, ssl_handshake_timeout=self._porter.handshake_seconds
        )

    def _hand_over(self, encrypted: asyncio.Transport | None, context: ssl.SSLContext) -> None:
        """To what serves it, with what came in the meantime; unless it is gone again."""
        self._porter.room.leave(self)
        if encrypted is None or encrypted.is_closing():
            return
        connection = self._porter.make(lambda: self._porter.context() is context)
        encrypted.set_protocol(connection)
        connection.connection_made(encrypted)
        if self._early:
            connection.data_received(bytes(self._early))
