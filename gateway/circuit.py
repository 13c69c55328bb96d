"""Whether anybody should wait for a backend. It stops the waiting, never the trying.

    closed   operations go through; `FAILURES` in a row that never got there or back open it
    open     requests are told so at once; in the background one mute at a time tries the way, some time apart
    stale    open, and nobody has tried for `STALE_SECONDS`: the next one, whoever it is, tries

The first thing that goes through closes it.
"""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILURES = 5
PROBE_SECONDS = 1.0  # from the beginning of one try to that of the next, give or take a quarter
STALE_SECONDS = 5.0


class Circuit:
    """`changed` is told True when it opens and False when it closes. Times are the running loop's."""

    def __init__(self, *, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._failures = 0
        self._tried_at = -math.inf
        self._probing = False
        self._probe_at = -math.inf
        self.is_open = False
        self.succeeded_at = -math.inf
        """When something went through last."""

    def admits(self) -> bool:
        """Somebody who asks now should send and wait."""
        if self.is_shut:
            return False
        if self.is_open:
            self._tried_at = _now()
        return True

    @property
    def is_shut(self) -> bool:
        """It is open, and not stale."""
        return self.is_open and _now() - self._tried_at < STALE_SECONDS

    @property
    def wants_probe(self) -> bool:
        """It is open, and time that the background tries the way."""
        return self.is_open and not self._probing and _now() >= self._probe_at

    @contextmanager
    def probing(self) -> Iterator[bool]:
        """The background's turn: True while it is closed; open, True for one at a time and not too soon."""
        if not self.is_open:
            yield True
        elif not self.wants_probe:
            yield False
        else:
            with self._probe():
                yield True

    @contextmanager
    def _probe(self) -> Iterator[None]:
        self._probing, self._tried_at = True, _now()
        self._probe_at = self._tried_at + PROBE_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 -- only to spread pods
        try:
            yield
        finally:
            self._probing = False

    def succeeded(self) -> None:
        """The backend answered, be it with a no."""
        self.succeeded_at = _now()
        self._failures = 0
        self._set(is_open=False)

    def failed(self, *, began_at: float) -> None:
        """An operation did not get there, or no answer got back. What began before the last success is old news."""
        if began_at < self.succeeded_at:
            return
        self._tried_at = _now()
        self._failures += 1
        if self._failures >= FAILURES:
            self._set(is_open=True)

    def _set(self, *, is_open: bool) -> None:
        if self.is_open != is_open:
            self.is_open = is_open
            self._changed(is_open)


def _now() -> float:
    return asyncio.get_running_loop().time()
