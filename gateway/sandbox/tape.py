"""What a recorder really did, moment by moment: the truth that tests and the sandbox ask."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model import Parties


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """From `at` on (nanoseconds since the epoch), `muted` are not on the tape."""

    at: int
    muted: Parties


class Tape:
    """The recording of one call, with both parties on it from `began` until somebody switches or ends it.

    Times are nanoseconds since the epoch and given by the caller; one before the last switch counts as the
    last, so that a clock set back cannot rewrite the tape.
    """

    def __init__(self, *, began: int) -> None:
        self._cuts = [Cut(at=began, muted=Parties.NONE)]
        self._ended: int | None = None

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return tuple(self._cuts)

    @property
    def began(self) -> int:
        return self._cuts[0].at

    @property
    def ended(self) -> int | None:
        return self._ended

    @property
    def muted(self) -> Parties:
        """Who is silent now, by the last switch."""
        return self._cuts[-1].muted

    def switch(self, muted: Parties, *, at: int) -> None:
        """Make exactly `muted` silent; nothing happens on a tape that has ended."""
        if self._ended is None and muted != self.muted:
            self._cuts.append(Cut(at=max(at, self._cuts[-1].at), muted=muted))

    def end(self, *, at: int) -> None:
        if self._ended is None:
            self._ended = max(at, self._cuts[-1].at)

    def silent(self, parties: Parties, *, since: int, until: int) -> bool:
        """None of `parties` is on the tape anywhere between `since` and `until`."""
        return not self.recorded(parties, since=since, until=until)

    def recorded(self, parties: Parties, *, since: int, until: int) -> bool:
        """One of `parties` is on the tape for some moment between `since` and `until`."""
        return any(
            parties & ~cut.muted and begin <= until and since < end for cut, begin, end in self._stretches(until + 1)
        )

    def _stretches(self, horizon: int) -> list[tuple[Cut, int, int]]:
        last = horizon if self._ended is None else self._ended
        ends = [cut.at for cut in self._cuts[1:]] + [max(last, self._cuts[-1].at)]
        return [(cut, cut.at, end) for cut, end in zip(self._cuts, ends, strict=True)]
