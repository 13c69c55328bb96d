"""Bytes that a client, or a proxy that is fooled by one, may send; and what must come of each.

In every case the key is good: what keeps an order from being carried out is the framing alone. `@CALL` is the path of
the call that is asked for and `@ID` its id, `@OTHER` the path of one that only bytes behind the request name, `@KEY`
the key, `@LENGTH` the length of HIDDEN.
"""

from __future__ import annotations

from dataclasses import dataclass

JSON = "Content-Type: application/json"
TWO = "Content-Length: 2"
CHUNKED = "Transfer-Encoding: chunked"
GOES_ON = "Connection: keep-alive"
HIDDEN = b"PUT @OTHER HTTP/1.1\r\nHost: x\r\nX-API-Key: @KEY\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`answers` are the statuses on the connection in their order, the empty tuple for a connection that is closed
    without a word, after `silently` refusals that are counted all the same. `muted` and `other` are whether the call
    and the other one are silent in the end. The client closes its half behind the bytes when `shut`."""

    name: str
    data: bytes
    answers: tuple[int, ...] = (400,)
    muted: bool = False
    other: bool = False
    silently: int = 0
    shut: bool = False

    @property
    def refused(self) -> int:
        return sum(status >= 400 for status in self.answers) + self.silently


def request(*lines: str, method: str = "PUT", path: str = "@CALL", version: str = "HTTP/1.1") -> bytes:
    """A head with the key; the connection ends with it unless `lines` say otherwise."""
    ends = () if any(line.startswith("Connection:") for line in lines) else ("Connection: close",)
    said = (f"{method} {path} {version}", "Host: x", "X-API-Key: @KEY", *lines, *ends, "", "")
    return "\r\n".join(said).encode("latin-1")


def sized(value: str, body: bytes = b"{}") -> bytes:
    """A body whose length is said as `value`."""
    return request(JSON, f"Content-Length: {value}") + body


def chunked(body: bytes, *lines: str) -> bytes:
    return request(JSON, CHUNKED, *lines) + body
