"""One sending of one request: how far it got, and that nothing leaves after its deadline.

A process can be stopped for seconds between any two of its steps. What lets a party be recorded must then not leave
after a newer mute was proven by another process, so the clock is looked at again right before the bytes are handed to
the socket: between that look and the write nobody else has a turn.
"""

from __future__ import annotations

import asyncio
import enum
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from gateway.backends.contract import BackendError, NotSent, Unconfirmed
from gateway.model import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace


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

    async def once(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Send, and let no exception past on which aiohttp would send a GET or PUT again by itself (it does when a
        kept connection drops): a command goes out once."""
        with self.translated():
            return await handler(request)

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


def tracing() -> aiohttp.TraceConfig:
    """Tells each attempt how far it got: only aiohttp knows when a connection was there and bytes are to leave."""
    config = aiohttp.TraceConfig()
    config.on_connection_queued_start.append(_moves_to(Stage.QUEUED))
    config.on_connection_create_start.append(_moves_to(Stage.CONNECTING))
    config.on_connection_create_end.append(_moves_to(Stage.CONNECTED))
    config.on_connection_reuseconn.append(_moves_to(Stage.CONNECTED))
    config.on_request_headers_sent.append(_Tells(Attempt.headed))
    config.on_request_chunk_sent.append(_Tells(Attempt.written))
    return config


class _moves_to:  # noqa: N801 -- called like a function
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def __call__(self, _session: object, context: SimpleNamespace, _params: object) -> None:
        context.trace_request_ctx.stage = self._stage


class _Tells:
    """Called by aiohttp before it writes, whatever the hook's name says."""

    def __init__(self, step: Callable[[Attempt], None]) -> None:
        self._step = step

    async def __call__(self, _session: object, context: SimpleNamespace, _params: object) -> None:
        self._step(context.trace_request_ctx)
