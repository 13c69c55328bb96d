"""Requests and answers of a fake as they are on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

Operation = Literal["command", "read", "auth"]
OPERATIONS: frozenset[Operation] = frozenset({"command", "read", "auth"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """A request as it was on the wire. `raw_path` is the request target, query and escapes included; `at` is
    nanoseconds since the epoch."""

    operation: Operation
    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes
    at: int

    @property
    def path(self) -> tuple[str, ...]:
        """The segments of the path, each unescaped."""
        return tuple(unquote(part) for part in self.raw_path.partition("?")[0].split("/")[1:])

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return tuple(parse_qsl(self.raw_path.partition("?")[2], keep_blank_values=True))

    @property
    def form(self) -> tuple[tuple[str, str], ...]:
        """The fields of a form body, none for any other body."""
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return tuple(parse_qsl(self.body.decode(), keep_blank_values=True))
        return ()

    @property
    def json(self) -> Mapping[str, object]:
        """The members of a JSON object body, none for any other body."""
        if self.headers.get("Content-Type", "").startswith("application/json"):
            value = orjson.loads(self.body)
            return value if isinstance(value, dict) else {}
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeReply:
    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> FakeReply:
        return cls(body=orjson.dumps(value), status=status, headers=headers or {})
