"""A trail that is put together again is whole but for what is missing, and that is named; whoever meddles is found."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest
from books import Book, some_book
from notes import KEY, made, note, only, opened
from trails import KEYRING, OTHER_SEED, SEED, some_entry

from gateway.audit import row, seal
from gateway.audit.buckets import parsed
from gateway.audit.entry import Entry, EntryType, healed
from gateway.audit.files import judged, last_line, rebuilt_of
from gateway.audit.findings import Kind, Verdict
from gateway.audit.keyring import Keyring
from gateway.audit.leavings import Leaving, Placed, Sealed, Spoiled, Unplaced, journaled, logged
from gateway.audit.note import Ack, Void
from gateway.audit.prove import Place, Prover
from gateway.audit.rebuild import Rebuild
from gateway.model import CallKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.store.contract import TrailEntry

EACH = 300 if os.environ.get("SOAK") else 12
SYSTEM = b'"tenant":"gateway"'


def described(missing: int) -> Entry:
    return Entry(
        type=EntryType.TRAIL_REBUILT, tenant="gateway", call_id=None, op="o", node="n", node_ms=1, count=missing
    )


def placed(one: TrailEntry, *entries: bytes) -> Placed:
    return Placed(bucket=one.bucket, seq=one.seq, at=one.at, link=one.link, entries=entries or (one.entry,))


def sealed(book: Book) -> list[Leaving]:
    return [Sealed(line=line) for line in book.checkpoints]


def every(book: Book) -> list[TrailEntry]:
    return [one for rows in book.rows.values() for one in rows]


def rebuilt(leavings: Iterable[Leaving], *, until: int | None = None) -> tuple[Rebuild, bytes]:
    with tempfile.TemporaryDirectory() as shelf:
        rebuild = Rebuild(KEYRING, Path(shelf), until=until)
        rebuild.take(leavings)
        lines = b"".join(rebuild.lines(described, lambda: 7))
        digest = sha256(lines).hexdigest()
        return rebuild, lines + rebuild.ended(entries=lines.count(b"\n"), digest=digest, at=7)


def verdict(export: bytes, book: Book | None = None) -> Verdict:
    return judged(io.BytesIO(export), KEYRING, known=book.checkpoints if book else ())


def shaken(seed: int) -> tuple[Book, list[TrailEntry], Random]:
    """A sealed trail, and what of it is left."""
    random = Random(f"rebuilt{seed}")  # noqa: S311 -- a seed that a failure can be repeated with
    book = some_book(random, entries=random.randint(20, 120))
    book.seal()
    share = random.choice((0.5, 0.9, 1.0))
    left = [one for one in every(book) if random.random() < share]
    random.shuffle(left)
    return book, left, random


@pytest.mark.pci("10.3")
def test_what_is_left_is_whole_and_what_is_missing_is_named() -> None:
    """Whatever is left, in whatever order: it is accepted against every checkpoint, the number missing is right, each
    hole is one that was made, and what is there is there unchanged."""
    for seed in range(EACH):
        book, left, _ = shaken(seed)
        rebuild, export = rebuilt([*(placed(one) for one in left), *sealed(book)])
        found = verdict(export, book)
        assert found.whole, (seed, found)
        gone = {(one.bucket, one.seq) for one in every(book)} - {(one.bucket, one.seq) for one in left}
        holes = rebuilt_of(last_line(io.BytesIO(export))[0]) or {}
        named = {(n, seq) for n, some in holes.items() for one in some for seq in range(one.first, one.last + 1)}
        assert named == gone, seed
        assert rebuild.missing == len(gone)
        assert {row.line(one) for one in left} <= set(export.splitlines(keepends=True))


@pytest.mark.pci("10.3")
def test_an_edit_of_it_is_found() -> None:
    """Of any byte, though holes are owned up to."""
    for seed in range(EACH):
        book, left, random = shaken(seed)
        _, export = rebuilt([*(placed(one) for one in left), *sealed(book)])
        for _ in range(10):
            data = bytearray(export)
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            assert not verdict(bytes(data)).whole, seed


def test_an_edit_of_what_is_left_is_found() -> None:
    """A time that somebody has changed in the log is against the seals, an entry against its link, also behind a
    hole."""
    for seed in range(EACH):
        book, left, random = shaken(seed)
        victim = random.choice([one for one in left if SYSTEM not in one.entry])
        for changed in (
            Placed(bucket=victim.bucket, seq=victim.seq, at=victim.at + 1, link=victim.link, entries=(victim.entry,)),
            placed(victim, victim.entry.replace(b"agent-17", b"agent-18")),
        ):
            others = [placed(one) for one in left if one is not victim]
            _, export = rebuilt([*others, changed, *sealed(book)])
            holes = rebuilt_of(last_line(io.BytesIO(export))[0]) or {}
            if victim.bucket in holes:
                continue  # between a hole and the next checkpoint nothing can tell
            assert not verdict(export).whole, seed


def test_of_several_the_one_that_follows_counts() -> None:
    """Somebody puts another entry beside the true one: it follows from nothing. A number that was given anew after a
    loss is the later one's."""
    book, _, _ = shaken(1)
    forged = [placed(one, one.entry.replace(b"agent-17", b"agent-18"), one.entry) for one in every(book)]
    _, export = rebuilt([*forged, *sealed(book)])
    assert verdict(export).whole
    assert b"agent-18" not in export

    book = some_book(Random(5), entries=60)  # noqa: S311 -- the same every time
    book.seal()
    before = every(book)
    book.fall(max(book.rows, key=lambda number: len(book.rows[number]) if number else 0))
    book.write("call-1")
    book.seal()
    rebuild, export = rebuilt([*(placed(one) for one in (*before, *every(book))), *sealed(book)])
    assert verdict(export).whole, verdict(export)
    assert rebuild.missing == 0


