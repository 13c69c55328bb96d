"""What Prometheus is told of how long a call was recorded after somebody wanted it silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.evidence import counted, pending, proven

if TYPE_CHECKING:
    from gateway.evidence import Policy
    from gateway.metrics import Metrics
    from gateway.model import Redaction


def count(metrics: Metrics, before: Redaction, after: Redaction, *, first: bool, now: int, policy: Policy) -> None:
    """A step led from `before` to `after`; `first`: it is the request that began the redaction.

    What is begun and never becomes protected is begun all the same: an objective is measured against those. One that
    waits for its call is not begun, and what it waited says nothing of any recorder: its exposure is not counted.
    """
    if first and after.open and not pending(after, now=now):
        metrics.begun()
    if before.exposure_ms is not None or not (first or _was_there(after)):
        return
    known = {recorder.backend for recorder in counted(before) if proven(before, recorder, now=now, policy=policy)}
    for recorder in counted(after):
        if recorder.seen and recorder.backend not in known and proven(after, recorder, now=now, policy=policy):
            seconds = max(0, recorder.seen.at - after.requested_at) / 1000
            metrics.recorder_exposed(recorder.backend, recorder.vendor, seconds)
    if after.exposure_ms is not None:
        metrics.exposed(after.exposure_ms / 1000)


def _was_there(redaction: Redaction) -> bool:
    """The call can only be one that had begun when it was asked for: nobody ever said `next`."""
    return not any(recorder.asked_at for recorder in redaction.recorders)
