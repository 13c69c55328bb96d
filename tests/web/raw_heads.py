"""Heads, targets, methods, other protocols, and what may stand before and behind a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raw import GOES_ON, HIDDEN, JSON, TWO, Case, chunked, request

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD_LINES = {
    "NUL in a value": "X: a\x00b", "NUL in a name": "X\x00: a", "CR in a value": "X: a\rb", "CR CR LF": "X: a\r",
    "LF in a value": "X: a\nb: c", "folded": "X: a\r\n b", "folded with a tab": "X: a\r\n\tb",
    "folded empty": "X: a\r\n \r\n b", "no colon": "nothing", "no name": ": a", "space in a name": "X Y: a",
    "space before the colon": "X : a", "space first": " X: a", "control byte": "X: \x01", "delete byte": "X: \x7f",
    "high byte in a name": "X\xff: a", "bracket in a name": "X(: a", "huge value": "X: " + "a" * 20_000,
    "huge name": "a" * 20_000 + ": x", "a second host": "Host: y",
}  # fmt: skip
VERSIONS = (
    "", "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/1", "HTTP/11", "HTTP/1.10",
    "http/1.1", "HTTPS/1.1", "ICY/1.1", "RTSP/1.0", "HTTP/-1.1", "HTTP/1.1\x00",
)  # fmt: skip
TARGETS: dict[int, tuple[str, ...]] = {
    200: ("http://x@CALL", "https://y@CALL", "http://u:p@x@CALL", "http://[::1]@CALL", "@CALL?", "@CALL#fragment"),
    400: (
        "x@CALL", "@CALL HTTP/1.1 x", "@CALL?hold=x", "@CALL?force=true", "@CALL?%", "@CALL??", "@CALL?a=1;b=2",
        "@CALL?\xff", "/v1/calls/@ID%2f../redaction", "/v1/calls/..%2f@ID/redaction", "/v1/calls/@ID%00/redaction",
        "/v1/calls/@ID%0d%0a/redaction", "/v1/calls/@ID%20/redaction", "/v1/calls/@ID\\/redaction",
        "/v1/calls/%/redaction", "/v1/calls/%zz/redaction", "/v1/calls/%2e%2e/redaction", "/v1/calls//redaction",
        "/v1/calls/../redaction", "/v1/calls/%40@ID/redaction", "/v1/calls/@ID%2500/redaction",
        "/v1/calls/@ID%2f/redaction",
        "/v1/calls/\xff/redaction", "/\x00", "/\x7f", "http://", "http://[", "http://x:99999@CALL", "javascript:@CALL",
        "file://@CALL", "x:80", "",
    ),
    404: (
        "/", "//x@CALL", "/v1/../v1/calls/@ID/redaction", "/v1//calls/@ID/redaction", "@CALL/", "@CALL/x", "@CALL;x=y",
        "@CALL%00", "@CALL%0d%0aX:y", "/v1/calls/@ID?/redaction", "/V1/calls/@ID/redaction", "http://x/", "/metrics",
        "/livez",
    ),
}  # fmt: skip
METHODS = (
    "PATCH", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "PURGE", "SOURCE", "M-SEARCH", "QUERY", "put", "Put", "PUTX",
    "PU", "P UT", "PUT\x00", "\x00PUT", "", "PUT\t", "X" * 5_000, "\xff",
)  # fmt: skip
OTHER_PROTOCOLS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "SMTP": b"EHLO x\r\n",
    "PROXY, first version": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HIDDEN,
    "PROXY, second version": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + HIDDEN,
    "WebSocket": b"\x81\x85\x00\x00\x00\x00hello",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "all bytes": bytes(range(256)) * 40,
    "noughts": bytes(5_000),
    "a line without end": b"A" * 100_000,
    "nonsense": b"nonsense\r\n\r\n" + HIDDEN,
}
UPGRADES = {
    "WebSocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Version: 13"),
    "HTTP/2": ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "TLS": ("Connection: Upgrade", "Upgrade: TLS/1.0"),
    "two": ("Connection: Upgrade", "Upgrade: websocket, h2c"),
    "unknown": ("Connection: keep-alive, Upgrade", "Upgrade: nothing"),
}
KINDS = (
    "", "x", "text/plain", "text/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded",
    "application/json; charset=utf-16", "application/json, text/plain",
)  # fmt: skip
_KEY_LINE = b"X-API-Key: @KEY\r\n"


def heads() -> Iterator[Case]:
    for name, line in BAD_LINES.items():
        yield Case(name=f"header: {name}", data=request(line) + HIDDEN)
    yield Case(name="header: many", data=request(*("X: y" for _ in range(5_000))))
    yield Case(name="header: a megabyte", data=request(*("X: " + "y" * 4_000 for _ in range(256))))
    yield Case(name="header: high bytes", data=request("X: \xff\xfe"), answers=(200,), muted=True)
    yield Case(name="first header folded", data=request().replace(b"Host", b" Host"))
    yield Case(name="lines end with LF", data=request().replace(b"\r\n", b"\n"))
    yield Case(name="lines end with CR", data=request().replace(b"\r\n", b"\r"))
    yield Case(name="empty lines before", data=b"\r\n\r\n" + request(), answers=(200,), muted=True)
    yield Case(name="space before", data=b" " + request(), answers=(405,))
    yield Case(name="tabs", data=request().replace(b" HTTP", b"\tHTTP"))
    yield Case(name="no host", data=request().replace(b"Host: x\r\n", b""))
    for version in VERSIONS:
        yield Case(name=f"version {version!r}", data=request(version=version))
    yield Case(name="version 1.0", data=request(version="HTTP/1.0"), answers=(200,), muted=True)
    yield Case(name="HTTP 0.9", data=b"GET @CALL\r\n\r\n")


def keys() -> Iterator[Case]:
    """A key counts where it belongs, once."""
    yield Case(name="key: two", data=request("X-API-Key: @KEY"), answers=(401,))
    yield Case(name="key: folded", data=request().replace(b"Key: ", b"Key:\r\n "))
    yield Case(name="key: behind a bare LF", data=request().replace(_KEY_LINE, b"X: y\n" + _KEY_LINE))
    asked = request(path="@CALL?api_key=@KEY")
    yield Case(name="key: in the query", data=asked.replace(_KEY_LINE, b""), answers=(401,))
    trailing = chunked(b"0\r\n" + _KEY_LINE + b"\r\n")
    yield Case(name="key: in a trailer", data=trailing.replace(_KEY_LINE, b"", 1), answers=(401,))


def targets() -> Iterator[Case]:
    for status, paths in TARGETS.items():
        for path in paths:
            data = request(path=path)
            yield Case(name=f"target {path!r}", data=data, answers=(status,), muted=status == 200)


def methods() -> Iterator[Case]:
    for method in METHODS:
        yield Case(name=f"method {method[:9]!r}", data=request(method=method), answers=(405,))
    for path in ("@CALL", "x:80", "*"):
        data = request(method="CONNECT", path=path) + HIDDEN
        yield Case(name=f"CONNECT {path}", data=data, answers=(404,))
    yield Case(name="OPTIONS *", data=request(method="OPTIONS", path="*"), answers=(404,))
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        yield Case(name=f"{header}", data=request(f"{header}: PUT", method="GET"), answers=(404,))


def protocols() -> Iterator[Case]:
    for name, data in OTHER_PROTOCOLS.items():
        yield Case(name=f"protocol: {name}", data=data, answers=(405,))
    yield Case(name="HTTP/2 preface", data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00" + bytes(4))
    for name, lines in UPGRADES.items():
        frames = b"\x82\xfe" + HIDDEN
        yield Case(name=f"upgrade of GET: {name}", data=request(*lines, method="GET") + HIDDEN, answers=(404,))
        yield Case(name=f"upgrade of PUT: {name}", data=request(*lines) + frames, answers=(200,), muted=True)
        data = request(*lines, JSON, TWO) + b"{}" + HIDDEN
        yield Case(name=f"upgrade of PUT with a body: {name}", data=data, answers=(200,), muted=True)


def bodies() -> Iterator[Case]:
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, identity", "x"):
        data = request(JSON, TWO, f"Content-Encoding: {coding}") + b"{}"
        yield Case(name=f"content coding {coding}", data=data, answers=(415,))
    for kind in KINDS:
        data = request(f"Content-Type: {kind}", TWO) + b"{}"
        yield Case(name=f"content type {kind!r}", data=data, answers=(415,))
    full = request(JSON, TWO, "Expect: 100-continue")
    yield Case(name="expect: continue", data=full + b"{}", answers=(100, 200), muted=True)
    yield Case(name="expect: CONTINUE", data=full.replace(b"con", b"CON") + b"{}", answers=(100, 200), muted=True)
    yield Case(name="expect: without a key", data=full.replace(_KEY_LINE, b"") + b"{}", answers=(100, 401))
    yield Case(name="expect: else", data=request("Expect: 200-ok"), answers=(417,))
    data = request("Expect: 200-ok", JSON, "Content-Length: @LENGTH") + HIDDEN
    yield Case(name="expect: else, with a body", data=data, answers=(417,))
    yield Case(name="expect: and hung up", data=full, answers=(), silently=1, shut=True)


def rows() -> Iterator[Case]:
    """One request behind the other, or half of one."""
    first = request(GOES_ON)
    yield Case(name="row: two", data=first + HIDDEN, answers=(200, 200), muted=True, other=True)
    read = request(GOES_ON, method="GET")
    yield Case(name="row: fifty reads", data=read * 49 + request(method="GET"), answers=(404,) * 50)
    bad = request("Content-Type: x", TWO, GOES_ON) + b"{}"
    yield Case(name="row: behind a refused body", data=bad + request(), answers=(415, 200), muted=True)
    yield Case(name="row: behind the last", data=request() + HIDDEN)
    large = request(JSON, "Content-Length: 99999", GOES_ON)
    yield Case(name="row: in too large a body", data=large + HIDDEN, answers=(413,))
    yield Case(name="row: half closed in a body", data=request(JSON, TWO) + b"{", answers=(), silently=1, shut=True)
    yield Case(name="row: half closed in a chunk", data=chunked(b"9\r\n{"), answers=(), silently=1, shut=True)
    for name, part in (
        ("nothing", b""),
        ("a byte", b"P"),
        ("a line", b"PUT @CALL HTTP/1.1\r\n"),
        ("a head", first[:-2]),
    ):
        yield Case(name=f"row: gone after {name}", data=part, answers=(), shut=True)


CASES = (*heads(), *keys(), *targets(), *methods(), *protocols(), *bodies(), *rows())