def test_what_was_taken_away_in_order_is_no_hole() -> None:
    """The trail begins where the checkpoint says."""
    book, _, _ = shaken(2)
    book.trim()
    book.write("call-1")
    book.seal()
    rebuild, export = rebuilt([*(placed(one) for one in every(book)), *sealed(book)])
    assert rebuild.missing == 0
    assert verdict(export).whole


def test_what_no_store_has_taken_comes_last() -> None:
    """As late entries, chained; one that a store did take, late or not, does not come again. A log line that was
    masked gets the entry that follows there."""
    book, _, _ = shaken(3)
    new = some_entry(CallKey(tenant="acme", call_id="call-new"), "new", 1).canonical()
    rows = every(book)
    leavings = [placed(one) for one in rows[1:]] + sealed(book)
    masked = Placed(bucket=rows[0].bucket, seq=rows[0].seq, at=rows[0].at, link=rows[0].link, entries=())
    waiting = [Unplaced(entry=entry) for entry in (new, rows[0].entry, rows[5].entry)]
    rebuild, export = rebuilt([*waiting, masked, *leavings])
    assert rebuild.missing == 0
    assert verdict(export, book).whole
    lines = export.splitlines()
    assert lines[-4].endswith(healed(new)[1:])
    assert lines[-3].endswith(replace(described(1), reason="log-alone").canonical()[1:])
    assert lines[-2].endswith(described(0).canonical()[1:])
    assert len(lines) == len(rows) + 4
    assert rebuild.unvouched == 1
    rebuild, _ = rebuilt([*waiting, Unplaced(entry=new, keyed=True), masked, *leavings])
    assert rebuild.unvouched == 0


def test_what_came_after_the_loss_is_left_out() -> None:
    """An empty store begins anew: two histories contradict each other, until it is said when the first one ended."""
    first, second = some_book(Random(8), entries=30), some_book(Random(9), entries=30)  # noqa: S311 -- the same always
    second.at = first.at
    later = Book(at=first.at + 1_000)
    later.write("call-1")
    first.seal()
    later.seal()
    both = [placed(one) for one in (*every(first), *every(later))] + sealed(first) + sealed(later)
    rebuild, export = rebuilt(both)
    assert {one.kind for one in rebuild.findings} == {Kind.FORK}
    rebuild, export = rebuilt(both, until=first.at + 500)
    assert (rebuild.missing, rebuild.findings) == (0, ())
    assert verdict(export, first).whole


def test_checkpoints_of_strangers_count_for_nothing() -> None:
    """Nor what is none; without any the entries are there, unsealed."""
    book, _, _ = shaken(1)
    thief = Keyring.of(hmac_key=bytes(32), signing_key=OTHER_SEED)
    forged = [Sealed(line=thief.signer.line(seal.read(line).body())) for line in book.checkpoints]
    _, export = rebuilt([*(placed(one) for one in every(book)), *forged, Sealed(line=b"{}")])
    found = verdict(export)
    assert found.sealed == 0
    kinds = {one.kind for one in verdict(export, book).findings}
    assert Kind.ROLLED_BACK in kinds


