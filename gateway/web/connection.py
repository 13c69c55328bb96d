"""One connection: what aiohttp answers by itself said in our words, and an end to everything that is slow.

aiohttp's own answer to bytes that are no HTTP repeats them, its log prints the headers, keys included, and what it
refuses before any middleware runs is neither counted nor a problem. It waits for the rest of a request's head, and
for a client that does not read its answers, as long as these like.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMethod

from gateway import logs
from gateway.asks import Code, Failure
from gateway.clock import new_id
from gateway.web import problems
from gateway.web.exchange import METHODS, VERSIONS
from gateway.web.headers import COMMON, REQUEST_ID, request_id
from gateway.web.told import far_end

if TYPE_CHECKING:
    import asyncio

    from gateway.web.told import Told

REQUEST_MALFORMED = "request.malformed"
REQUEST_REFUSED = "request.refused"
CONNECTION_FAILED = "connection.failed"
CONNECTION_CUT = "connection.cut"

_KEEP_ALIVE_SECONDS = 75.0  # longer than the usual load balancer's 60, so that it is the one to close
_LINGER_SECONDS = 1.0  # how long the rest of a body that nobody reads is waited for

_log = logs.get("gateway.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many connections there may be, and how long each is waited for, in seconds: `head` from the first byte of
    a request to the last of its head, `reading` while the client does not take what it is sent, `handshake` until the
    connection is encrypted."""

    connections: int = 4_096
    head_seconds: float = 10.0
    reading_seconds: float = 10.0
    handshake_seconds: float = 10.0


class Guest(Protocol):
    """Who takes a place."""

    @property
    def idle(self) -> bool:
        """It can be told to go without breaking anything off."""
        ...

    def force_close(self) -> None: ...


class Welcome(Protocol):
    """How a connection came to be encrypted."""

    @property
    def fresh(self) -> bool:
        """It was with the certificates that count now."""
        ...

    def over(self) -> None:
        """The connection takes the place in the room that was kept for it."""
        ...


class Room:
    """The open connections, the one that was heard of longest ago first. A mute must get through however many
    others are there: one too many takes the place of one that idles, and is refused only when none does."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: OrderedDict[Guest, None] = OrderedDict()

    def enter(self, connection: Guest) -> bool:
        if len(self._open) >= self._most and not self._vacated():
            return False
        self._open[connection] = None
        return True

    def heard(self, connection: Guest) -> None:
        if connection in self._open:  # else it was just told to go
            self._open.move_to_end(connection)

    def leave(self, connection: Guest) -> None:
        self._open.pop(connection, None)

    def _vacated(self) -> bool:
        idle = next((one for one in self._open if one.idle), None)
        if idle is None:
            return False
        self.leave(idle)
        idle.force_close()
        return True


class Connection(web.RequestHandler):
    """`told` hears of what never became a request. `methods` are all that there are.
    `welcome` is None in the clear; once it is no longer fresh the connection serves what comes, and ends."""

    __slots__ = (
        "_entitled",
        "_head_timer",
        "_methods",
        "_patience",
        "_reading_timer",
        "_room",
        "_told",
        "_welcome",
        "_wire",
    )

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        patience: Patience,
        room: Room,
        told: Told,
        methods: str,
        welcome: Welcome | None = None,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # None switches it off, which the annotation forgets
            auto_decompress=False,
        )
        self._patience = patience
        self._room = room
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own before the last byte is out
        self._told = told
        self._methods = methods
        self._welcome = welcome
        self._entitled = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """No request is under way, or nobody's; part of the next one's head may be there."""
        return not self._entitled

    @property
    def _waits(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def entitle(self) -> None:
        """Whoever asks has a right to the place, until the answer is out. Nobody else has: what anybody may ask for,
        and not read, would fill the room."""
        self._entitled = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        if self._welcome is not None:
            self._welcome.over()
        if self._room.enter(self):
            super().connection_made(transport)
            return
        self._told.full(far_end(self._wire))
        self._wire.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._room.leave(self)
        _cancel(self._head_timer)
        self._head_timer = None
        _cancel(self._reading_timer)
        self._reading_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._room.heard(self)
        if not self._waits:
            _cancel(self._head_timer)
            self._head_timer = None
        elif data and self._head_timer is None:
            self._head_timer = self._loop.call_later(self._patience.head_seconds, self._cut, "head")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading_timer = self._loop.call_later(self._patience.reading_seconds, self._cut, "answer")

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._reading_timer)
        self._reading_timer = None

    def _cut(self, late: str) -> None:
        _log.warning(CONNECTION_CUT, late=late)
        self._refuse("other", Code.INVALID_REQUEST)
        if self._wire is not None:  # pragma: no branch -- no timer without a connection
            self._wire.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What aiohttp refuses on its way to the application comes by here only."""
        try:
            return await super().finish_response(request, self._finished(request, resp), start_time)
        finally:
            self._entitled = False

    def _finished(self, request: web.BaseRequest, resp: web.StreamResponse) -> web.StreamResponse:
        if isinstance(resp, web.HTTPException):
            resp = self._refused(request, problems.translated(resp))
        if self._welcome is not None and not self._welcome.fresh:
            resp.force_close()
        if hdrs.UPGRADE in request.headers or request.version not in VERSIONS:
            resp.force_close()  # what is behind it may be meant as another protocol: it is never read as a request
        return resp

    def _refused(self, request: web.BaseRequest, failure: Failure) -> web.Response:
        method = request.method if request.method in METHODS else "other"
        name = request_id(request.headers, self._told.holds_secret)
        self._refuse(method, failure.code, name)
        _log.warning(REQUEST_REFUSED, method=method, code=failure.code.value, request_id=name)
        return _problem(failure, name)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it repeats what was sent
    ) -> web.Response:
        name = new_id()
        _log.warning(REQUEST_MALFORMED, status=status, error=type(exc).__name__, request_id=name)
        failure = _failure(status, exc)
        self._refuse("other", failure.code, name)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        response = _problem(failure, name)
        if failure.code is Code.METHOD_NOT_ALLOWED:
            response.headers[hdrs.ALLOW] = self._methods
        response.force_close()
        return response

    def log_exception(self, *_: Any, **details: Any) -> None:  # noqa: ANN401 -- as the logging module has it
        _log.error(CONNECTION_FAILED, error=type(details.get("exc_info")).__name__)

    def _refuse(self, method: str, code: Code, request_id: str | None = None) -> None:
        self._told.refused(method, code, address=far_end(self._wire), request_id=request_id)


def entitle(request: web.BaseRequest) -> None:
    """Until it is answered, the connection of `request` goes for nobody, however little room there is."""
    connection = request.protocol
    if isinstance(connection, Connection):
        connection.entitle()


def _failure(status: int, exc: BaseException | None) -> Failure:
    """A method that the parser does not even know is one that no resource takes; who hangs up before our own word
    to go on is no failure of ours."""
    if isinstance(exc, BadHttpMethod):
        return problems.translated(web.HTTPMethodNotAllowed("", ()))
    if isinstance(exc, ConnectionError):
        return Failure(Code.INVALID_REQUEST, "The client has hung up.")
    code = Code.INVALID_REQUEST if status < 500 else Code.INTERNAL_ERROR  # noqa: PLR2004 -- HTTP's own border
    return Failure(code, "The request cannot be read.")


def _problem(failure: Failure, name: str) -> web.Response:
    return problems.response(failure, name, {**COMMON, REQUEST_ID: name})


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
