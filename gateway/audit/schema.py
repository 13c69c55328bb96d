"""What an entry may hold, field by field: words of closed sets, numbers, and names of a form. No field takes text
with a space, a quote or a line's end in it, and none is longer than a name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.entry import SCHEMA, EntryType
from gateway.model import Action, Device, Evidence, Fault, OrderKind, RecorderState

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterator, Mapping

_MOST = 2**53  # what every reader of JSON takes for a whole number


def _form(pattern: str) -> Callable[[object], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _word(words: type[enum.StrEnum]) -> Callable[[object], bool]:
    known = frozenset(word.value for word in words)
    return lambda value: isinstance(value, str) and value in known


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _flag(value: object) -> bool:
    return isinstance(value, bool)


_NAME = _form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARTIES = _form(r"none|caller|called|both")

RECORDER: Mapping[str, Callable[[object], bool]] = {
    "backend": _form(r"[a-z][a-z0-9_]{0,31}"),
    "state": _word(RecorderState),
    "parties": _PARTIES,
    "evidence": _word(Evidence),
    "error": _word(Fault),
}


def _recorders(value: object) -> bool:
    return isinstance(value, list) and all(not [*_wrong(one, RECORDER, ("backend", "state"))] for one in value)


# Where a card number can be found, and what a configuration is made of.
CARD_FIELDS = frozenset({"actor", "hold", "idempotency-key", "reason", "user_id"})
SECTIONS = frozenset(
    {"audit", "backends", "clients", "environment", "listen", "policy", "routes", "store", "tokens", "tracing"},
)


def _names(value: object) -> bool:
    known = CARD_FIELDS | SECTIONS
    return isinstance(value, list) and all(isinstance(name, str) and name in known for name in value)


_CALL = _form(r"[A-Za-z0-9][A-Za-z0-9._:*+=@-]{0,127}")

FIELDS: Mapping[str, Callable[[object], bool]] = {
    "type": _word(EntryType),
    "tenant": _form(r"-|[A-Za-z0-9][A-Za-z0-9._-]{0,63}"),
    "call_id": _CALL,
    "op": _form(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"),
    "node": _form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"),
    "node_ms": _number,
    "schema": lambda value: value == SCHEMA,
    "client": _NAME,
    "kid": _form(r"[a-z0-9]{8}"),
    "actor": _form(r"[A-Za-z0-9@._:|+=/~,-]{1,128}"),
    "address": _form(r"[0-9a-f.:]{2,45}"),
    "request_id": _form(r"[A-Za-z0-9-]{8,64}"),
    "trigger": _form(r"automated|manual"),
    "reason": _form(r"[a-z0-9-]{1,32}"),
    "action": _word(Action),
    "order": _word(OrderKind),
    "hold": _form(r"[a-z0-9._-]{1,64}"),
    "parties": _PARTIES,
    "recorders": _recorders,
    "protected": _flag,
    "exposure_ms": _number,
    "revision": _number,
    "version": _number,
    "healed": lambda value: value is True,
    "key": _form(r"[0-9a-f]{16}"),
    "count": _number,
    "checkpoint": _number,
    "device": _word(Device),
    "away_ms": _number,
    "target": _CALL,
    "method": _form(r"get|head|put|post|delete"),
    "names": _names,
    "archive": _form(r"[0-9a-f]{16}"),
}
REQUIRED = ("type", "tenant", "op", "node", "node_ms", "schema")


def faults(entry: bytes) -> tuple[str, ...]:
    """The fields that hold what they may not, or are missing; empty for an entry as it has to be."""
    try:
        return tuple(_wrong(orjson.loads(entry), FIELDS, REQUIRED))
    except ValueError:
        return ("",)


def _wrong(members: Any, known: Mapping[str, Callable[[object], bool]], required: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401 -- whatever JSON holds
    if not isinstance(members, dict):
        yield ""
        return
    yield from (name for name in required if name not in members)
    yield from (name for name, value in members.items() if name not in known or not known[name](value))
