"""One sending of one request: how far it got, and that nothing leaves after its deadline.

A process can be stopped for seconds between any two of its steps. What lets a party be recorded must then not leave
after a newer mute was proven by another process, so the clock is looked at again right before the bytes are handed to
the socket: between that look and the write nobody else has a turn.
"""

from __future__ import annotations

import asyncio
import enum
from types import SimpleNamespace

import aiohttp
from aiohttp.tracing import Trace

from gateway.backends.contract import BackendError, NotSent, Unconfirmed
from gateway.model import Fault


class Stage(enum.Enum):
    """How far one attempt got."""

    PREPARING = enum.auto()
    QUEUED = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    SENT = enum.auto()


class Attempt:
    """`deadline` is in loop time."""

    def __init__(self, *, deadline: float) -> None:
        self.stage = Stage.PREPARING
        self._deadline = deadline

    def ours(self, error: Exception) -> BackendError:
        """What aiohttp, the sockets or the deadline threw, as one of ours, without its text."""
        match self.stage, error:
            case (Stage.QUEUED, _):
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

    def written(self) -> None:
        """Headers and body are about to be written."""
        if asyncio.get_running_loop().time() >= self._deadline:
            raise NotSent(Fault.BUSY)
        self.stage = Stage.SENT


_SILENT = aiohttp.TraceConfig()
_SILENT.freeze()


class Steps(Trace):
    """Tells the attempt how far it got: only aiohttp's connector knows when a connection was there. Each is called
    before what its name says is done."""

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
