"""Times and shares as a reader wants them; always UTC. A letter stands between date and time, so that no row of
digits is as long as a card number."""

from __future__ import annotations

from datetime import UTC, datetime

_NOTHING = "–"
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))


def time(ms: int | None) -> str:
    return _written(ms, "seconds")


def exact(ms: int | None) -> str:
    """To the millisecond."""
    return _written(ms, "milliseconds")


def _written(ms: int | None, precision: str) -> str:
    if ms is None:
        return _NOTHING
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def day(ms: int, *, hours: bool) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%d %b\n%H:%M" if hours else "%d %b %Y")


def brief(ms: int | None) -> str:
    """A length of time, in the largest unit of which there is one: ``840 ms``, ``2.5 s``, ``3 h``."""
    if ms is None:
        return _NOTHING
    size, unit = next(((size, unit) for size, unit in _UNITS if ms >= size), (1, "ms"))
    return f"{ms / size:.1f}".removesuffix(".0") + f" {unit}"


def share(part: int, whole: int) -> str:
    """Never rounded up to all: one in a million that failed is not 100 %."""
    if not whole:
        return _NOTHING
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02} %" if part != whole else "100 %"


def number(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")
