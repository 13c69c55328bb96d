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
from gateway.oldest import Oldest

if TYPE_CHECKING:
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
    """`forgotten_ms`: an open redaction as old as that is one that somebody forgot to end.

    What is published twice a second is kept up to date call by call: were all looked at each time, every request would
    wait the longer for that the more are open.
    """

    def __init__(self, *, policy: Policy, forgotten_ms: int, metrics: Metrics) -> None:
        self._policy = policy
        self._forgotten_ms = forgotten_ms
        self._metrics = metrics
        self._watched: dict[CallKey, Watched] = {}
        self._looked: Oldest[CallKey] = Oldest()  # when those were looked at that are proven
        self._looked_unproven: Oldest[CallKey] = Oldest()
        self._states: Counter[RecorderState] = Counter()
        self._wanting: Counter[str] = Counter()
        self._ages: Oldest[CallKey] = Oldest()
        self._fresh: Oldest[CallKey] = Oldest()  # those that nobody has forgotten yet
        self._unprotected: Oldest[CallKey] = Oldest()
        self._published_at: int | None = None

    def saw(self, redaction: Redaction, *, now: int) -> None:
        """This is how the call was found at `now` (ms)."""
        before = self._take_out(redaction.key)
        if not redaction.open:
            return
        waits = pending(redaction, now=now)  # nothing is recorded yet
        safe = waits or protected(redaction, now=now, policy=self._policy)
        self._put_in(
            redaction.key,
            Watched(
                state=state(redaction),
                requested_at=redaction.requested_at,
                unprotected_since=None if safe else self._since(redaction, before, now),
                unproven=()
                if waits
                else tuple(
                    recorder.backend
                    for recorder in counted(redaction)
                    if not proven(redaction, recorder, now=now, policy=self._policy)
                ),
                looked_at=now,
            ),
        )

    def _since(self, redaction: Redaction, before: Watched | None, now: int) -> int:
        """Unprotected from the first request on, or from now when it once was, or has waited for its call."""
        if before is not None:
            return before.unprotected_since or now
        return redaction.requested_at if redaction.exposure_ms is None else now

    def _put_in(self, key: CallKey, one: Watched) -> None:
        self._watched[key] = one
        (self._looked_unproven if one.unproven else self._looked).put(key, one.looked_at)
        self._states[one.state] += 1
        self._wanting.update(one.unproven)
        self._ages.put(key, one.requested_at)
        self._fresh.put(key, one.requested_at)
        if one.unprotected_since is not None:
            self._unprotected.put(key, one.unprotected_since)

    def _take_out(self, key: CallKey) -> Watched | None:
        one = self._watched.pop(key, None)
        if one is not None:
            self._states[one.state] -= 1
            self._wanting.subtract(one.unproven)
            for times in (self._looked, self._looked_unproven, self._ages, self._fresh, self._unprotected):
                times.drop(key)
        return one

    def publish(self, *, now: int) -> None:
        """Set the gauges; add to the unprotected seconds what has passed since the last time."""
        self._forget(now)
        while (fresh := self._fresh.least()) is not None and now - fresh[1] >= self._forgotten_ms:
            self._fresh.drop(fresh[0])
        self._metrics.open_redactions(
            self._states,
            oldest_open_seconds=_age(now, self._ages),
            oldest_unprotected_seconds=_age(now, self._unprotected),
            forgotten=len(self._ages) - len(self._fresh),
        )
        passed = (now - (self._published_at or now)) / 1000
        self._published_at = now
        for backend, calls in self._wanting.items():
            self._metrics.unprotected(backend, max(0.0, passed) * calls)

    def _forget(self, now: int) -> None:
        """Those that were looked at longest ago come first; all of them are asked only where the clock was set back."""
        if self._published_at is not None and now < self._published_at:
            for key in [key for key, one in self._watched.items() if not self._is_due(one, now)]:
                self._take_out(key)
            for key, one in self._watched.items():  # none that was forgotten by the clock as it was need be so now
                self._fresh.put(key, one.requested_at)
        for times in (self._looked, self._looked_unproven):
            while (first := times.least()) is not None and not self._is_due(self._watched[first[0]], now):
                self._take_out(first[0])

    def _is_due(self, one: Watched, now: int) -> bool:
        """It need not have been looked at again yet. One that is not proven may rest longer than the others, and is
        the last to be left out; one that was looked at in the future was so before the clock was set back."""
        rest = max(self._policy.reassert_ms, LONGEST_MS) if one.unproven else self._policy.reassert_ms
        return -FORGET_MS <= now - one.looked_at <= rest + self._policy.deadline_ms + FORGET_MS


def _age(now: int, times: Oldest[CallKey]) -> float:
    least = times.least()
    return max((now - least[1]) / 1000, 0.0) if least else 0.0
