"""Checkpoints that are known from elsewhere, and which of them an export or an archive can be held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit import seal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Checkpoint

SKEW_MS = 10_000  # by so much the clocks of those who seal and of those who read may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`before` were there when the export or archive was begun, `later` were made after, or about then. `lines` are
    by number."""

    before: tuple[Checkpoint, ...]
    later: tuple[Checkpoint, ...]
    lines: dict[int, bytes]

    @classmethod
    def of(cls, keyring: Keyring, lines: Iterable[bytes], *, begun: int | None) -> Known:
        """Those signed by no key of ours count for nothing. `begun` (ms): None when all were there."""
        found = [(one, line) for line in lines if (one := readable(keyring, line)) is not None]
        return cls(
            before=tuple(one for one, _ in found if not _later(one, begun)),
            later=tuple(one for one, _ in found if _later(one, begun)),
            lines={one.number: line for one, line in found},
        )

    @property
    def all(self) -> tuple[Checkpoint, ...]:
        return (*self.before, *self.later)

    def newest(self) -> int:
        """The number of the newest one that was there."""
        return max((one.number for one in self.before), default=0)

    def note(self, have: int) -> tuple[str, ...]:
        """What came after checkpoint `have`."""
        newest = max((one.number for one in self.later), default=0)
        return (f"it ends at checkpoint {have}, and {newest} is known, made later",) if newest > have else ()


def readable(keyring: Keyring, line: bytes) -> Checkpoint | None:
    """The checkpoint, if a key of ours signed it."""
    try:
        found = seal.read(line)
    except ValueError:
        return None
    return found if keyring.publics.signs(line, found.key) else None


def _later(one: Checkpoint, begun: int | None) -> bool:
    return begun is not None and one.at > begun - SKEW_MS
