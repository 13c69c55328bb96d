"""The one place that speaks HTTP with vendors: builds URLs, sends once, keeps the limits, translates every fault.

    before anything was written      NotSent      CONNECTION_FAILED, BUSY (not written by the deadline), MISCONFIGURED
    after it                         Unconfirmed  TIMEOUT, CONNECTION_LOST, BAD_ANSWER
    answers nobody should judge      Unconfirmed  REDIRECTED (3xx), RATE_LIMITED (429), SERVER_ERROR (5xx)

A fault never carries the text of the library or the vendor: they quote URLs, and URLs hold keys.
"""

from __future__ import annotations

import asyncio
import json
import re
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import ParseError

import aiohttp
import orjson
from aiohttp import hdrs
from defusedxml import ElementTree
from yarl import URL

from gateway.addresses import Guard
from gateway.backends import wire
from gateway.backends.attempt import Attempt, Steps
from gateway.backends.contract import NotSent, Refused, Unconfirmed
from gateway.frozen import quick
from gateway.model import Fault
from gateway.tracing import OUTGOING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.cookies import BaseCookie
    from xml.etree.ElementTree import Element

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader
    from aiohttp.tracing import Trace

    from gateway.backends.settings import BackendSettings

BODY_LIMIT = 64 * 1024
MOST_DIGITS = 18  # of a number in an answer: longer ones mean nothing, and break what reckons with them
KEEPALIVE_SECONDS = 15.0

_UNESCAPED = "*@"
_PLAIN = re.compile(r"[A-Za-z0-9_~*@-]+", re.ASCII)
_UNTIMED = aiohttp.ClientTimeout(total=None, sock_connect=None)  # one deadline is over all of it


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request to the vendor.

    `path` are segments below the base URL's path (below the host's root with `root`): each is one segment
    whatever it holds. At most one of `form` and `json` is set. `limit` is how many bytes the answer may have.
    """

    method: str
    path: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    form: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    json: Mapping[str, object] | tuple[Mapping[str, object], ...] | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    root: bool = False
    limit: int = BODY_LIMIT


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """A whole answer, within the limit of its request; the names in `headers` know no case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON. `Unconfirmed` for anything else: duplicate names, NaN, bottomless nesting too."""
        try:
            return _DECODER.decode(self.body.removeprefix(BOM_UTF8).decode())
        except (ValueError, RecursionError):
            raise Unconfirmed(Fault.BAD_ANSWER) from None

    def xml(self) -> Element:
        """The body's root element. `Unconfirmed` for anything but plain XML: DTDs and entities too."""
        try:
            root: Element = ElementTree.fromstring(self.body, forbid_dtd=True)
        except (ParseError, ValueError, LookupError):
            raise Unconfirmed(Fault.BAD_ANSWER) from None
        return root

    def expect_ok(self) -> None:
        """Pass 200. `Refused` for a 4xx that says why it did nothing, else `Unconfirmed`."""
        match self.status:
            case 200:
                return
            case 401 | 403:
                raise Refused(Fault.UNAUTHENTICATED)
            case 404 | 405:
                raise Refused(Fault.MISCONFIGURED)
            case 408:
                raise Unconfirmed(Fault.TIMEOUT)
            case status if 400 <= status < 500:  # noqa: PLR2004 -- the class of client errors
                raise Refused(Fault.REFUSED)
            case _:
                raise Unconfirmed(Fault.BAD_ANSWER)


def as_object(value: object) -> Mapping[str, object]:
    """`value` if it is a JSON object, else `Unconfirmed`."""
    if isinstance(value, dict):
        return value
    raise Unconfirmed(Fault.BAD_ANSWER)


def as_list(value: object) -> list[object]:
    """`value` if it is a JSON array, else `Unconfirmed`."""
    if isinstance(value, list):
        return value
    raise Unconfirmed(Fault.BAD_ANSWER)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def build_url(base_url: str, request: HttpRequest) -> URL:
    """The only builder of vendor URLs. `ValueError` for a segment that no escaping makes one segment."""
    base = _base(base_url)
    path, _, query = _target(base, request).partition("?")
    return URL.build(scheme=base.scheme, authority=base.authority, path=path, query_string=query, encoded=True)


