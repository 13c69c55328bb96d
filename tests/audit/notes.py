"""Notes and journals for the tests of this folder."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.audit.journal import KEPT_BYTES, Journal
from gateway.audit.note import Note
from gateway.audit.segments import SEGMENT_BYTES
from gateway.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.audit.device import Recalled

KEY = bytes(range(32))


def note(
    op: str, *, call_id: str = "c1", needed: bool = False, open_: bool = True, bucket: int = 3, text: str = "x"
) -> Note:
    return Note(
        op=op,
        tenant="acme",
        call_id=call_id,
        bucket=bucket,
        at=1_700_000_000_000,
        needed=needed,
        open=open_,
        held=(("crm", "default"),),
        entry=b'{"op":"%s","text":"%s"}' % (op.encode(), text.encode()),
        state=b'{"of":"%s"}' % op.encode(),
    )


def made(
    directory: Path, *, segment_bytes: int = SEGMENT_BYTES, kept_bytes: int = KEPT_BYTES, key: bytes = KEY
) -> Journal:
    metrics = Metrics({}, version="0")
    return Journal(
        directory, key=key, ms=lambda: 5, metrics=metrics, segment_bytes=segment_bytes, kept_bytes=kept_bytes
    )


@asynccontextmanager
async def opened(journal: Journal) -> AsyncIterator[Recalled]:
    recalled = await journal.open()
    try:
        yield recalled
    finally:
        await journal.close()


async def recalled(directory: Path) -> Recalled:
    """What the next process finds."""
    async with opened(made(directory)) as found:
        return found


def files(directory: Path, pattern: str = "*.jsonl") -> list[Path]:
    """A journal's files, oldest first."""
    return sorted(directory.glob(pattern))


def only(directory: Path) -> Path:
    (file,) = files(directory)
    return file