def test_an_answer_is_proven_in_it(tmp_path: Path) -> None:
    """Also in a bucket with a hole before it; the number in the hole is not there."""
    book = Book()
    for _ in range(6):
        book.write("call-1")
        book.seal()
    left = [one for one in every(book) if one.seq != 2]
    _, export = rebuilt([*(placed(one) for one in left), *sealed(book)])
    (tmp_path / "t").write_bytes(export)
    one = left[-1]
    assert Prover(Place(bucket=one.bucket, seq=one.seq, link=one.link), KEYRING).file(tmp_path / "t").proven
    assert not Prover(Place(bucket=one.bucket, seq=2, link=one.link), KEYRING).file(tmp_path / "t").proven


# ── where it comes from ──


def test_the_log_is_read(tmp_path: Path) -> None:
    """Entries with their place, without one, masked; checkpoints; and nothing else, whatever it looks like. What is no
    entry, as one has to be, is counted."""
    one = some_entry(CallKey(tenant="acme", call_id="call-1"), "op1", 1).canonical()
    line = {"event": "entry.written", "bucket": 3, "seq": 7, "at": 5, "hash": "aa", "entry": one.decode()}
    each: list[object] = [
        line,
        {**line, "event": "entry.healed", "entry": '{"a":"****"}'},
        {**line, "event": "entry.found", "seq": 0},
        {"event": "entry.journaled", "entry": one.decode()},
        {"event": "entry.unwritten", "entry": '{"b":1}'},
        {**line, "entry": one.decode().replace("crm", "a free text")},
        {"event": "entry.unwritten", "entry": '{"b":"*"}'},
        {"event": "entry.unwritten", "entry": "no"},
        {"event": "seal.made", "seal": base64.b64encode(b"x").decode()},
        {"event": "seal.made", "seal": "?"},
        {"event": "entry.written"},
        {"event": "entries.lost"},
        ["entry.written"],
    ]
    (tmp_path / "log").write_bytes(b'"entry.\n\xff\n' + b"\n".join(map(orjson.dumps, each)))
    place = Placed(bucket=3, seq=7, at=5, link="aa", entries=(one,))
    unknown = Placed(bucket=3, seq=7, at=5, link="aa", entries=())
    assert list(logged(tmp_path / "log")) == [
        place,
        unknown,
        Unplaced(entry=one),
        *[Spoiled(text="lines of the log hold no entry as one has to be")] * 3,
        Sealed(line=b"x"),
    ]


async def test_the_journal_is_read(tmp_path: Path) -> None:
    """What the store has confirmed, with its place; what it lacks, unless it needed the store; of a journal under an
    earlier key too."""
    async with opened(made(tmp_path)) as _:
        pass
    journal = made(tmp_path)
    async with opened(journal):
        for op, needed in (("op1", False), ("op2", False), ("op3", True), ("op4", False)):
            assert await journal.write(note(op, needed=needed))
        journal.tell(Ack(op="op1", bucket=3, seq=9, link="cd" * 32, at=11))
        journal.tell(Void(op="op4"))
        journal.tell(Ack(op="other", bucket=3, seq=9, link="cd" * 32, at=11))
    ring = Keyring.of(hmac_key=bytes(32), signing_key=SEED, old_hmac_keys=[KEY])
    one, two = note("op1").entry, note("op2").entry
    assert list(journaled(tmp_path, ring)) == [
        Placed(bucket=3, seq=9, at=11, link="cd" * 32, entries=(one, healed(one)), keyed=True),
        Unplaced(entry=two, keyed=True),
    ]
    assert parsed(b"x") is None


async def test_a_journal_that_was_cut_is_a_finding(tmp_path: Path) -> None:
    """A line that is gone from the middle: the next one does not follow; what is left is read. A torn end is none."""
    journal = made(tmp_path)
    async with opened(journal):
        for op in ("op1", "op2", "op3"):
            assert await journal.write(note(op))
    ring = Keyring.of(hmac_key=KEY, signing_key=SEED)
    lines = only(tmp_path).read_bytes().splitlines(keepends=True)
    only(tmp_path).write_bytes(b"".join(lines) + b"torn")
    assert not [one for one in journaled(tmp_path, ring) if isinstance(one, Spoiled)]
    only(tmp_path).write_bytes(b"".join(line for line in lines if b'"op2"' not in line))
    found = [one for one in journaled(tmp_path, ring) if isinstance(one, Spoiled)]
    assert found == [Spoiled(text=f"lines do not follow in {only(tmp_path).name}")]
    rebuild, _ = rebuilt(found)
    assert [one.kind for one in rebuild.findings] == [Kind.UNREADABLE]
