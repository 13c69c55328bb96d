"""The second audit device: a local file, fsynced by group commit, that heals the store after an outage.

What waits is written together and synced once, by one thread. A journal that cannot be written is a device that
is down: whoever asks is told at once, it is tried again every half second, and no request fails by it.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.audit.device import Recalled
from gateway.audit.note import Ack, Kept, Note, Probe, Void, journal_key
from gateway.audit.reading import confirmed, missing
from gateway.audit.segments import SEGMENT_BYTES, Segments
from gateway.audit.thread import OneThread
from gateway.audit.waiting import Waiting
from gateway.metrics import Written
from gateway.model import Device

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from gateway.audit.note import Line
    from gateway.metrics import Metrics

_T = TypeVar("_T")
_log = structlog.stdlib.get_logger("journal")

JOURNAL_SECONDS = 0.15  # nobody waits longer for the disk
RETRY_SECONDS = 0.5
PROBE_SECONDS = 2.0
ACK_SECONDS = 1.0  # how long what became of a step may stay unwritten
CLOSE_SECONDS = 2.0
ACKS = 64  # of a bucket: some seconds' worth on a busy day
NOTES = 4_096  # on their way to be confirmed
KEPT_BYTES = 64 * 2**20  # files beyond this go, once the store has all of theirs
ROOM = 4  # or so many times what is open: with less, more would be written again than there is news


class Journal:
    """`key` is the trail's; the journal's own chain uses one derived from it. `ms` is the node's clock."""

    def __init__(
        self,
        directory: Path,
        *,
        key: bytes,
        ms: Callable[[], int],
        metrics: Metrics,
        segment_bytes: int = SEGMENT_BYTES,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._segments = Segments(directory, key=journal_key(key), segment_bytes=segment_bytes)
        self._thread = OneThread("journal")
        self._kept_bytes = kept_bytes
        self._ms = ms
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._waiting: list[Waiting] = []
        self._lazy: list[Ack | Void] = []
        self._unstored: dict[str, str] = {}  # operation id → file, once it is in one
        self._undecided: dict[str, tuple[str, Note]] = {}
        self._open: dict[tuple[str, str], tuple[str, Kept]] = {}
        self._counted: dict[tuple[str, str], int] = {}  # when the newest step of an open one was taken, in ms
        self._notes: OrderedDict[str, Note] = OrderedDict()
        self._acked: defaultdict[int, OrderedDict[str, tuple[Ack, Note | None]]] = defaultdict(OrderedDict)
        self._work: asyncio.Task[None] | None = None
        self._lost_at: float | None = None  # on the loop's clock
        self._unread = True
        self.up = False
        self.changed: Callable[[bool, str | None, int | None], None] = _nobody
        """Told when it comes up or goes down: why, or for how long it was away, in ms."""
        self.recalled: Callable[[Recalled], None] = _nothing
        """Given what was there when that could not be read at the start."""

    # ── for whoever owns it ──

    async def open(self) -> Recalled:
        """Read what is there and begin to write. A directory that cannot be used is a device that is down."""
        recalled = await self._read()
        self._work = asyncio.create_task(self._keep_writing())
        return recalled or Recalled()

    async def _read(self) -> Recalled | None:
        """None where it cannot be read now. It is read before anything is written."""
        try:
            recalled = await self._in_thread(self._recall)
        except OSError as error:
            self._turned(up=False, reason=error)
            return None
        self._unread = False
        self._turned(up=True)
        return recalled

    async def close(self) -> None:
        """Write what waits, as far as that takes no longer than two seconds."""
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
        last = asyncio.ensure_future(self._close())
        done, _ = await asyncio.wait({last}, timeout=CLOSE_SECONDS)
        self._thread.close(wait=bool(done))

    async def _close(self) -> None:
        await self._write_batch()
        await self._in_thread(self._segments.close)

    # ── for whoever writes ──

    def write(self, note: Note) -> asyncio.Future[bool]:
        waiting = Waiting(note, within=JOURNAL_SECONDS, late=self._late)
        if self.up:
            self._unstored[note.op] = ""
            self._waiting.append(waiting)
            self._wake.set()
        else:
            self._tell_waiting([waiting], written=False)
        return waiting.written

    def _late(self, waiting: Waiting) -> None:
        self._turned(up=False, reason=TimeoutError())
        self._tell_waiting([waiting], written=False)

    def tell(self, line: Ack | Void) -> None:
        self._decided(line)
        self._lazy.append(line)

    def forget(self, tenant: str, call_id: str) -> None:
        self._open.pop((tenant, call_id), None)
        self._counted.pop((tenant, call_id), None)

    # ── for whoever heals ──

    def acked(self) -> dict[int, tuple[Ack, ...]]:
        """By bucket, the newest entries that the store has confirmed: more than it can confirm between losing
        some of them and that being noticed."""
        return {bucket: tuple(ack for ack, _ in acks.values()) for bucket, acks in self._acked.items() if acks}

    def remembered(self, bucket: int) -> tuple[tuple[Note, Ack], ...]:
        """The same of one bucket with their notes; those that are too old for memory are left out."""
        return tuple((note, ack) for ack, note in self._acked[bucket].values() if note is not None)

    def disown(self, bucket: int, ops: Collection[str]) -> None:
        """That the store confirmed these is worth nothing any more."""
        for op in ops:
            self._acked[bucket].pop(op, None)

    def states(self, bucket: int) -> tuple[Kept, ...]:
        """The open redactions of a bucket, as this journal knows them."""
        return tuple(kept for _, kept in self._open.values() if kept.bucket == bucket)

    async def confirmed(self, buckets: frozenset[int]) -> dict[int, tuple[tuple[Note, Ack], ...]]:
        """By bucket, every step that the store has confirmed and whose note is still here, oldest first.

        It reads all files, beside whoever writes. Raises `OSError` when they cannot be read.
        """
        await self._write_batch()
        return await self._beside(lambda: confirmed(self._segments.read(), buckets))

    async def missing(self, calls: frozenset[tuple[str, str]]) -> tuple[Note, ...]:
        await self._write_batch()
        return await self._beside(lambda: missing(self._segments.read(), calls, self._unstored))

    # ── the loop ──

    async def _keep_writing(self) -> None:
        probed = -math.inf
        while True:
            if not self._wake.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS if not self.up else ACK_SECONDS):
                        await self._wake.wait()
            self._wake.clear()
            await self._write_batch()
            now = asyncio.get_running_loop().time()
            if not self.up or now - probed > PROBE_SECONDS:
                probed = now
                await self._probe()

    async def _write_batch(self) -> None:
        """Everything that waits, one write, one sync."""
        if self._unread:
            return
        batch, self._waiting = self._waiting, []
        lazy, self._lazy = self._lazy, []
        lines: list[Line] = [*lazy, *(waiting.note for waiting in batch)]
        if not lines:
            return
        try:
            file = await self._in_thread(partial(self._append, lines, durable=bool(batch)))
        except Exception as error:  # noqa: BLE001 -- whatever it trips over: the device is down, no request fails
            self._lazy = lazy + self._lazy
            self._turned(up=False, reason=error)
            self._tell_waiting(batch, written=False)
            return
        for waiting in batch:
            self._index(waiting.note, file)
        self._turned(up=True)
        self._tell_waiting(batch, written=True)

    def _tell_waiting(self, batch: list[Waiting], *, written: bool) -> None:
        for waiting in batch:
            if waiting.tell(written=written):
                self._metrics.entries(Device.JOURNAL, Written.WRITTEN if written else Written.FAILED)

    async def _probe(self) -> None:
        """Healthy is what was written and can be read again under its name."""
        if self._unread:
            if (recalled := await self._read()) is not None:
                self.recalled(recalled)
            return
        try:
            self._turned(up=await self._in_thread(self._written_and_read))
        except OSError as error:
            self._turned(up=False, reason=error)

    def _turned(self, *, up: bool, reason: Exception | None = None) -> None:
        now = asyncio.get_running_loop().time()
        first = not up and (self.up or self._lost_at is None)
        if up and not self.up:
            away = None if self._lost_at is None else round(now - self._lost_at, 3)
            _log.info("journal.reached", away_seconds=away)
            self.changed(True, None, None if away is None else int(1000 * away))
        if first:
            self._lost_at = now
            self.changed(False, type(reason).__name__ if reason else None, None)
        if not up and (self.up or reason is not None):
            _log.error("journal.lost", reason=type(reason).__name__ if reason else "not read back")
        self.up = up
        self._metrics.device(Device.JOURNAL, is_up=up)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await self._thread.run(work)

    async def _beside(self, work: Callable[[], _T]) -> _T:
        """For what reads for long: nobody who writes waits for it."""
        return await asyncio.to_thread(work)

    # ── in the thread ──

    def _append(self, lines: list[Line], *, durable: bool) -> str:
        before = self._segments.current
        file = self._segments.append(lines, durable=durable)
        if file != before:
            self._clear_out()
        return file

    def _written_and_read(self) -> bool:
        self._append([Probe(at=self._ms())], durable=True)
        return self._segments.read_back()

    def _clear_out(self) -> None:
        """Drop the oldest files beyond the limit, none that the store lacks something of; open redactions whose
        newest state stands in one of them are written again first."""
        total, unstored = self._segments.total_bytes(), set(self._unstored.values())
        kept = max(self._kept_bytes, ROOM * self._open_bytes())
        for path in self._segments.files()[:-1]:
            if total <= kept or path.name in unstored:
                return
            self._carry_over(path.name)
            total -= path.stat().st_size
            self._segments.drop(path)

    def _open_bytes(self) -> int:
        """What the open redactions alone take."""
        return sum(len(kept.state) for _, kept in list(self._open.values()))

    def _carry_over(self, file: str) -> None:
        kept = {key: kept for key, (where, kept) in list(self._open.items()) if where == file}
        if kept:
            into = self._segments.append(list(kept.values()), durable=True)
            still = {key for key, state in kept.items() if self._open.get(key) == (file, state)}
            self._open |= {key: (into, kept[key]) for key in still}

    def _index(self, note: Note, file: str) -> None:
        """A needed step counts when the store has it; the others at once."""
        self._notes[note.op] = note
        if len(self._notes) > NOTES:
            self._notes.popitem(last=False)
        decided = note.op not in self._unstored
        if not decided:
            self._unstored[note.op] = file
        if note.needed and not decided:
            self._undecided[note.op] = (file, note)
        else:
            self._count(note, file)

    def _decided(self, line: Ack | Void) -> None:
        self._unstored.pop(line.op, None)
        file, note = self._undecided.pop(line.op, ("", None))
        written = self._notes.pop(line.op, None)
        if isinstance(line, Ack):
            self._remember(line, written)
            if note is not None:
                self._count(note, file)

    def _remember(self, ack: Ack, note: Note | None) -> None:
        acks = self._acked[ack.bucket]
        _, known = acks.pop(ack.op, (ack, None))
        acks[ack.op] = (ack, note or known)
        if len(acks) > ACKS:
            acks.popitem(last=False)

    def _count(self, note: Note, file: str) -> None:
        key = (note.tenant, note.call_id)
        if key in self._open and note.at < self._counted.get(key, 0):  # written late, or again
            return
        self._counted[key] = note.at
        if note.open:
            kept = Kept(tenant=note.tenant, call_id=note.call_id, bucket=note.bucket, state=note.state)
            self._open[key] = (file, kept)
        else:
            self.forget(*key)

    def _recall(self) -> Recalled:
        self._segments.open()
        notes: dict[str, Note] = {}
        for file, line in self._segments.read():
            match line:
                case Note():
                    notes.pop(line.op, None)
                    notes[line.op] = line
                    self._unstored[line.op] = file
                    self._index(line, file)
                case Ack() | Void():
                    notes.pop(line.op, None)
                    self._decided(line)
                case Kept():
                    self._open[line.tenant, line.call_id] = (file, line)
                case _:
                    pass
        return Recalled(notes=tuple(notes.values()), states=tuple(kept for _, kept in self._open.values()))


def _nobody(_up: bool, _reason: str | None, _away_ms: int | None) -> None:  # noqa: FBT001 -- the event's own words
    """Nobody asked to be told."""


def _nothing(_: Recalled) -> None:
    """Nobody asked what was there."""
