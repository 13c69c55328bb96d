"""What the pod that looks after a call tells Prometheus about it: how many are open, how long unprotected.

Each open redaction is looked after by one pod, so the sum over pods is the whole. A call that was not looked at
for a while has closed, or is another pod's by now.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.backoff import LONGEST_SECONDS
from gateway.evidence import counted, pending, protected, proven, state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.evidence import Policy
    from gateway.metrics import Metrics
    from gateway.model import CallKey, RecorderState, Redaction

LONGEST_MS = int(1000 * LONGEST_SECONDS)
FORGET_MS = 1_000  # beyond the time in which it should have been looked at again


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """`unproven` are the backends that are wanted silent and not proven so."""

    state: RecorderState
    requested_at: int
    unprotected_since: int | None
    unproven: tuple[str, ...]
    looked_at: int


class Watchlist:
    """`forgotten_ms`: an open redaction as old as that is one that somebody forgot to end."""

    def __init__(self, *, policy: Policy, forgotten_ms: int, metrics: Metrics) -> None:
        self._policy = policy
        self._forgotten_ms = forgotten_ms
        self._metrics = metrics
        self._watched: dict[CallKey, Watched] = {}
        self._published_at: int | None = None

    def saw(self, redaction: Redaction, *, now: int) -> None:
        """This is how the call was found at `now` (ms)."""
        if not redaction.open:
            self._watched.pop(redaction.key, None)
            return
        waits = pending(redaction, now=now)  # nothing is recorded yet
        safe = waits or protected(redaction, now=now, policy=self._policy)
        self._watched[redaction.key] = Watched(
            state=state(redaction),
            requested_at=redaction.requested_at,
            unprotected_since=None if safe else self._since(redaction, now),
            unproven=()
            if waits
            else tuple(
                recorder.backend
                for recorder in counted(redaction)
                if not proven(redaction, recorder, now=now, policy=self._policy)
            ),
            looked_at=now,
        )

    def _since(self, redaction: Redaction, now: int) -> int:
        """Unprotected from the first request on, or from now when it once was, or has waited for its call."""
        before = self._watched.get(redaction.key)
        if before is not None:
            return before.unprotected_since or now
        return redaction.requested_at if redaction.exposure_ms is None else now

    def publish(self, *, now: int) -> None:
        """Set the gauges; add to the unprotected seconds what has passed since the last time."""
        self._forget(now)
        watched = self._watched.values()
        self._metrics.open_redactions(
            Counter(one.state for one in watched),
            oldest_open_seconds=_age(now, (one.requested_at for one in watched)),
            oldest_unprotected_seconds=_age(
                now, (one.unprotected_since for one in watched if one.unprotected_since is not None)
            ),
            forgotten=sum(now - one.requested_at >= self._forgotten_ms for one in watched),
        )
        passed = (now - (self._published_at or now)) / 1000
        self._published_at = now
        for backend, calls in Counter(name for one in watched for name in one.unproven).items():
            self._metrics.unprotected(backend, max(0.0, passed) * calls)

    def _forget(self, now: int) -> None:
        self._watched = {key: one for key, one in self._watched.items() if self._is_due(one, now)}

    def _is_due(self, one: Watched, now: int) -> bool:
        """It need not have been looked at again yet. One that is not proven may rest longer than the others, and is
        the last to be left out; one that was looked at in the future was so before the clock was set back."""
        rest = max(self._policy.reassert_ms, LONGEST_MS) if one.unproven else self._policy.reassert_ms
        return -FORGET_MS <= now - one.looked_at <= rest + self._policy.deadline_ms + FORGET_MS


def _age(now: int, times: Iterable[int]) -> float:
    return max((now - min(known)) / 1000, 0.0) if (known := list(times)) else 0.0
