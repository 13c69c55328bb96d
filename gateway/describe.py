"""Who, what and outcome of a step, as an entry of the trail: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.entry import Entry, EntryType, RecorderEntry
from gateway.evidence import Policy, protected, recorder_state
from gateway.frozen import quick

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Action, OrderKind, Origin, Parties, Recorder, Redaction


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What one operation is, the same for all of its entries."""

    op: str
    origin: Origin
    action: Action | None = None
    hold: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribe:
    """Writes entries for one node. `ms` is the node's clock."""

    node: str
    ms: Callable[[], int]
    policy: Policy

    def entry(self, kind: EntryType, act: Act, before: Redaction, after: Redaction) -> Entry:
        """The entry of one step of `act`, with every recorder as it is after it."""
        origin, now = act.origin, self.ms()
        shown = after if after.recorders else before
        return Entry(
            type=kind,
            tenant=after.key.tenant,
            call_id=after.key.call_id,
            op=act.op,
            node=self.node,
            node_ms=now,
            client=origin.principal.client,
            kid=origin.principal.kid or None,
            actor=origin.actor,
            address=origin.address,
            request_id=origin.request_id or None,
            trigger=origin.trigger,
            reason=origin.reason,
            action=act.action,
            order=_order(after),
            hold=act.hold,
            parties=party_word(after.wanted),
            recorders=tuple(recorder_entry(recorder, after.wanted) for recorder in shown.recorders),
            protected=protected(after, now=now, policy=self.policy),
            exposure_ms=after.exposure_ms,
            revision=after.revision,
            version=after.version,
        )


def _order(redaction: Redaction) -> OrderKind | None:
    return redaction.order.kind if redaction.order else None


def recorder_entry(recorder: Recorder, wanted: Parties) -> RecorderEntry:
    seen = recorder.seen
    return RecorderEntry(
        backend=recorder.backend,
        state=recorder_state(recorder, wanted),
        parties=party_word(seen.muted) if seen else None,
        evidence=seen.evidence if seen else None,
        error=recorder.fault,
    )


def party_word(parties: Parties) -> str:
    return (parties.name or "both").lower()
