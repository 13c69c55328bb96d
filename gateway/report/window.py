"""The time that is reported on. Milliseconds since the epoch, as everywhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `since` until before `until`; None: from where the trail begins, to where it ends."""

    since: int | None = None
    until: int | None = None

    def has(self, when: int) -> bool:
        return not self.before(when) and not self.after(when)

    def before(self, when: int) -> bool:
        return self.since is not None and when < self.since

    def after(self, when: int) -> bool:
        return self.until is not None and when >= self.until

    def clipped(self, begin: int, end: int) -> int:
        """How much of that time is in the window."""
        begin = begin if self.since is None else max(begin, self.since)
        end = end if self.until is None else min(end, self.until)
        return max(0, end - begin)
