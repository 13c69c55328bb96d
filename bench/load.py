"""Asks as fast as it is answered, on so many connections at once, with as little work of its own as can be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import hiredis

from bench import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE_SECONDS = 120.0


class Reader(Protocol):
    """Cuts what arrives into answers; each is a status."""

    def feed(self, data: bytes) -> Sequence[int]: ...


class HttpReader:
    def __init__(self) -> None:
        self._messages = wire.Messages()

    def feed(self, data: bytes) -> Sequence[int]:
        return [wire.status(head) for head, _ in self._messages.feed(data)]


class StoreReader:
    """200 for an answer, 500 for an error."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()

    def feed(self, data: bytes) -> Sequence[int]:
        self._reader.feed(data)
        found: list[int] = []
        while (reply := self._reader.gets()) is not False:
            found.append(500 if isinstance(reply, hiredis.ReplyError) else 200)
        return found


@dataclass(slots=True)
class Load:
    """What is to be asked, and what came of it. `waits` are seconds, in the order of the answers."""

    requests: Iterator[bytes]
    left: int
    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class _Asker(asyncio.Protocol):
    def __init__(self, load: Load, reader: Reader) -> None:
        self._load = load
        self._reader = reader
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        request = next(self._load.requests, None)
        if request is not None:
            self._began = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        for status in self._reader.feed(data):
            self._load.waits.append(time.perf_counter() - self._began)
            self._load.statuses[status] += 1
            self._load.left -= 1
            self.ask()
        if not self._load.left and not self._load.done.done():
            self._load.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._load.left and not self._load.done.done():
            self._load.done.set_exception(error or ConnectionError("the peer closed the connection"))

    def close(self) -> None:
        self._transport.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`waits` are sorted, in seconds; `seconds` is the time from the first request to the last answer;
    `failed` says how many answers were no 200."""

    waits: tuple[float, ...]
    seconds: float
    failed: int

    def percentile(self, share: float) -> float:
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]

    @property
    def per_second(self) -> float:
        return len(self.waits) / self.seconds


async def fire(port: int, requests: Sequence[bytes], connections: int, *, store: bool = False) -> Outcome:
    """Ask all of `requests`, each connection the next one as soon as it has its answer. Raises `TimeoutError`, and
    `OSError` when a connection is lost."""
    loop, load = asyncio.get_running_loop(), Load(iter(requests), len(requests))
    askers: list[_Asker] = []
    for _ in range(connections):
        make = partial(_Asker, load, StoreReader() if store else HttpReader())
        _, asker = await loop.create_connection(make, "127.0.0.1", port)
        askers.append(asker)
    began = time.perf_counter()
    for asker in askers:
        asker.ask()
    done, _ = await asyncio.wait({load.done}, timeout=PATIENCE_SECONDS)
    seconds = time.perf_counter() - began
    for asker in askers:
        asker.close()
    if not done:
        raise TimeoutError(f"{load.left} of {len(requests)} requests are not answered")
    load.done.result()
    return Outcome(waits=tuple(sorted(load.waits)), seconds=seconds, failed=len(requests) - load.statuses[200])
