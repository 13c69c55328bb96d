"""Whoever has no key cannot change the trail unseen: not the file, not the store before it is exported."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest
from books import Book, changed, some_book
from judges import both, verdict
from trails import KEYRING, OTHER_SEED, SEED

from gateway.audit import row, seal
from gateway.audit.chain import link
from gateway.audit.entry import EntryType
from gateway.audit.findings import Kind
from gateway.audit.keyring import Keyring
from gateway.audit.seal import Head

if TYPE_CHECKING:
    from collections.abc import Callable


SOAK = bool(os.environ.get("SOAK"))
EACH = int(os.environ.get("TAMPERS", "4000" if SOAK else "330"))
THIEF = Keyring.of(hmac_key=bytes(32), signing_key=OTHER_SEED)


@cache
def book() -> Book:
    """Twenty calls over many buckets, taken over once, sealed to the last entry."""
    made = some_book(Random(1), entries=60)  # noqa: S311 -- the same one every time
    made.seal()
    made.system(EntryType.SEAL_STARTED, checkpoint=made.number)
    made.seal()
    assert both(made.export()).whole
    return made


@cache
def export() -> bytes:
    return book().export()


# ── the file ──


def flip(data: bytearray, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def overwrite(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data))
    data[at] = (data[at] + random.randrange(1, 256)) % 256


def delete(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randint(1, 40)]


def insert(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.randint(1, 40))


def truncate(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def in_lines(edit: Callable[[list[bytes], Random], None]) -> Callable[[bytearray, Random], None]:
    def edited(data: bytearray, random: Random) -> None:
        lines = bytes(data).splitlines(keepends=True)
        edit(lines, random)
        data[:] = b"".join(lines)

    return edited


def drop_line(lines: list[bytes], random: Random) -> None:
    del lines[random.randrange(len(lines))]


def double_line(lines: list[bytes], random: Random) -> None:
    lines.insert(random.randrange(len(lines) + 1), random.choice(lines))


def swap_lines(lines: list[bytes], random: Random) -> None:
    one, other = random.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]


def move_line(lines: list[bytes], random: Random) -> None:
    one, other = random.sample(range(len(lines)), 2)
    lines.insert(other, lines.pop(one))


def blank_line(lines: list[bytes], random: Random) -> None:
    lines.insert(random.randrange(len(lines) + 1), random.choice((b"\n", b"{}\n", b"\r\n")))


FILE_EDITS = {
    "flip": flip,
    "overwrite": overwrite,
    "delete": delete,
    "insert": insert,
    "truncate": truncate,
    "drop": in_lines(drop_line),
    "double": in_lines(double_line),
    "swap": in_lines(swap_lines),
    "move": in_lines(move_line),
    "blank": in_lines(blank_line),
}


@pytest.mark.pci("10.3")
@pytest.mark.parametrize("kind", FILE_EDITS)
def test_an_edited_file_is_found(kind: str) -> None:
    """Every edit of the bytes and of the lines of an export, by both verifiers."""
    for seed in range(EACH):
        data = bytearray(export())
        FILE_EDITS[kind](data, Random(f"{kind}{seed}"))  # noqa: S311 -- a seed that a failure can be repeated with
        if bytes(data) != export():
            assert not both(bytes(data)).whole, seed


# ── the store, before an honest export ──


def pick(made: Book, random: Random, *, most: int = 10**9) -> tuple[int, int]:
    """A row: its bucket, its index."""
    number = random.choice([number for number, rows in made.rows.items() if rows and len(rows) <= most])
    return number, random.randrange(len(made.rows[number]))


def edit_entry(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    data = bytearray(made.rows[number][index].entry)
    at = random.randrange(1, len(data) - 1)
    data[at] = random.choice([byte for byte in b'abcxyz0189":,{}' if byte != data[at]])
    changed(made, number, index, entry=bytes(data))


def edit_member(made: Book, random: Random) -> None:
    """Readable, and another statement."""
    number, index = pick(made, random)
    members = orjson.loads(made.rows[number][index].entry)
    name = random.choice(sorted(members))
    members[name] = {"true": False}.get(str(members[name]).lower(), f"{members[name]}x")
    changed(made, number, index, entry=orjson.dumps(members, option=orjson.OPT_SORT_KEYS))


def edit_link(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    was = made.rows[number][index].link
    at = random.randrange(64)
    changed(made, number, index, link=was[:at] + ("0" if was[at] != "0" else "1") + was[at + 1 :])


def edit_time(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    moved = made.rows[number][index].at + random.choice((-1, 1)) * random.randint(1, 10**9)
    changed(made, number, index, at=moved)


def edit_number(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    changed(made, number, index, seq=made.rows[number][index].seq + random.randint(1, 9))


def delete_row(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    del made.rows[number][index]


def delete_and_close_up(made: Book, random: Random) -> None:
    """The later ones get the numbers that are free now, and the counter too."""
    number, index = pick(made, random)
    del made.rows[number][index]
    made.numbers[number] -= 1
    made.rows[number] = [replace(one, seq=seq + 1) for seq, one in enumerate(made.rows[number])]


def insert_row(made: Book, random: Random) -> None:
    """An entry of their own, chained with a key of their own, in the middle."""
    number, index = pick(made, random)
    one = made.rows[number][index]
    forged = replace(one, link=link(bytes(32), one.link, one.entry))
    made.rows[number].insert(index, forged)
    made.numbers[number] += 1
    made.rows[number] = [replace(one, seq=seq + 1) for seq, one in enumerate(made.rows[number])]


def append_row(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    made.numbers[number] += 1
    made.rows[number].append(replace(made.rows[number][index], seq=made.numbers[number]))


def swap_rows(made: Book, random: Random) -> None:
    """The entries change places; the numbers stay in order."""
    number = random.choice([number for number, rows in made.rows.items() if len(rows) > 1])
    rows = made.rows[number]
    one, other = random.sample(range(len(rows)), 2)
    first, second = rows[one], rows[other]
    rows[one], rows[other] = replace(second, seq=first.seq), replace(first, seq=second.seq)


def move_row(made: Book, random: Random) -> None:
    """To another bucket, under its next number."""
    number, index = pick(made, random)
    one = made.rows[number].pop(index)
    other = random.choice([other for other in made.rows if other != number])
    made.numbers[other] += 1
    made.rows[other].append(replace(one, bucket=other, seq=made.numbers[other]))


def cut_tail(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    del made.rows[number][index:]


def cut_tail_and_counter(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    del made.rows[number][index:]
    made.numbers[number] = made.rows[number][-1].seq if made.rows[number] else 0


def cut_beginning(made: Book, random: Random) -> None:
    number, index = pick(made, random)
    del made.rows[number][: index + 1]


def empty(made: Book, random: Random) -> None:
    """`XADD … MAXLEN 0`."""
    number, _ = pick(made, random)
    made.rows[number].clear()


def empty_and_refill(made: Book, random: Random) -> None:
    """The bucket is emptied, and what comes next goes on numbering."""
    number, _ = pick(made, random)
    made.rows[number].clear()
    call = next(key for key in made.calls if not isinstance(key, int))
    made.calls = dict.fromkeys(made.calls, "")
    made.write(call.call_id, tenant=call.tenant)


def rechain(made: Book, random: Random) -> None:
    """A bucket is written anew with another key."""
    number, index = pick(made, random)
    before = ""
    for at, one in enumerate(made.rows[number]):
        if at >= index:
            changed(made, number, at, link=link(bytes(32), before, one.entry))
        before = made.rows[number][at].link


def forge_checkpoint(made: Book, random: Random) -> None:
    """A row is changed, and everything sealed anew with another key."""
    edit_time(made, random)
    made.heads = {
        number: seal.extended(Head(), map(row.line, rows), rows[-1].seq) for number, rows in made.rows.items() if rows
    }
    forged = replace(seal.read(made.checkpoints[-1]), root=seal.root(made.heads))
    if random.random() < 0.5:
        forged = replace(forged, key=THIEF.signer.id)
    made.checkpoints[-1] = THIEF.signer.line(forged.body())


def edit_checkpoint(made: Book, random: Random) -> None:
    line = bytearray(made.checkpoints[-1])
    line[random.randrange(len(line))] ^= 1 << random.randrange(7)
    made.checkpoints[-1] = bytes(line)


def edit_heads(made: Book, random: Random) -> None:
    number = random.choice(list(made.heads))
    head = made.heads[number]
    made.heads = {**made.heads, number: replace(head, seq=head.seq - 1)}


def drop_heads(made: Book, random: Random) -> None:
    made.heads = {}
    edit_time(made, random)


def drop_seals(made: Book, random: Random) -> None:
    """Begun anew: the next sealer seals what it finds, and writes down where it began."""
    edit_time(made, random)
    made.checkpoints, made.heads, made.number = [], {}, 0
    made.seal()
    made.system(EntryType.SEAL_STARTED, checkpoint=1)
    while random.random() < 0.5 or made.number < book().number:
        made.seal()


def delete_seals(made: Book, random: Random) -> None:
    """All of them, so that nothing holds the calls that are cut off then."""
    made.checkpoints, made.heads, made.number = [], {}, 0
    number = random.choice([number for number, rows in made.rows.items() if number and rows])
    del made.rows[number][random.randrange(len(made.rows[number])) :]
    made.numbers[number] = len(made.rows[number])


def older_seal(made: Book, random: Random) -> None:
    """The newest checkpoints are gone, and the heads are those of an older one."""
    keep = random.randint(1, made.number - 2)
    heads: dict[int, Head] = {}
    for line in made.checkpoints[:keep]:
        heads |= seal.read(line).heads
    made.checkpoints, made.heads, made.number = made.checkpoints[:keep], heads, keep


STORE_EDITS = {
    edit.__name__: edit
    for edit in (
        edit_entry,
        edit_member,
        edit_link,
        edit_time,
        edit_number,
        delete_row,
        delete_and_close_up,
        insert_row,
        append_row,
        swap_rows,
        move_row,
        cut_tail,
        cut_tail_and_counter,
        cut_beginning,
        empty,
        empty_and_refill,
        rechain,
        forge_checkpoint,
        edit_checkpoint,
        edit_heads,
        drop_heads,
        delete_seals,
        drop_seals,
        older_seal,
    )
}
PUT_BACK = {edit.__name__: edit for edit in (delete_seals, drop_seals, older_seal)}


def meddled(edit: Callable[[Book, Random], None], seed: int) -> bytes:
    made = book().copy()
    edit(made, Random(f"{edit.__name__}{seed}"))  # noqa: S311 -- a seed that a failure can be repeated with
    return made.export()


@pytest.mark.pci("10.3")
@pytest.mark.parametrize("kind", STORE_EDITS)
def test_an_edited_store_is_found(kind: str) -> None:
    """Every change of what is sealed, though the export of it is honestly made and signed."""
    for seed in range(EACH):
        assert not both(meddled(STORE_EDITS[kind], seed)).whole, seed


@pytest.mark.pci("10.3")
@pytest.mark.parametrize("kind", PUT_BACK)
def test_seals_that_were_put_back_are_found(kind: str) -> None:
    """By what the sealers wrote down into the trail."""
    for seed in range(EACH // 4):
        found = verdict(meddled(PUT_BACK[kind], seed))
        assert Kind.ROLLED_BACK in {one.kind for one in found.findings}, seed


def test_a_trail_without_seals_is_whole_while_it_is_young() -> None:
    """Before its first checkpoint; entries that lay there for longer than a minute had one."""
    made = Book()
    for _ in range(3):
        made.write("call-1")
    assert both(made.export()).whole
    made.at += 60_000
    made.write("call-1")
    assert [one.kind for one in both(made.export()).findings] == [Kind.ROLLED_BACK]


def test_seals_that_were_begun_anew_are_found() -> None:
    """The sealer that began them says how many entries it found without; and what a checkpoint seals was not there
    after it."""
    made = Book()
    made.write("call-1")
    made.seal()
    made.system(EntryType.SEAL_STARTED, checkpoint=1, count=1)
    made.seal()
    assert [one.kind for one in both(made.export()).findings] == [Kind.ROLLED_BACK]
    made = Book()
    made.system(EntryType.SEAL_STARTED, checkpoint=1)
    made.seal()
    assert [one.kind for one in both(made.export()).findings] == [Kind.ROLLED_BACK]


# ── what is said ──


def test_the_first_bad_number_is_named() -> None:
    """Of an entry that was changed, one that is missing and one that comes twice: bucket and number."""
    number = max(book().rows, key=lambda one: len(book().rows[one]) if one else 0)
    made = book().copy()
    changed(made, number, 1, entry=made.rows[number][1].entry.replace(b"agent-17", b"agent-18"))
    first = verdict(made.export()).findings[0]
    assert (first.kind, first.bucket, first.seq) == (Kind.EDITED, number, 2)
    made = book().copy()
    del made.rows[number][1]
    first = verdict(made.export()).findings[0]
    assert (first.kind, first.bucket, first.seq) == (Kind.HOLE, number, 2)
    assert "1 missing" in first.text()
    assert f"bucket {number}, number 2" in first.text()
    made = book().copy()
    made.rows[number].insert(1, made.rows[number][0])
    first = verdict(made.export()).findings[0]
    assert (first.kind, first.bucket, first.seq) == (Kind.ORDER, number, 1)


def test_a_store_put_back_whole_is_found_against_what_is_known_elsewhere() -> None:
    """An older state of everything, seals included, is consistent in itself; a later checkpoint from the log stream
    or from an earlier export shows what is gone. One signed by a stranger shows nothing."""
    older, newer = some_book(Random(2), entries=30), some_book(Random(2), entries=30)  # noqa: S311 -- the same twice
    older.seal()
    newer.seal()
    newer.write("call-1")
    newer.seal()
    assert verdict(older.export()).whole
    kinds = {one.kind for one in verdict(older.export(), known=newer.checkpoints).findings}
    assert kinds == {Kind.ROLLED_BACK, Kind.TRUNCATED}
    assert verdict(newer.export(), known=newer.checkpoints).whole
    body = seal.read(newer.checkpoints[-1]).body()
    assert verdict(older.export(), known=[THIEF.signer.line(body), b"{}"]).whole


def test_seals_made_after_an_export_bind_what_it_has() -> None:
    """They are no rollback; an entry that they sealed is held against them. Those made before it are a rollback."""
    made = some_book(Random(2), entries=30)  # noqa: S311 -- the same twice
    made.seal()
    early = made.copy()
    begun, made.at = made.at, made.at + 60_000
    for _ in range(3):
        made.write("call-1")
        made.seal()
    found = verdict(early.export(begun=begun), known=made.checkpoints)
    assert found.whole, found
    assert found.notes == (f"it ends at checkpoint {early.number}, and {made.number} is known, made later",)
    late = verdict(early.export(begun=made.at + 60_000), known=made.checkpoints)
    assert {one.kind for one in late.findings} == {Kind.ROLLED_BACK, Kind.TRUNCATED}
    early.checkpoints, early.heads, early.number = early.checkpoints[:-1], {}, 0
    number, index = pick(early, Random(1))  # noqa: S311 -- the same every time
    early.write("call-1")
    changed(early, number, index, at=1)
    assert Kind.SEAL in {one.kind for one in verdict(early.export(begun=begun), known=made.checkpoints).findings}


def test_checkpoints_that_contradict_each_other_are_found() -> None:
    """Two histories from one checkpoint on: one in the store, the other in the log."""
    one, other = some_book(Random(3), entries=30), some_book(Random(3), entries=30)  # noqa: S311 -- the same twice
    for made, call in ((one, "call-1"), (other, "call-1")):
        made.at += made is one
        made.write(call)
        made.seal()
    assert verdict(one.export()).whole
    assert Kind.FORK in {found.kind for found in verdict(one.export(), known=other.checkpoints).findings}


def test_a_loss_is_a_rollback_unless_every_entry_came_back() -> None:
    """The sealer says that sealed entries are gone; those that the journal brought back explain it."""
    made = some_book(Random(5), entries=60)  # noqa: S311 -- the same every time
    made.seal()
    number = max(made.rows, key=lambda one: len(made.rows[one]) if one else 0)
    gone = made.copy()
    made.fall(number)
    back = verdict(made.export())
    assert back.whole
    assert any("all of them came back" in note for note in back.notes)
    gone.fall(number, back=False)
    assert [one.kind for one in verdict(gone.export()).findings] == [Kind.ROLLED_BACK]


def test_an_old_key_is_not_taken_for_ever() -> None:
    """Entries that an old key chained are good; a day after the new one was first in use no more are."""
    old = Keyring.of(hmac_key=bytes(range(64, 96)), signing_key=SEED)
    ring = Keyring.of(hmac_key=KEYRING.chain.key, signing_key=SEED, old_hmac_keys=[old.chain.key])
    made = some_book(Random(6), keyring=old)  # noqa: S311 -- the same every time
    made.rotate(KEYRING)
    made.seal()
    made.keyring = old
    made.write("late-pod")
    made.keyring = KEYRING
    assert verdict(made.export(), ring).whole
    made.keyring = old
    made.at += 25 * 3_600_000
    made.write("thief")
    made.keyring = KEYRING
    made.seal()
    assert [one.kind for one in verdict(made.export(), ring).findings] == [Kind.OUTDATED_KEY]


def test_at_most_so_many_findings_are_kept() -> None:
    """A wrong key makes every entry wrong: all are counted, the first hundred are told."""
    made = some_book(Random(7), entries=150)  # noqa: S311 -- the same every time
    found = verdict(made.export(), Keyring.of(hmac_key=bytes(32), signing_key=SEED))
    assert found.wrong >= 150
    assert len(found.findings) == 100


def test_base64_in_the_last_line_is_what_was_signed() -> None:
    """The checkpoint travels as its very bytes."""
    last = orjson.loads(export().splitlines()[-1])
    assert base64.b64decode(last["checkpoint"]) == book().checkpoints[-1]
