"""JSON and base64url as signed things must be written: one spelling, one meaning, or nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NoReturn

Members = dict[str, object]


def members(data: bytes) -> Members:
    """The JSON object in `data`. `ValueError` for anything else: a name twice, NaN, not UTF-8, bottomless nesting.

    Readers that take the first of two equal names and readers that take the last would read two tokens.
    """
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- the bytes are wrong, not a type of ours
    return found


def decoded(text: str) -> bytes:
    """What base64url without padding says. `ValueError` for any other spelling of the same bytes."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("not canonical")
    return data


def _unique(pairs: list[tuple[str, object]]) -> Members:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")
