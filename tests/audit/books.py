"""Trails made in memory, of every shape that the real ones have, fast enough for thousands of them; and exports of
them, honestly signed, whatever was done to them before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from trails import KEYRING, some_entry

from gateway.audit import row, seal
from gateway.audit.chain import link
from gateway.audit.entry import Entry, EntryType, healed
from gateway.audit.export import Ended, Seals, Selection
from gateway.audit.seal import Base, Checkpoint, Head, Lost
from gateway.audit.signed import line_hash
from gateway.model import CallKey
from gateway.store.contract import BUCKETS, TrailEntry, bucket

if TYPE_CHECKING:
    from random import Random

    from gateway.audit.keyring import Keyring

BEGIN = 1_700_000_000_000


@dataclass(kw_only=True)
class Book:
    """What a store holds. `numbers` are the newest given."""

    keyring: Keyring = KEYRING
    at: int = BEGIN
    rows: dict[int, list[TrailEntry]] = field(default_factory=lambda: {n: [] for n in range(BUCKETS)})
    numbers: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(BUCKETS), 0))
    calls: dict[CallKey | int, str] = field(default_factory=dict)
    heads: dict[int, Head] = field(default_factory=dict)
    checkpoints: list[bytes] = field(default_factory=list)
    number: int = 0
    trimmed: bytes | None = None
    lost: list[bytes] = field(default_factory=list)
    ops: int = 0

    # ── what happens ──

    def write(self, call_id: str, *, tenant: str = "acme", anew: bool = False) -> None:
        """One entry of a call; `anew`: its state had not been kept any longer."""
        key = CallKey(tenant=tenant, call_id=call_id)
        self.ops += 1
        before = "" if anew else self.calls.get(key, "")
        self._put(key, bucket(key), before, some_entry(key, f"op{self.ops}", 1).canonical())

    def system(self, kind: EntryType, *, checkpoint: int, key: str | None = None, count: int | None = None) -> None:
        self.ops += 1
        entry = Entry(
            type=kind,
            tenant="gateway",
            call_id=None,
            op=f"op{self.ops}",
            node="n1",
            node_ms=BEGIN,
            checkpoint=checkpoint,
            key=key,
            count=count,
        )
        self._put(0, 0, self.calls.get(0, ""), entry.canonical())

    def _put(self, chain: CallKey | int, number: int, before: str, entry: bytes) -> None:
        self.at += 7
        self.numbers[number] += 1
        self.calls[chain] = link(self.keyring.chain.key, before, entry)
        one = TrailEntry(bucket=number, seq=self.numbers[number], at=self.at, link=self.calls[chain], entry=entry)
        self.rows[number].append(one)

    def seal(self, *, lost: dict[int, Lost] | None = None, trimmed: Base | None = None) -> None:
        changed = {}
        for number, rows in self.rows.items():
            head = self.heads.get(number, Head())
            new = [row.line(one) for one in rows if one.seq > head.seq]
            if new:
                changed[number] = seal.extended(head, new, self.numbers[number])
        self.heads |= changed
        self.number += 1
        checkpoint = Checkpoint(
            number=self.number,
            previous=line_hash(self.checkpoints[-1]) if self.checkpoints else "",
            at=self.at,
            node="n1",
            heads=changed,
            root=seal.root(self.heads),
            chain_key=self.keyring.chain.id,
            key=self.keyring.signer.id,
            lost=lost or {},
            trimmed=trimmed,
        )
        self.checkpoints.append(self.keyring.signer.line(checkpoint.body()))
        self.trimmed = self.checkpoints[-1] if trimmed is not None else self.trimmed
        self.lost += [self.checkpoints[-1]] if lost else []

    def fall(self, number: int, *, back: bool = True) -> None:
        """The bucket loses what was sealed of it since its first entry, and gets it back as healed (or not)."""
        kept, gone = self.rows[number][:1], self.rows[number][1:]
        had, base = self.heads[number].seq, seal.extended(Head(), map(row.line, kept), 1)
        self.rows[number], self.numbers[number], self.heads[number] = kept, 1, base
        keys = {one.link: chain for one in kept for chain in self.calls if _is(one, chain)}
        for chain in [chain for chain in self.calls if chain == number or (chain != 0 and _in(chain, number))]:
            self.calls[chain] = next((link_ for link_, of in keys.items() if of == chain), "")
        for one in gone if back else ():
            chain = next(chain for chain in self.calls if _is(one, chain))
            self._put(chain, number, self.calls[chain], healed(one.entry))
        digests = tuple(sha256(one.entry).hexdigest() for one in gone if one.seq <= had)
        self.seal(lost={number: Lost(had=had, kept=1, entries=digests)})

    def trim(self) -> None:
        """What is sealed is taken away."""
        base = Base(number=self.number, hash=line_hash(self.checkpoints[-1]), heads=dict(self.heads))
        self.seal(trimmed=base)
        for number, head in base.heads.items():
            self.rows[number] = [one for one in self.rows[number] if one.seq > head.seq]

    def rotate(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.system(EntryType.KEY_ROTATED, checkpoint=self.number, key=keyring.chain.id)

    def copy(self) -> Book:
        """To be meddled with."""
        return replace(
            self,
            rows={number: list(rows) for number, rows in self.rows.items()},
            numbers=dict(self.numbers),
            calls=dict(self.calls),
            heads=dict(self.heads),
            checkpoints=list(self.checkpoints),
            lost=list(self.lost),
        )

    # ── what comes out ──

    def export(self, selection: Selection | None = None, *, begun: int | None = None) -> bytes:
        chosen = selection or Selection()
        lines = [row.line(one) for rows in self.rows.values() for one in rows if chosen.takes(one)]
        newest = {number: rows[-1] if rows else None for number, rows in self.rows.items()}
        ended = Ended(
            at=self.at,
            entries=len(lines),
            digest=sha256(b"".join(lines)).hexdigest(),
            heads={
                number: (self.numbers[number], one.link if one and one.seq == self.numbers[number] else "")
                for number, one in newest.items()
            },
            key=self.keyring.signer.id,
            selection=chosen,
            begun=begun,
            seals=Seals(
                newest=self.checkpoints[-1] if self.checkpoints else None,
                heads=self.heads,
                trimmed=self.trimmed,
                lost=tuple(self.lost),
            ),
        )
        return b"".join(lines) + self.keyring.signer.line(ended.body()) + b"\n"


def _is(one: TrailEntry, chain: CallKey | int) -> bool:
    if isinstance(chain, int):
        return b'"call_id"' not in one.entry and one.bucket == chain
    return f'"call_id":"{chain.call_id}"'.encode() in one.entry and f'"tenant":"{chain.tenant}"'.encode() in one.entry


def _in(chain: CallKey | int, number: int) -> bool:
    return isinstance(chain, CallKey) and bucket(chain) == number


def some_book(random: Random, *, keyring: Keyring = KEYRING, entries: int | None = None) -> Book:
    """A trail with everything that happens: few calls or many, sealed often or seldom, begun anew, taken over."""
    book = Book(keyring=keyring)
    calls, often = random.randint(1, 20), random.choice((0.05, 0.3, 0.9))
    for _ in range(entries or random.randint(1, 60)):
        book.write(
            f"call-{random.randrange(calls)}", tenant=random.choice(("acme", "beta")), anew=random.random() < 0.1
        )
        if random.random() < often:
            book.seal()
            if book.number == 1 or random.random() < 0.05:
                book.system(EntryType.SEAL_STARTED, checkpoint=book.number)
    return book


def changed(book: Book, number: int, index: int, **members: Any) -> None:  # noqa: ANN401 -- any member of a row
    """Somebody meddles with one row."""
    book.rows[number][index] = replace(book.rows[number][index], **members)