def _target(base: _Base, request: HttpRequest) -> str:
    """Path and query as they are on the wire. `ValueError` as above."""
    above = "" if request.root else base.path
    path = above + "".join([f"/{_segment(text)}" for text in request.path]) or "/"
    return f"{path}?{urlencode(request.query, safe=_UNESCAPED, quote_via=quote)}" if request.query else path


@dataclass(frozen=True, slots=True)
class _Base:
    """The parts of a base URL, `path` without a slash at its end."""

    scheme: str
    authority: str
    path: str


@lru_cache(maxsize=256)
def _base(base_url: str) -> _Base:
    base = URL(base_url)
    return _Base(scheme=base.scheme, authority=base.raw_authority, path=base.raw_path.rstrip("/"))


def _segment(text: str) -> str:
    if _PLAIN.fullmatch(text):  # nearly all are, and stay as they are
        return text
    if text in {"", ".", ".."} or not text.isprintable():
        raise ValueError("not a path segment")
    return quote(text, safe=_UNESCAPED).replace("..", "%2E%2E")


def _headers(request: HttpRequest) -> dict[str, str]:
    if not all(value.isascii() and value.isprintable() for _, value in request.headers):
        raise ValueError("not a header value")
    return {
        "Accept-Encoding": "identity",
        "User-Agent": "redaction-gateway",
        **dict(OUTGOING.get()),
        **_content_type(request),
        **dict(request.headers),
    }


def _content_type(request: HttpRequest) -> dict[str, str]:
    if request.form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}
    return {"Content-Type": "application/json"} if request.json is not None else {}


def _body(request: HttpRequest) -> bytes | None:
    if request.form is not None:
        return urlencode(request.form, safe=_UNESCAPED).encode()
    if request.json is not None:
        return orjson.dumps(request.json)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """`asked` says where every request goes."""

    session: aiohttp.ClientSession
    asked: aiohttp.ClientRequest

    @property
    def headers(self) -> dict[str, str]:
        return {hdrs.HOST: self.asked.headers[hdrs.HOST]}


