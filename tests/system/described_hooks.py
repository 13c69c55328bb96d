"""What the description cannot say, said to the generator: which backends there are, and which calls.

Loaded by schemathesis, in its process. What is wrong in a generated request stays wrong.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis

CALL = "a8343631-9f35-4a3a-83f0-9e81592339fb"  # the description's own example
BACKENDS = ("verba_eu", "pbx", "genesys")  # the first two are in the description's examples
_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:*+=@-]{0,127}")
_LONG = re.compile(r"[0-9][0-9 ._-]{11,}[0-9]")
_TOGETHER = {  # of two that do not go together, the nearest that do
    ("next", "ongoing"): ["ongoing", "next"],
    ("ongoing", "last"): ["last", "ongoing"],
    ("next", "last"): ["next"],
    ("last", "next"): ["last"],
}
_NO_CARD = ("hold", "actor", "reason", "user_id")


@schemathesis.hook
def map_path_parameters(_: object, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Every second id is that of a call that there is."""
    said = str((path_parameters or {}).get("call_id"))
    return {**path_parameters, "call_id": CALL} if _LEGAL.fullmatch(said) and len(said) % 2 else path_parameters


@schemathesis.hook
def map_query(_: object, query: dict[str, Any]) -> dict[str, Any]:
    return _without_cards(query)


@schemathesis.hook
def map_headers(_: object, headers: dict[str, Any]) -> dict[str, Any]:
    key = (headers or {}).get("Idempotency-Key")
    return {**headers, "Idempotency-Key": _LONG.sub("1", key)} if isinstance(key, str) else headers


@schemathesis.hook
def map_body(_: object, body: Any) -> Any:  # noqa: ANN401 -- any JSON
    if not isinstance(body, dict):
        return body
    said = _without_cards(body)
    if isinstance(said.get("backends"), list) and all(isinstance(name, str) for name in said["backends"]):
        said["backends"] = _named(said["backends"])
    if isinstance(said.get("targets"), dict):
        said["targets"] = dict(zip(BACKENDS, map(_target, said["targets"].values()), strict=False))
    return _found(said)


@schemathesis.hook
def before_call(_: object, case: Any, __: object) -> None:  # noqa: ANN401 -- the library has no public name for it
    """Blanks are no JSON, and taken for no body all the same: what is sent is neither."""
    if isinstance(case.body, str | bytes) and not case.body.strip():
        case.body = b"{"


def _named(names: list[str]) -> list[str]:
    """As many as there are, twice the same where it was twice the same; what is no name stays."""
    order = {name: BACKENDS[place % len(BACKENDS)] for place, name in enumerate(dict.fromkeys(names))}
    named = [order[name] if re.fullmatch("[a-z][a-z0-9_]{0,31}", name) else name for name in names]
    return named if len(order) < len(names) else [*dict.fromkeys(named)]


def _target(said: Any) -> Any:  # noqa: ANN401 -- any JSON
    return _found(_without_cards(said) if isinstance(said, dict) else said)


def _found(said: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Which of its calls are meant is said of an extension; which two go together, in the description's words."""
    if not isinstance(said, dict) or "call_status" not in said:
        return said
    status = said["call_status"]
    together = _TOGETHER.get(tuple(status), status) if _words(status) else status
    return {**said, "extension": said.get("extension", "8856"), "call_status": together}


def _words(status: Any) -> bool:  # noqa: ANN401 -- any JSON
    return isinstance(status, list) and all(isinstance(word, str) for word in status)


def _without_cards(said: dict[str, Any]) -> dict[str, Any]:
    """One number of thirteen digits in ten passes for a card's."""
    return {
        name: _LONG.sub("1", value) if name in _NO_CARD and isinstance(value, str) else value
        for name, value in (said or {}).items()
    }
