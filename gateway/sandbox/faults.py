"""What can be wrong with a vendor, to be switched on."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.sandbox.wire import OPERATIONS, FakeReply, Operation, WireRequest

CARD_NUMBER = "4111111111111111"
"""The card number (a test number of the card schemes) that a leaking fake puts into its error texts."""

_HUGE = b"x" * (1024 * 1024)
_NESTED = b"[" * 30_000 + b"]" * 30_000
_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><b>&c;&c;&c;&c;</b>'
)


class FaultKind(enum.StrEnum):
    LIE = "lie"  # says ok, does nothing
    LATE = "late"  # says ok at once, does it `delay` seconds later
    HANG = "hang"
    UNAUTHORIZED = "unauthorized"
    THROTTLE = "throttle"
    SERVER_ERROR = "server_error"
    GARBAGE = "garbage"
    DROP = "drop"  # reads the request and cuts the connection
    DROP_AFTER = "drop_after"  # does it, then cuts the connection
    REDIRECT = "redirect"
    HUGE = "huge"
    XML_BOMB = "xml_bomb"  # bottomless nesting where the vendor speaks JSON
    LEAK = "leak"  # a no whose text holds a card number and every secret that came in
    REFUSE = "refuse"  # the vendor's own readable no


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """`kind` happens to the next `times` requests (None: to all) that are one of the operations `on`."""

    kind: FaultKind
    on: frozenset[Operation] = OPERATIONS
    times: int | None = None
    delay: float = 0.3


CANNED = {
    FaultKind.UNAUTHORIZED: FakeReply(status=401, headers={"WWW-Authenticate": "Basic"}),
    FaultKind.THROTTLE: FakeReply(status=429, headers={"Retry-After": "1"}),
    FaultKind.SERVER_ERROR: FakeReply(status=500, body=b"it broke"),
    FaultKind.GARBAGE: FakeReply(body=b"\x00\xff<{ garbage"),
    FaultKind.HUGE: FakeReply(body=_HUGE),
}
BOMBS = {"xml": FakeReply(body=_BOMB), "json": FakeReply(body=_NESTED)}


def everything_in(wire: WireRequest) -> str:
    """What a careless vendor's error text quotes."""
    headers = " ".join(wire.headers.values())
    return f"{CARD_NUMBER} {unquote(wire.raw_path)} {headers} {wire.body.decode(errors='replace')}"
