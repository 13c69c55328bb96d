"""An exported line as the report reads it. The words are those of whoever wrote the entry: types that are younger
or older than this program are read like all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_YEAR_10000_MS = 253_402_300_800_000
GATEWAY = "gateway"  # the client of what nobody asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One recorder's part of an entry."""

    backend: str
    state: str
    parties: str | None
    evidence: str | None
    error: str | None

    @property
    def silent(self) -> bool:
        return self.state == "muted" and self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`when` it happened: by the store's clock (`at`), and for a late entry by the node's (`node_ms`)."""

    bucket: int
    seq: int
    link: str
    at: int
    type: str
    tenant: str
    call_id: str | None
    op: str
    node: str
    node_ms: int
    client: str | None
    kid: str | None
    actor: str | None
    address: str | None
    request_id: str | None
    trigger: str | None
    reason: str | None
    action: str | None
    hold: str | None
    parties: str | None
    recorders: tuple[Part, ...]
    protected: bool
    exposure_ms: int | None
    healed: bool
    key: str | None
    count: int | None
    checkpoint: int | None
    device: str | None
    away_ms: int | None
    target: str | None
    method: str | None
    names: tuple[str, ...]

    @property
    def when(self) -> int:
        return self.node_ms if self.healed else self.at

    @property
    def times(self) -> int:
        """One entry can stand for many: `count` of them, itself included."""
        return max(1, self.count or 1)

    @property
    def held(self) -> bool:
        """Somebody wants silence after this."""
        return self.parties not in {None, "none"}

    @property
    def asked_for(self) -> bool:
        """A client asked; the gateway does not ask itself."""
        return self.client is not None and self.client != GATEWAY


def read(line: bytes) -> Seen | None:
    """None for a line that is no entry."""
    try:
        return _seen(orjson.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _seen(m: Mapping[str, Any]) -> Seen:
    return Seen(
        bucket=int(m["bucket"]),
        seq=int(m["seq"]),
        link=str(m["hash"]),
        at=_time(m["at"]),
        type=str(m["type"]),
        tenant=str(m["tenant"]),
        call_id=_text(m.get("call_id")),
        op=str(m["op"]),
        node=str(m["node"]),
        node_ms=_time(m["node_ms"]),
        client=_text(m.get("client")),
        kid=_text(m.get("kid")),
        actor=_text(m.get("actor")),
        address=_text(m.get("address")),
        request_id=_text(m.get("request_id")),
        trigger=_text(m.get("trigger")),
        reason=_text(m.get("reason")),
        action=_text(m.get("action")),
        hold=_text(m.get("hold")),
        parties=_text(m.get("parties")),
        recorders=tuple(map(_part, m.get("recorders", ()))),
        protected=m.get("protected") is True,
        exposure_ms=_number(m.get("exposure_ms")),
        healed=m.get("healed") is True,
        key=_text(m.get("key")),
        count=_number(m.get("count")),
        checkpoint=_number(m.get("checkpoint")),
        device=_text(m.get("device")),
        away_ms=_number(m.get("away_ms")),
        target=_text(m.get("target")),
        method=_text(m.get("method")),
        names=tuple(map(str, m.get("names", ()))),
    )


def _time(value: Any) -> int:  # noqa: ANN401 -- whatever JSON holds
    ms = int(value)
    if not 0 <= ms < _YEAR_10000_MS:
        raise ValueError("not a time")
    return ms


def _part(m: Mapping[str, Any]) -> Part:
    return Part(
        backend=str(m["backend"]),
        state=str(m["state"]),
        parties=_text(m.get("parties")),
        evidence=_text(m.get("evidence")),
        error=_text(m.get("error")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> int | None:  # noqa: ANN401 -- whatever JSON holds
    return None if value is None else int(value)
