"""One request and its answer, as a task of its own: whatever happens, one answer, one log line, one count."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from gateway import logs
from gateway.asks import CARD_NUMBER, Code, Failure
from gateway.audit.schema import CARD_FIELDS
from gateway.web import headers, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from contextlib import AbstractContextManager

    from aiohttp.typedefs import Handler, Middleware
    from multidict import CIMultiDictProxy

    from gateway.auth.keys import Reason
    from gateway.clock import Clock
    from gateway.model import Principal
    from gateway.tracing import Asked
    from gateway.web.door import Denials

OK, PENDING = "ok", "pending"
REQUEST_SERVED = "request.served"
REQUEST_FAILED = "request.failed"
VERSIONS = frozenset({HttpVersion10, HttpVersion11})
METHODS = frozenset({"PUT", "GET", "DELETE", "POST", "HEAD", "OPTIONS"})

_log = logs.get("gateway.web")


class Meter(Protocol):
    """What the web layer counts."""

    def request(self, method: str, headers: CIMultiDictProxy[str]) -> AbstractContextManager[Asked]:
        """What runs inside is one request: its span."""
        ...

    def request_served(self, *, method: str, outcome: str, seconds: float) -> None:
        """`method` is one of METHODS or ``other``; `outcome` is OK, PENDING or a problem's code."""
        ...

    def auth_denied(self, *, reason: Reason) -> None: ...

    def card_found(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What is known of a request under way; `headers` go with its answer, whatever that is."""

    request_id: str
    received_at: int
    client: str | None = None
    principal: Principal | None = None
    address: str | None = None
    outcome: str = OK
    headers: dict[str, str] = field(default_factory=dict)


EXCHANGE = web.RequestKey("exchange", Exchange)


class Work:
    """The requests under way: each runs to its end, whether or not anybody still waits for its answer."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[web.StreamResponse]] = set()

    async def run(self, work: Coroutine[None, None, web.StreamResponse]) -> web.StreamResponse:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def drain(self, seconds: float) -> None:
        """Wait for what is under way, at most so long."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything around a handler that is the same for every request. `holds_secret`: nobody may write that down."""

    clock: Clock
    meter: Meter
    work: Work
    denials: Denials
    holds_secret: Callable[[str], bool]

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def framed(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.work.run(self._serve(request, handler))

        return framed

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = headers.request_id(request.headers, self.holds_secret)
        exchange = Exchange(request_id=request_id, received_at=self.clock.ms())
        request[EXCHANGE] = exchange
        started = asyncio.get_running_loop().time()
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)  # for as long as this task lives
        with self.meter.request(request.method, request.headers) as span:
            response = await self._answered(request, handler, exchange)
            seconds = asyncio.get_running_loop().time() - started
            route = _route(request)
            span.answered(route=route, status=response.status, outcome=exchange.outcome)
            self._record(request.method, route, response.status, exchange, seconds)
        response.headers.update({**headers.COMMON, **exchange.headers, headers.REQUEST_ID: exchange.request_id})
        return response

    def _record(self, said: str, route: str | None, status: int, exchange: Exchange, seconds: float) -> None:
        method = said if said in METHODS else "other"
        self.meter.request_served(method=method, outcome=exchange.outcome, seconds=seconds)
        _log.info(
            REQUEST_SERVED,
            method=method,
            route=route,
            status=status,
            code=exchange.outcome,
            client=exchange.client,
            duration_ms=round(seconds * 1000, 3),
        )

    async def _answered(self, request: web.Request, handler: Handler, exchange: Exchange) -> web.StreamResponse:
        allow: dict[str, str] = {}
        try:
            _check_version(request)
            return await handler(request)
        except Failure as raised:
            failure = raised
            self._look_for_cards(failure, exchange)
        except web.HTTPException as raised:
            failure = problems.translated(raised)
            allow = {hdrs.ALLOW: raised.headers[hdrs.ALLOW]} if hdrs.ALLOW in raised.headers else {}
        except Exception as raised:  # noqa: BLE001 -- the last line: whatever it is, the caller gets an answer
            _log.error(REQUEST_FAILED, error=type(raised).__name__, at=_places(raised))
            failure = Failure(Code.INTERNAL_ERROR, "The gateway failed. Treat the call as being recorded.")
        exchange.outcome = failure.code.value
        return problems.response(failure, exchange.request_id, allow)

    def _look_for_cards(self, failure: Failure, exchange: Exchange) -> None:
        places = [fault.field for fault in failure.faults if fault.message == CARD_NUMBER]
        if exchange.principal is not None and places:
            self.meter.card_found()
            self.denials.card_found(
                exchange.principal,
                names=_fields(places),
                address=exchange.address,
                request_id=exchange.request_id,
            )


def _fields(places: Iterable[str]) -> tuple[str, ...]:
    """Each by its own name, wherever in the body it is."""
    return tuple(sorted(CARD_FIELDS.intersection(place.rpartition(".")[2].lower() for place in places)))


def _check_version(request: web.Request) -> None:
    """The parser takes HTTP/0.9 and a request that calls itself HTTP/2 as well; no answer of ours is either's."""
    if request.version not in VERSIONS:
        raise Failure(Code.INVALID_REQUEST, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")


def _route(request: web.Request) -> str | None:
    """The path with its variable parts by name."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else None


def _places(raised: Exception) -> list[str]:
    """Where it was raised, innermost last. The text of a foreign exception may hold anything: it is left out."""
    frames = traceback.extract_tb(raised.__traceback__)[-6:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
