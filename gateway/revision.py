"""What makes a change of a redaction a new revision, and a new version: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence import recorder_state
from gateway.frozen import replace

if TYPE_CHECKING:
    from gateway.model import Redaction


def revised(before: Redaction, after: Redaction, at: int) -> Redaction:
    """Every change is a revision; one that a reader can see is also a version."""
    if _plain(before) == _plain(after) and _recorders(before) == _recorders(after):
        return replace(after, revision=before.revision + 1)
    return replace(after, revision=before.revision + 1, version=before.version + 1, updated_at=at)


def _plain(redaction: Redaction) -> tuple[object, ...]:
    return redaction.exposure_ms, redaction.requested_at, redaction.holds, redaction.order


def _recorders(redaction: Redaction) -> list[tuple[object, ...]]:
    wanted = redaction.wanted
    return [
        (r.backend, recorder_state(r, wanted), r.seen and (r.seen.muted, r.seen.evidence), r.fault)
        for r in redaction.recorders
    ]
