"""What a journal's lines come to, read from the first to the last: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit.note import Ack, Note

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gateway.audit.note import Line


def confirmed(lines: Iterable[tuple[str, Line]], buckets: frozenset[int]) -> dict[int, tuple[tuple[Note, Ack], ...]]:
    """By bucket, every step that the store has confirmed and whose note is there, oldest first."""
    notes: dict[str, Note] = {}
    found: dict[int, dict[str, tuple[Note, Ack]]] = {number: {} for number in buckets}
    for _, line in lines:
        match line:
            case Note(bucket=where) if where in buckets:
                notes[line.op] = line
            case Ack(bucket=where) if where in buckets and line.op in notes:
                found[where][line.op] = (notes[line.op], line)
            case _:
                pass
    return {number: tuple(steps.values()) for number, steps in found.items()}


def missing(
    lines: Iterable[tuple[str, Line]], calls: frozenset[tuple[str, str]], unstored: Collection[str]
) -> tuple[Note, ...]:
    """The notes of `calls` that the store lacks, oldest first."""
    notes: dict[str, Note] = {}
    for _, line in lines:
        if isinstance(line, Note) and not line.needed and (line.tenant, line.call_id) in calls:
            notes.pop(line.op, None)
            notes[line.op] = line
    return tuple(note for op, note in notes.items() if op in unstored)