class HttpClient:
    """One vendor account's connections and cookies; `beside` another one, connections of its own but the same
    cookies."""

    def __init__(self, settings: BackendSettings, *, beside: HttpClient | None = None) -> None:
        self._settings = settings
        self._beside = beside
        # Plain http stays so, redirects are refused: it does without the system's authorities, which are slow to read.
        self._tls = settings.tls() if URL(settings.base_url).scheme == "https" else True
        self._opened: _Opened | None = None

    async def exchange(self, request: HttpRequest, *, deadline: float) -> HttpReply:
        """Send `request` once and read the answer, by `deadline` (loop time) and within `timeout_seconds`.

        Raises `NotSent` or `Unconfirmed` and nothing else.
        """
        now = asyncio.get_running_loop().time()
        if deadline <= now:
            raise NotSent(Fault.BUSY)
        attempt = Attempt(deadline=deadline)
        try:
            async with asyncio.timeout_at(min(deadline, now + self._settings.timeout_seconds)):
                return await self._send(request, attempt)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise attempt.ours(error) from None

    async def _send(self, request: HttpRequest, attempt: Attempt) -> HttpReply:
        """The connections are aiohttp's, its session is passed by: that would send a GET or PUT again by itself when a
        kept connection drops, and a command goes out once."""
        opened = self._open()
        session, data = opened.session, self._packed(request, opened)
        connection, protocol = await self._connected(opened, attempt)
        try:
            head, content = await wire.answered(protocol, data, attempt, method=request.method)
        except BaseException:
            connection.close()
            raise
        try:
            if cookies := head.headers.getall(hdrs.SET_COOKIE, ()):
                session.cookie_jar.update_cookies_from_headers(cookies, self._url(request))
            _check_status(head.code)
            body = await _read_body(head.headers, content, request.limit)
        finally:
            connection.release()  # and closed where the answer was not read to its end
        return HttpReply(status=head.code, headers=head.headers, body=body)

    async def _connected(self, opened: _Opened, attempt: Attempt) -> tuple[Connection, ResponseHandler]:
        """One on which nothing was said since it was used last: an answer that nobody asked for would be taken for that
        to the next command, and would be evidence."""
        session = opened.session
        if session.closed or session.connector is None:
            raise RuntimeError("the client is closed")
        for _ in range(self._settings.max_connections + 1):
            steps: list[Trace] = [Steps(attempt, session)]
            connection = await session.connector.connect(opened.asked, traces=steps, timeout=_UNTIMED)
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                return connection, protocol
            connection.close()
        raise NotSent(Fault.CONNECTION_FAILED)

    def _packed(self, request: HttpRequest, opened: _Opened) -> bytes:
        headers = {**opened.headers, **_headers(request)}
        cookie = self._cookie(request, opened.session) if len(opened.session.cookie_jar) else ""
        target = _target(_base(self._settings.base_url), request)
        return wire.packed(request.method, target, headers, cookie=cookie, body=_body(request))

    def _cookie(self, request: HttpRequest, session: aiohttp.ClientSession) -> str:
        """As aiohttp writes it; empty for none."""
        url = self._url(request)
        return _plain(session, url, session.cookie_jar.filter_cookies(url)).headers.get(hdrs.COOKIE, "")

    def _url(self, request: HttpRequest) -> URL:
        return build_url(self._settings.base_url, request)

    def _session(self) -> aiohttp.ClientSession:
        return self._open().session

    def _open(self) -> _Opened:
        if self._opened is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._settings.max_connections,
                    ssl=self._tls,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    socket_factory=Guard(self._settings.allowed_networks).socket,
                ),
                cookie_jar=self._jar(),
                trust_env=False,
            )
            self._opened = _Opened(session=session, asked=_plain(session, URL(self._settings.base_url)))
        return self._opened

    def _jar(self) -> aiohttp.abc.AbstractCookieJar:
        if self._beside is not None:
            return self._beside._session().cookie_jar  # noqa: SLF001 -- another one of the same class
        return aiohttp.CookieJar(unsafe=True)  # cookies for a host given as an address, too

    def cookies(self) -> Mapping[str, str]:
        """What the vendor has set so far, by name."""
        return {morsel.key: morsel.value for morsel in self._session().cookie_jar}

    def clear_cookies(self) -> None:
        self._session().cookie_jar.clear()

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.session.close()


def _plain(session: aiohttp.ClientSession, url: URL, cookies: BaseCookie[str] | None = None) -> aiohttp.ClientRequest:
    """A request as aiohttp makes it, which is not sent: its connector is told by one where to connect to."""
    loop = asyncio.get_running_loop()
    return aiohttp.ClientRequest(hdrs.METH_GET, url, cookies=cookies, loop=loop, session=session)


def _check_status(status: int) -> None:
    match status:
        case _ if 300 <= status < 400:  # noqa: PLR2004 -- the class of redirects
            raise Unconfirmed(Fault.REDIRECTED)
        case 429:
            raise Unconfirmed(Fault.RATE_LIMITED)
        case _ if status >= 500:  # noqa: PLR2004 -- the class of server errors
            raise Unconfirmed(Fault.SERVER_ERROR)
        case _:
            return


async def _read_body(headers: Mapping[str, str], content: StreamReader, limit: int) -> bytes:
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Unconfirmed(Fault.BAD_ANSWER)
    if content.is_eof():  # it came with the head
        whole = content.read_nowait()
        if len(whole) > limit:
            raise Unconfirmed(Fault.BAD_ANSWER)
        return whole
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            raise Unconfirmed(Fault.BAD_ANSWER)
    return bytes(body)
