"""Where a request ends: what two readers could take for two things is refused, whatever is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raw import CHUNKED, GOES_ON, HIDDEN, JSON, TWO, Case, chunked, request, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

END = b"0\r\n\r\n"
CODINGS = {
    "unknown": "Transfer-Encoding: xchunked",
    "identity behind chunked": "Transfer-Encoding: chunked, identity",
    "gzip behind chunked": "Transfer-Encoding: chunked, gzip",
    "gzip before chunked": "Transfer-Encoding: gzip, chunked",
    "chunked twice": "Transfer-Encoding: chunked, chunked",
    "quoted": 'Transfer-Encoding: "chunked"',
    "parameter": "Transfer-Encoding: chunked;q=1",
    "vertical tab": "Transfer-Encoding: \x0bchunked",
    "form feed": "Transfer-Encoding: chunked\x0c",
    "no-break space": "Transfer-Encoding: \xa0chunked",
    "space before the colon": "Transfer-Encoding : chunked",
    "tab before the colon": "Transfer-Encoding\t: chunked",
    "folded": "Transfer-Encoding:\r\n chunked",
    "folded with a tab": "Transfer-Encoding:\r\n\tchunked",
    "behind a bare LF": "X: y\nTransfer-Encoding: chunked",
    "behind a bare CR": "X: y\rTransfer-Encoding: chunked",
    "space before the name": " Transfer-Encoding: chunked",
    "NUL in the name": "Transfer-Enc\x00oding: chunked",
    "NUL in the value": "Transfer-Encoding: chunked\x00",
    "empty": "Transfer-Encoding:",
    "identity": "Transfer-Encoding: identity",
    "gzip": "Transfer-Encoding: gzip",
    "identity in a second line": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "chunked in a second line": "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "the same line twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "underscore": "Transfer_Encoding: chunked",
}
LENGTHS = (
    "", "+2", "-1", "-2", "0x2", "2.0", "2e0", "2 2", "2,2", "2, 2", "2,3", '"2"', "2;", "1_0", "two", "2\x0b", "2\x00",
    "\xb2", "\xd9\xa2", "18446744073709551618", "99999999999999999999999", "-18446744073709551614",
)  # fmt: skip
BAD_CHUNKS = {
    "no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "negative": b"-2\r\n{}\r\n0\r\n\r\n",
    "plus": b"+2\r\n{}\r\n0\r\n\r\n",
    "0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "space before": b" 2\r\n{}\r\n0\r\n\r\n",
    "space behind": b"2 \r\n{}\r\n0\r\n\r\n",
    "overflow": b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "longer than said": b"2\r\n{}}\r\n0\r\n\r\n",
    "shorter than said": b"3\r\n{}\r\n0\r\n\r\n",
    "no end": b"2\r\n{}0\r\n\r\n",
    "LF only": b"2\n{}\n0\n\n",
    "LF behind the size": b"2\n{}\r\n0\r\n\r\n",
    "CR only": b"2\r{}\r0\r\r",
    "LF in an extension": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "CR in an extension": b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    "NUL in an extension": b"2;a\x00b\r\n{}\r\n0\r\n\r\n",
    "trailer with a length": b"2\r\n{}\r\n0\r\nContent-Length: 90\r\n\r\n",
    "trailer with a coding": b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer without a colon": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    "huge trailer": b"2\r\n{}\r\n0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many trailers": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
}
GOOD_CHUNKS = {
    "byte by byte": b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "zeros": b"0000000002\r\n{}\r\n000\r\n\r\n",
    "extension": b"2;a=b\r\n{}\r\n0\r\n\r\n",
    "trailer": b"2\r\n{}\r\n0\r\nX: y\r\n\r\n",
}
LARGE_CHUNKS = {"one": b"4E20\r\n" + b" " * 20_000 + b"\r\n0\r\n\r\n", "many": b"1\r\n \r\n" * 20_000 + END}


def two_lengths() -> Iterator[Case]:
    """A length and a coding, or a coding that not everybody reads alike."""
    short = "Content-Length: 5"
    yield Case(name="length, then chunked", data=request(JSON, short, CHUNKED) + END + HIDDEN)
    yield Case(name="chunked, then length", data=request(JSON, CHUNKED, short) + END + HIDDEN)
    yield Case(name="a length over both", data=request(JSON, "Content-Length: @LENGTH", CHUNKED) + HIDDEN)
    yield Case(name="chunked in HTTP 1.0", data=request(JSON, CHUNKED, version="HTTP/1.0") + END + HIDDEN)
    for name, line in CODINGS.items():
        yield Case(name=f"coding beside a length: {name}", data=request(JSON, short, line) + END + HIDDEN)
        yield Case(name=f"coding: {name}", data=request(JSON, line) + END + HIDDEN)


def lengths() -> Iterator[Case]:
    for said in LENGTHS:
        yield Case(name=f"length {said!r}", data=sized(said))
    yield Case(name="length with zeros", data=sized("0000002"), answers=(200,), muted=True)
    yield Case(name="length too short", data=sized("1"))
    yield Case(name="length twice, alike", data=request(JSON, TWO, TWO) + b"{}" + HIDDEN)
    yield Case(name="length twice, unlike", data=request(JSON, TWO, "Content-Length: 9") + b"{}" + HIDDEN)
    nought = request(JSON, "Content-Length: 0", "Content-Length: @LENGTH")
    yield Case(name="length twice, nought first", data=nought + HIDDEN)
    yield Case(name="length folded", data=request(JSON, "Content-Length:\r\n 2") + b"{}")
    yield Case(name="length of 20 KB", data=sized("20000", b" " * 20_000), answers=(413,))
    yield Case(name="length of all that 63 bits hold", data=sized("9223372036854775807"), answers=(413,))
    for method in ("GET", "HEAD", "DELETE"):
        data = request(JSON, "Content-Length: @LENGTH", method=method)
        yield Case(name=f"a request as body of {method}", data=data + HIDDEN)
    put = request(JSON, "Content-Length: @LENGTH")
    yield Case(name="a request as body of PUT", data=put + HIDDEN)


def chunks() -> Iterator[Case]:
    for name, body in BAD_CHUNKS.items():
        yield Case(name=f"chunk: {name}", data=chunked(body))
        yield Case(name=f"chunk before a request: {name}", data=chunked(body, GOES_ON) + HIDDEN)
    for name, body in GOOD_CHUNKS.items():
        yield Case(name=f"chunk: {name}", data=chunked(body), answers=(200,), muted=True)
        data = chunked(body, GOES_ON) + HIDDEN
        yield Case(name=f"chunk before a request: {name}", data=data, answers=(200, 200), muted=True, other=True)
    for name, body in LARGE_CHUNKS.items():
        yield Case(name=f"20 KB of chunks: {name}", data=chunked(body), answers=(413,))


CASES = (*two_lengths(), *lengths(), *chunks())
