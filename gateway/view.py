"""The answer document (contract, section 2) and how it is made from a redaction: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from gateway.evidence import protected, recorder_state, state
from gateway.frozen import quick
from gateway.model import Parties

if TYPE_CHECKING:
    from gateway.evidence import Policy
    from gateway.model import Hold, Recorder, Redaction

PartiesWord = Literal["caller", "called", "both"]
StateWord = Literal["muted", "unmuted", "mixed", "unknown", "ended"]
EvidenceWord = Literal["readback", "event", "answer", "accepted"]
Durability = Literal["replicated", "stored", "journal", "none"]
Outcome = Literal["done", "accepted", "failed", "unsupported"]
ControlWord = Literal["keep", "discard", "start", "stop"]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderView:
    """One recorder of the call. `action` and `outcome` are there only in the answer to a one-shot command."""

    backend: str
    vendor: str
    state: StateWord
    parties: PartiesWord | None
    evidence: EvidenceWord | None
    observed_at: str | None
    error: str | None
    action: ControlWord | None = None
    outcome: Outcome | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    hold: str
    client: str
    actor: str | None
    resume_at: str | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class TrailView:
    """Where this answer's newest entry stands in the audit trail."""

    bucket: int
    seq: int
    hash: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The state of a call's redaction. `protected` is the one field to trust."""

    call_id: str
    protected: bool
    desired: Literal["muted", "unmuted"]
    state: StateWord
    parties: PartiesWord | None
    recorders: tuple[RecorderView, ...]
    holds: tuple[HoldView, ...]
    exposure_ms: int | None
    version: int
    requested_at: str | None
    updated_at: str | None
    durability: Durability
    audit: TrailView | None
    entries: tuple[dict[str, object], ...] | None = None


def document(
    redaction: Redaction, *, now: int, policy: Policy, durability: Durability, audit: TrailView | None
) -> Document:
    """The redaction as a reader sees it at `now` (ms)."""
    return Document(
        call_id=redaction.key.call_id,
        protected=protected(redaction, now=now, policy=policy),
        desired="muted" if redaction.open else "unmuted",
        state=state(redaction).value,
        parties=word(redaction.wanted),
        recorders=tuple(recorder_view(recorder, redaction.wanted) for recorder in redaction.recorders),
        holds=tuple(_hold_view(hold) for hold in redaction.holds),
        exposure_ms=redaction.exposure_ms,
        version=redaction.version,
        requested_at=timestamp(redaction.requested_at),
        updated_at=timestamp(redaction.updated_at),
        durability=durability,
        audit=audit,
    )


def recorder_view(
    recorder: Recorder, wanted: Parties, *, action: ControlWord | None = None, outcome: Outcome | None = None
) -> RecorderView:
    seen = recorder.seen
    return RecorderView(
        backend=recorder.backend,
        vendor=recorder.vendor.value,
        state=recorder_state(recorder, wanted).value,
        parties=word(seen.muted) if seen else None,
        evidence=seen.evidence.value if seen else None,
        observed_at=timestamp(seen.at) if seen else None,
        error=recorder.fault.value if recorder.fault else None,
        action=action,
        outcome=outcome,
    )


def _hold_view(hold: Hold) -> HoldView:
    return HoldView(
        hold=hold.key.name, client=hold.key.client, actor=hold.actor, resume_at=timestamp(hold.resume_at or 0)
    )


def word(parties: Parties) -> PartiesWord | None:
    match parties:
        case Parties.CALLER:
            return "caller"
        case Parties.CALLED:
            return "called"
        case Parties.BOTH:
            return "both"
        case _:
            return None


def timestamp(ms: int) -> str | None:
    """RFC 3339 in UTC with milliseconds; None for no time (0)."""
    if not ms:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
