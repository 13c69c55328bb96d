"""Clients that take their time: `first` is sent, then `drip` again and again until the other side closes."""

from __future__ import annotations

from dataclasses import dataclass

from raw import GOES_ON, HIDDEN, JSON, chunked, request

_HEAD = request()[:-2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """`answers` are the statuses in their order; a connection that ends without a word is counted as a refusal."""

    name: str
    first: bytes
    drip: bytes = b""
    answers: tuple[int, ...] = ()
    muted: bool = False

    @property
    def refused(self) -> int:
        return max(sum(status >= 400 for status in self.answers), 1)


SLOW = (
    Slow(name="method", first=b"P"),
    Slow(name="path", first=b"PUT /v1/calls/", drip=b"a"),
    Slow(name="half a head", first=_HEAD),
    Slow(name="headers", first=_HEAD, drip=b"X: y\r\n"),
    Slow(name="one header", first=_HEAD + b"X: ", drip=b"y"),
    Slow(name="empty lines", first=b"\r\n", drip=b"\r\n"),
    Slow(name="line feeds", first=b"\n", drip=b"\n"),
    Slow(name="second head", first=request(GOES_ON), drip=b"\r\n", answers=(200,), muted=True),
    Slow(name="body", first=request(JSON, "Content-Length: 9999"), drip=b" ", answers=(400,)),
    Slow(name="half a body", first=request(JSON, "Content-Length: 9") + b"{", answers=(400,)),
    Slow(name="no body", first=request(JSON, "Content-Length: @LENGTH"), answers=(400,)),
    Slow(name="body of GET", first=request(JSON, "Content-Length: 9", method="GET"), drip=b" ", answers=(400,)),
    Slow(
        name="body without a key", first=request("Content-Length: 9").replace(b"@KEY", b"x"), drip=b" ", answers=(401,)
    ),
    Slow(name="chunks", first=chunked(b""), drip=b"1\r\n \r\n", answers=(400,)),
    Slow(name="a chunk", first=chunked(b"7FFFFFFFFFFFFFFF\r\n"), drip=b" ", answers=(400,)),
    Slow(name="no last chunk", first=chunked(b"2\r\n{}\r\n"), answers=(400,)),
    Slow(name="extension", first=chunked(b"2;"), drip=b"a", answers=(400,)),
    Slow(name="trailers", first=chunked(b"2\r\n{}\r\n0\r\n"), drip=b"X: y\r\n", answers=(400,)),
    Slow(name="too large", first=request(JSON, "Content-Length: 1099511627776"), drip=HIDDEN, answers=(413,)),
    Slow(name="expected", first=request(JSON, "Content-Length: 2", "Expect: 100-continue"), answers=(100, 400)),
)
