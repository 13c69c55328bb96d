"""What the headers of a request say: its id, its conditions, where it came from."""

from __future__ import annotations

import re
import uuid
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from gateway.asks import API_KEY, CARD_NUMBER, FieldFault
from gateway.auth.keys import holds_key
from gateway.cards import holds_card
from gateway.web import schema
from gateway.web.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multidict import MultiMapping

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

API_KEY_HEADER, IF_MATCH, IDEMPOTENCY_KEY, REQUEST_ID = "X-API-Key", "If-Match", "Idempotency-Key", "X-Request-Id"
# On every answer: nothing may keep it, and the default `Server` tells strangers which versions run.
COMMON = {"Cache-Control": "no-store", "Server": "redaction-gateway"}
NO_VERSION = -1  # stands for a tag that no version of ours can have
_LONGEST_ADDRESS = 45  # letters: an IPv6 one that ends as an IPv4 one
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_IDEMPOTENCY_KEY = re.compile(schema.IDEMPOTENCY_KEY.rstrip("$"))
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"[ \t]*{_TAG}(?:[ \t]*,[ \t]*{_TAG})*[ \t]*")
_VERSION = re.compile(r'"(0|[1-9][0-9]{0,17})"')


def request_id(headers: MultiMapping[str], holds_secret: Callable[[str], bool]) -> str:
    """The client's own id where it has the form and neither a card number nor anybody's secret in it, else a new one.
    No key as a whole has the form."""
    said = headers.getall(REQUEST_ID, [])
    kept = len(said) == 1 and _REQUEST_ID.fullmatch(said[0]) is not None and not holds_card(said[0])
    return said[0] if kept and not holds_secret(said[0]) else uuid.uuid4().hex


def single(headers: MultiMapping[str], name: str) -> str | None:
    """The value of a header that may be there once; the empty string, which nothing accepts, for several."""
    said = headers.getall(name, [])
    return None if not said else said[0] if len(said) == 1 else ""


def if_match(headers: MultiMapping[str]) -> tuple[int, ...] | None:
    """The versions that the client would accept: None for any or none, the empty tuple for ``*``.

    A weak tag or one that is no version of ours never matches (RFC 9110, 13.1.1).
    """
    said = headers.getall(IF_MATCH, [])
    if not said:
        return None
    text = ", ".join(said)
    if text.strip(" \t") == "*":
        return ()
    if _TAGS.fullmatch(text) is None:
        raise invalid(FieldFault(field=IF_MATCH, message='Must be "<version>", a list of them, or *'))
    return tuple(_version(tag) for tag in re.findall(_TAG, text))


def idempotency_key(headers: MultiMapping[str], holds_secret: Callable[[str], bool] = schema.nobodys) -> str | None:
    said = headers.getall(IDEMPOTENCY_KEY, [])
    if not said:
        return None
    if len(said) > 1 or _IDEMPOTENCY_KEY.fullmatch(said[0]) is None:
        raise invalid(FieldFault(field=IDEMPOTENCY_KEY, message="Has the wrong form"))
    if holds_key(said[0]) or holds_secret(said[0]):
        raise invalid(FieldFault(field=IDEMPOTENCY_KEY, message=API_KEY))
    if holds_card(said[0]):
        raise invalid(FieldFault(field=IDEMPOTENCY_KEY, message=CARD_NUMBER))
    return said[0]


def peer_address(peer: str | None, headers: MultiMapping[str], trusted: Sequence[Network]) -> str | None:
    """Where the request came from: the first hop, seen from here, that is not one of our own proxies.

    `X-Forwarded-For` counts only when a trusted proxy handed it over; what is not an address ends the walk.
    """
    forwarded = headers.getall("X-Forwarded-For", [])
    if not forwarded:
        return _shown(peer or "")
    hops = [peer or "", *reversed(",".join(forwarded).split(","))]
    nearest: Address | None = None
    for hop in hops:
        address = _address(hop)
        if address is None:
            break
        nearest = address
        if not any(address in network for network in trusted):
            break
    return None if nearest is None else str(nearest)


@lru_cache(maxsize=1024)
def _shown(peer: str) -> str | None:
    address = _address(peer)
    return None if address is None else str(address)


def _address(text: str) -> Address | None:
    """Without the zone that may stand behind an IPv6 address: it means nothing elsewhere, and may be any text."""
    plain = text.strip(" \t").partition("%")[0]
    return _read(plain) if len(plain) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=1024)
def _read(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _version(tag: str) -> int:
    number = _VERSION.fullmatch(tag)
    return int(number[1]) if number else NO_VERSION
