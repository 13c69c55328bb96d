"""When to try a call again whose mute is not proven: at most once a second, less often the longer its backend is
silent, and soon after the backend has answered anybody.

All of it is memory of one process and saves work only: the store has every call due in any case.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model import CallKey, Redaction

SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """`tries` have failed since any of `backends` answered, the last begun at `tried_at` (loop time) and leaving the
    call at `revision`."""

    tries: int
    tried_at: float
    revision: int
    backends: frozenset[str]


class Backoff:
    """`answered_at` tells when a backend answered last, in loop time."""

    def __init__(self, *, answered_at: Callable[[str], float]) -> None:
        self._answered_at = answered_at
        self._waiting: dict[CallKey, _Waiting] = {}

    def seconds(self, redaction: Redaction, *, longest_seconds: float = LONGEST_SECONDS) -> float:
        """How long to wait when this try, which found the call like this, fails as well. Whoever else has changed
        the call has asked anew."""
        waiting = self._waiting.get(redaction.key)
        same = waiting is not None and waiting.revision == redaction.revision and not self._answered(waiting)
        base = min(SHORTEST_SECONDS * 2 ** min(waiting.tries, 10), longest_seconds) if waiting and same else 0.0
        low, high = max(SHORTEST_SECONDS, base / 2), max(1.5 * SHORTEST_SECONDS, base)
        return random.uniform(low, high)  # noqa: S311 -- only to spread the tries

    def failed(self, before: Redaction, after: Redaction, backends: Iterable[str], *, began_at: float) -> None:
        """A try that began at `began_at` has failed at `backends`; it found the call as `before`."""
        waiting = self._waiting.get(after.key)
        known = waiting is not None and waiting.revision == before.revision and not self._answered(waiting)
        self._waiting[after.key] = _Waiting(
            tries=waiting.tries + 1 if waiting and known else 1,
            tried_at=began_at,
            revision=after.revision,
            backends=frozenset(backends),
        )

    def forget(self, key: CallKey) -> None:
        """The call needs no other try, or it is another pod's."""
        self._waiting.pop(key, None)

    def ready(self, *, now: float, probing: frozenset[str]) -> list[CallKey]:
        """Calls to be tried before their time: those whose backend has answered since, and one for each of
        `probing`, the one that has waited longest."""
        rested = {key: w for key, w in self._waiting.items() if now - w.tried_at >= SHORTEST_SECONDS}
        ready = {key for key, waiting in rested.items() if self._answered(waiting)}
        for backend in probing:
            mine = [key for key, waiting in rested.items() if backend in waiting.backends]
            ready.update(sorted(mine, key=lambda key: rested[key].tried_at)[:1])
        for key in ready:
            tries = 0 if self._answered(rested[key]) else rested[key].tries
            self._waiting[key] = replace(rested[key], tried_at=now, tries=tries)
        return list(ready)

    def _answered(self, waiting: _Waiting) -> bool:
        return any(self._answered_at(backend) > waiting.tried_at for backend in waiting.backends)
