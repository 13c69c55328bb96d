"""Entries that are about no call: seals, keys, exports, trimming. They have a chain of their own.

What cannot be written now waits, and comes late; the log stream has it at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import structlog

from gateway.audit.chain import link
from gateway.audit.entry import healed
from gateway.metrics import Written
from gateway.model import Device
from gateway.store.contract import StoreUnavailable
from gateway.store.seals import SYSTEM

if TYPE_CHECKING:
    from gateway.audit.entry import Entry
    from gateway.metrics import Metrics
    from gateway.store.contract import TrailEntry
    from gateway.store.seals import Appended, SealStore

_log = structlog.stdlib.get_logger("register")
_audit = structlog.stdlib.get_logger("audit")

WITHIN_SECONDS = 1.0
ROUNDS = 16  # how often an entry is tried anew because somebody else was faster
WAITING = 1_000
TOLD = 1_000  # links that the log stream is known to have


class Register:
    """`hmac_key` chains the entries."""

    def __init__(self, store: SealStore, *, hmac_key: bytes, metrics: Metrics) -> None:
        self._store = store
        self._key = hmac_key
        self._metrics = metrics
        self._head = ""
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._told: deque[str] = deque(maxlen=TOLD)

    async def write(self, entry: Entry) -> bool:
        """Whether the entry is in the store; if not, it comes with the next `flush`. Never raises."""
        data = entry.canonical()
        try:
            done = await self._write(data)
        except StoreUnavailable:
            self._wait(data)
            self._metrics.entries(Device.STORE, Written.FAILED)
            _audit.error("entry.unwritten", entry=data.decode())
            return False
        self._metrics.entries(Device.STORE, Written.WRITTEN)
        self._tell("entry.written", data, done)
        return True

    async def flush(self) -> None:
        """What waits is written, marked as late. Raises `StoreUnavailable`: something still waits."""
        while self._waiting:
            waiting = self._waiting[0]
            data = healed(waiting)
            done = await self._write(data)
            if self._waiting[0] is waiting:  # or more came meanwhile than there is room for
                self._waiting.popleft()
            self._metrics.entries(Device.STORE, Written.HEALED)
            self._tell("entry.healed", data, done)

    def _wait(self, entry: bytes) -> None:
        """Of too many the oldest goes: the log stream has had it."""
        if len(self._waiting) == WAITING:
            _log.error("entry.dropped")
        self._waiting.append(entry)

    async def _write(self, entry: bytes) -> Appended:
        for _ in range(ROUNDS):
            done = await self._store.append(
                self._head, entry, link(self._key, self._head, entry), within=WITHIN_SECONDS
            )
            self._head = done.head
            if done.done:
                return done
        raise StoreUnavailable("the chain grows faster than it can be written to")

    def _tell(self, event: str, entry: bytes, done: Appended) -> None:
        self._told.append(done.head)
        _audit.info(event, bucket=SYSTEM, seq=done.seq, at=done.at, hash=done.head, entry=entry.decode())

    def found(self, one: TrailEntry) -> None:
        """It is in the store: the log stream is to have it too. Others wrote it, at the command line for example, or
        it was written here and the answer was lost."""
        if one.link not in self._told:
            _audit.info("entry.found", **one.told())
