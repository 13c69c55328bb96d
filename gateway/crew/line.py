"""What passes between the keeper and one worker, on a pair of sockets that only these two have. When one of them is
gone, the other one reads the end."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONGEST = 64 * 2**20  # of one word: a worker's metrics
METRICS = "metrics"
READY = "ready"


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


class Line:
    """One end. What is said to somebody who is gone is lost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def on(cls, end: socket.socket) -> Line:
        reader, writer = await asyncio.open_connection(sock=end, limit=LONGEST)
        return cls(reader, writer)

    async def say(self, name: str, value: object = None) -> None:
        with suppress(OSError):
            self._writer.write(json.dumps({name: value}).encode() + b"\n")
            await self._writer.drain()

    async def heard(self) -> AsyncIterator[tuple[str, Any]]:
        """Until the other one is gone."""
        with suppress(OSError):
            while (line := await self._reader.readline()).endswith(b"\n"):
                ((name, value),) = json.loads(line).items()
                yield name, value

    def close(self) -> None:
        self._writer.close()
