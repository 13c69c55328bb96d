"""Sealed entries that the store lost, and whether each of them came back.

A failover to a replica that was behind loses entries that a checkpoint covers. The sealer says so in the next
checkpoint, with what was lost; the journal brings the entries back, marked as healed, under new numbers. What came
back is explained. What did not is a rollback.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.audit.findings import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.findings import Findings
    from gateway.audit.seal import Checkpoint, Lost

_HEALED = b'"healed":true,'


class Losses:
    """Those that these checkpoints tell of."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        by_number = {one.number: one for one in checkpoints}
        self._told = [(bucket, lost) for one in by_number.values() for bucket, lost in one.lost.items()]
        self._from = {bucket: min(lost.kept for of, lost in self._told if of == bucket) for bucket, _ in self._told}
        self._seen: set[str] = set()

    def saw(self, bucket: int, seq: int, entry: bytes) -> None:
        if bucket in self._from and seq > self._from[bucket]:
            self._seen.add(sha256(entry.replace(_HEALED, b"", 1)).hexdigest())
            self._seen.add(sha256(entry).hexdigest())

    def judge(self, findings: Findings) -> tuple[str, ...]:
        """Notes on what came back; what did not is a finding."""
        notes = []
        for bucket, lost in self._told:
            missing = lost.had - lost.kept - self._back(lost)
            detail = f"bucket {bucket} lost its sealed entries {lost.kept + 1} to {lost.had}"
            if missing:
                text = f"{detail}, and {missing} did not come back as far as is known"
                findings.add(Kind.ROLLED_BACK, text, bucket=bucket, seq=lost.kept + 1)
            else:
                notes.append(f"{detail}; all of them came back")
        return tuple(notes)

    def _back(self, lost: Lost) -> int:
        return len(set(lost.entries) & self._seen)
