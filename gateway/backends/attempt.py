"""One sending of one request: how far it got, and that nothing leaves after its deadline.

A process can be stopped for seconds between any two of its steps. What lets a party be recorded must then not leave
after a newer mute was proven by another process, so the clock is looked at again right before the bytes are handed to
the socket: between that look and the write nobody else has a turn.
"""

from __future__ import annotations

import asyncio
import enum
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.tracing import Trace

from gateway.backends.contract import BackendError, NotSent, Unconfirmed
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage(enum.Enum):
    """How far one attempt got."""

    PREPARING = enum.auto()
    QUEUED = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    SENT = enum.auto()
    LATE = enum.auto()  # given up with nothing written: nothing will be


class Attempt:
    """`deadline` is in loop time. `body`: the request has one, which aiohttp writes together with the headers."""

    def __init__(self, *, deadline: float, body: bool) -> None:
        self.stage = Stage.PREPARING
        self._deadline = deadline
        self._body = body

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Whatever aiohttp, the sockets or the deadline throw comes out as one of ours, without its text."""
        try:
            yield
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if self.stage is Stage.CONNECTED and isinstance(error, TimeoutError):
                self.stage = Stage.LATE
            raise self._ours(error) from None

    def _ours(self, error: Exception) -> BackendError:
        match self.stage, error:
            case (Stage.QUEUED | Stage.LATE, _):
                return NotSent(Fault.BUSY)
            case (Stage.PREPARING, ValueError()):
                return NotSent(Fault.MISCONFIGURED)
            case (Stage.PREPARING | Stage.CONNECTING, _):
                return NotSent(Fault.CONNECTION_FAILED)
            case (_, TimeoutError()):
                return Unconfirmed(Fault.TIMEOUT)
            case (_, aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError()):
                return Unconfirmed(Fault.CONNECTION_LOST)
            case _:
                return Unconfirmed(Fault.BAD_ANSWER)

    def headed(self) -> None:
        """The headers are about to be written; where there is a body they wait for it."""
        self._in_time()
        if not self._body:
            self.stage = Stage.SENT

    def written(self) -> None:
        """Headers and body are about to be written."""
        if self.stage is not Stage.SENT:
            self._in_time()
            self.stage = Stage.SENT

    def _in_time(self) -> None:
        if self.stage is Stage.LATE or asyncio.get_running_loop().time() >= self._deadline:
            self.stage = Stage.LATE
            raise NotSent(Fault.BUSY)


_SILENT = aiohttp.TraceConfig()
_SILENT.freeze()


class Steps(Trace):
    """Tells the attempt how far it got: only aiohttp knows when a connection was there and bytes are to leave. Each is
    called before what its name says is done, by aiohttp's own connector and request."""

    def __init__(self, attempt: Attempt, session: aiohttp.ClientSession) -> None:
        super().__init__(session, _SILENT, SimpleNamespace())
        self._attempt = attempt

    async def send_connection_queued_start(self) -> None:
        self._attempt.stage = Stage.QUEUED

    async def send_connection_create_start(self) -> None:
        self._attempt.stage = Stage.CONNECTING

    async def send_connection_create_end(self) -> None:
        self._attempt.stage = Stage.CONNECTED

    async def send_connection_reuseconn(self) -> None:
        self._attempt.stage = Stage.CONNECTED

    async def send_request_headers(self, *_: object) -> None:
        self._attempt.headed()

    async def send_request_chunk_sent(self, *_: object) -> None:
        self._attempt.written()
