"""The store's server, as its function library has it: every function here is one atomic step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.store.contract import (
    Asked,
    Change,
    Claim,
    Claims,
    Committed,
    Queue,
    Stale,
    Stored,
    TrailEntry,
    TrailPage,
    Turn,
    Word,
    bucket,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model import CallKey, Redaction

REMEMBERED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    revision: int = 0
    head: str = ""
    seq: int = 0
    state: Redaction | None = None
    ops: tuple[tuple[str, int, str], ...] = ()

    def stored(self) -> Stored | None:
        return None if self.state is None else Stored(redaction=self.state, head=self.head, seq=self.seq)


@dataclass(slots=True, kw_only=True)
class Data:
    """All that a failover brings back as it once was."""

    rows: dict[CallKey, Row] = field(default_factory=dict)
    trails: dict[int, tuple[TrailEntry, ...]] = field(default_factory=dict)
    index: dict[CallKey, tuple[int, ...]] = field(default_factory=dict)
    due: dict[CallKey, int] = field(default_factory=dict)
    targets: dict[str, dict[CallKey, str]] = field(default_factory=dict)
    loose: dict[str, int] = field(default_factory=dict)
    probes: dict[str, str] = field(default_factory=dict)
    leases: dict[int, tuple[str, int]] = field(default_factory=dict)

    def copy(self) -> Data:
        return Data(
            rows=dict(self.rows),
            trails=dict(self.trails),
            index=dict(self.index),
            due=dict(self.due),
            targets={name: dict(claims) for name, claims in self.targets.items()},
            loose=dict(self.loose),
            probes=dict(self.probes),
            leases=dict(self.leases),
        )


class Vault:
    """`ms` is the server's clock. `committed` is called after every new step, for whoever judges."""

    def __init__(self, ms: Callable[[], int]) -> None:
        self.ms = ms
        self.data = Data()
        self.committed: Callable[[Change], None] = lambda _: None
        self.orders: dict[str, int] = {}
        self.lost = False
        self.listeners: list[Callable[[Word], None]] = []
        self._again: defaultdict[str, int] = defaultdict(int)

    def commit(self, change: Change) -> Committed | Stale:
        key, data = change.after.key, self.data
        row = data.rows.get(key, Row())
        for op, seq, link in row.ops:
            if op == change.op:
                return Committed(seq=seq, at=self.ms(), durability="stored", link=link)
        before = change.before
        if (row.revision, row.head) != ((before.redaction.revision, before.head) if before else (0, "")):
            return Stale(now=row.stored())
        seq = self._append(key, change) if change.entry else row.seq
        data.rows[key] = Row(
            revision=change.after.revision,
            head=change.link,
            seq=seq,
            state=change.after,
            ops=((change.op, seq, change.link), *row.ops)[:REMEMBERED],
        )
        if change.due_at is None:
            data.due.pop(key, None)
        else:
            data.due[key] = change.due_at
        self.committed(change)
        for tell in tuple(self.listeners):
            tell(Word(key=key, lets_go=change.lets_go))
        return Committed(seq=seq, at=self.ms(), durability="stored", link=change.link)

    def _append(self, key: CallKey, change: Change) -> int:
        number = bucket(key)
        trail = self.data.trails.get(number, ())
        seq = trail[-1].seq + 1 if trail else 1
        entry = TrailEntry(bucket=number, seq=seq, at=self.ms(), link=change.link, entry=change.entry)
        self.data.trails[number] = (*trail, entry)
        self.data.index[key] = (*self.data.index.get(key, ()), seq)
        return seq

    def load(self, key: CallKey) -> Stored | None:
        row = self.data.rows.get(key)
        return row.stored() if row else None

    def entries(self, key: CallKey) -> tuple[TrailEntry, ...]:
        numbers = set(self.data.index.get(key, ()))
        return tuple(entry for entry in self.data.trails.get(bucket(key), ()) if entry.seq in numbers)

    def trail(self, number: int, since: int, most: int) -> TrailPage:
        trail = self.data.trails.get(number, ())
        newest = trail[-1].seq if trail else 0
        entries = tuple(entry for entry in trail if entry.seq >= since)[:most]
        return TrailPage(first=trail[0].seq if trail else None, newest=newest, entries=entries)

    def queues(self, numbers: Sequence[int], asked: Asked) -> dict[int, Queue]:
        queues, left = {}, asked.enough
        for number in numbers:
            queues[number] = self._queue(number, asked, is_full=left <= 0)
            left -= len(queues[number].keys)
        return queues

    def _queue(self, number: int, asked: Asked, *, is_full: bool) -> Queue:
        if number in asked.to_take and not self._leased(number, asked.owner, asked.lease_ms):
            return Queue(ours=False, whole=True)
        if is_full:
            return Queue(ours=True, whole=False)
        ripe = [(at, key.tenant, key.call_id, key) for key, at in self.data.due.items() if at <= asked.until]
        found = tuple(row[3] for row in sorted(ripe) if bucket(row[3]) == number)[: asked.most]
        return Queue(ours=True, whole=len(found) < asked.most, keys=found)

    def _leased(self, number: int, owner: str, ms: int) -> bool:
        holder, until = self.data.leases.get(number, ("", 0))
        if holder not in {"", owner} and until > self.ms():
            return False
        self.data.leases[number] = (owner, self.ms() + ms)
        return True

    def claim(self, target: str, key: CallKey) -> Claims:
        claims = self.data.targets.setdefault(target, {})
        since, count, _ = claims.get(key, f"{self.ms()}:0:").split(":")
        claims[key] = f"{since}:{int(count) + 1}:{self.ms()}"
        return self._claims(target, key)

    def _claims(self, target: str, key: CallKey) -> Claims:
        claims = self.data.targets.get(target, {})
        others = tuple(Claim(key=other, token=token) for other, token in claims.items() if other != key)
        loose = self.data.loose.get(target, 0)
        return Claims(at=self.ms(), own=claims.get(key, ""), others=others, loose_until=loose)

    def loosen(self, target: str, key: CallKey, lands_before: int, over: tuple[Claim, ...]) -> Claims:
        claims = self.data.targets.get(target, {})
        for dead in over:
            if claims.get(dead.key) == dead.token:
                del claims[dead.key]
        found = self._claims(target, key)
        if not found.others:
            self.data.loose[target] = max(lands_before, self.data.loose.get(target, 0))
        return replace(found, loose_until=0)

    def release(self, target: str, key: CallKey, own: str, landed: int | None) -> None:
        if landed is not None and self.data.loose.get(target) == landed:
            self.data.loose[target] = self.ms()
        claims = self.data.targets.get(target, {})
        if own and claims.get(key) == own:
            del claims[key]

    def once(self) -> Turn:
        return Turn.NEW

    def probe(self, name: str, word: str) -> str:
        before = self.data.probes.get(name, "")
        self.data.probes[name] = word
        return before
