"""Good inputs made bad: by bytes, by words that have broken readers before, and by the parts of JSON. Seeded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

LARGEST = 16_384

# What has broken readers of numbers, names, markup, encodings and paths before.
_ENCODINGS = (b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"utf-16")
_NUMBERS = (
    b"-0", b"1e999", b"-1", b"1" * 400, b"9" * 5_000, b"0" * 5_000, b"NaN", b"Infinity", b"0x10", "٢".encode(),
    "²".encode(), b"4111111111111111", b"PT1S", b"5s",
)  # fmt: skip
_JSON = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"true", b"false", b"null", b"[" * 3_000, b'{"a":' * 1_500, b"\\u0000",
    b"\\ud800",
)  # fmt: skip
_MARKUP = (
    b"<", b">", b"&lt;", b"&#0;", b"&#x110000;", b"&x;", b"<!DOCTYPE x>", b"<![CDATA[", b"]]>", b"<!--", b"xmlns:x=''",
    b"<?xml version='1.0' encoding='", b"<a>" * 2_000,
)  # fmt: skip
_TEXT = (b"\r\n", b"%00", b"%0d%0a", b"%2f", b"..", b".", b"=", b"==", b"_", b" ", b"\t", b"A" * 1_000)
WORDS = (*_ENCODINGS, *_NUMBERS, *_JSON, *_MARKUP, *_TEXT)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, -0.5, 1e308, "", " ", "0", "-1", "1",
    "true", "9" * 5_000, "\x00", "\ud800", "a" * 1_000, "²", "٢", "..", "a/b", [], {}, [[]], [{}], [None], {"": None},
    ["a"] * 50,
)  # fmt: skip


def mangled(seeds: Sequence[bytes], random: Random) -> bytes:
    """One of `seeds`, changed once to four times."""
    data = random.choice(seeds)
    for _ in range(random.randint(1, 4)):
        data = random.choice(_WAYS)(data, seeds, random)[:LARGEST]
    return data


def _flipped(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return bytes([random.randrange(256)])
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _cut(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    begin, end = _span(data, random)
    return data[:begin] + data[end:]


def _ended(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _doubled(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    begin, end = _span(data, random)
    return data[:end] + data[begin:end] * random.choice((1, 1, 2, 50)) + data[end:]


def _worded(data: bytes, _: Sequence[bytes], random: Random) -> bytes:
    """A word put in, or in the place of what was there."""
    begin, end = _span(data, random)
    return data[:begin] + random.choice(WORDS) + data[random.choice((begin, end)) :]


def _spliced(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(seeds)
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _restated(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """JSON with another value, or another name, somewhere in it; else as `_worded`."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _worded(data, seeds, random)
    places = [*_places(tree)]
    if not places:
        return _worded(data, seeds, random)
    above, step = random.choice(places)
    _change(above, step, random)
    return json.dumps(tree).encode()


def _change(above: Any, step: Any, random: Random) -> None:  # noqa: ANN401 -- any JSON
    value = random.choice(VALUES)
    match random.randrange(4):
        case 0:
            del above[step]
        case 1 if isinstance(above, dict):
            above[random.choice(("", "id", "error", "code", "entry", "a" * 300))] = value
        case 2:
            above[step] = [above[step]]
        case _:
            above[step] = value


def _places(tree: object) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict | list):
        steps = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for step, value in steps:
            yield tree, step
            yield from _places(value)


def _span(data: bytes, random: Random) -> tuple[int, int]:
    """A stretch that is short more often than not."""
    begin = random.randint(0, len(data))
    return begin, min(len(data), begin + random.choice((0, 1, 2, 4, 8, 16, 64)))


_WAYS: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    _flipped,
    _cut,
    _ended,
    _doubled,
    _worded,
    _worded,
    _spliced,
    _restated,
    _restated,
    _restated,
)
