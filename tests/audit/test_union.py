"""Journal and trail together: the journal's own chain, and that the trail has what the journal says the store took."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from books import Book, some_book
from notes import KEY, files, made, note, opened
from trails import KEYRING

from gateway.audit.files import verify_file
from gateway.audit.findings import Kind
from gateway.audit.keyring import Keyring
from gateway.audit.note import Ack
from gateway.audit.union import Journals, is_journal, journal_in, read_all
from gateway.cli.witnesses import Witnesses, due_in_file

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.findings import Verdict

RING = Keyring.of(hmac_key=KEY, signing_key=bytes(range(32, 64)), old_hmac_keys=[bytes(32)])
EDITS = 2_000 if os.environ.get("SOAK") else 150


def read(*paths: Path) -> Journals:
    return read_all(paths, RING)


def kinds(*paths: Path) -> set[Kind]:
    return {one.kind for one in read(*paths).findings.kept}


async def filled(directory: Path, *, segment_bytes: int = 2_000) -> None:
    """Several files of one writer: steps that the store took, one that it did not, one that was void."""
    journal = made(directory, segment_bytes=segment_bytes)
    async with opened(journal):
        for number in range(20):
            await journal.write(note(f"op{number}"))
            journal.tell(Ack(op=f"op{number}", bucket=3, seq=number + 1, link="ab" * 32, at=5))
        await journal.write(note("waits"))


async def test_a_journal_is_whole(tmp_path: Path) -> None:
    """File after file, also two writers' and one file alone; what the store is not known to have is counted."""
    await filled(tmp_path)
    other, first = made(tmp_path), made(tmp_path)
    async with opened(first), opened(other):
        await other.write(note("elsewhere"))
    journal = files(tmp_path, "0-*.jsonl")
    assert len(journal) > 3
    found = read(tmp_path)
    assert found.findings.kept == []
    assert (found.entries, found.waiting, len(found.acked)) == (22, 2, 20)
    assert all(not read(one).findings.wrong for one in journal)
    assert is_journal(tmp_path)
    assert is_journal(journal[0])
    assert not is_journal(tmp_path / "0.lock")
    assert not is_journal(tmp_path.parent)


async def test_a_journal_is_found(tmp_path: Path) -> None:
    """Itself, one of its files, and the directory that a gateway has it in; elsewhere is none."""
    await filled(tmp_path / "journal")
    (one, *_) = files(tmp_path / "journal", "0-*.jsonl")
    assert journal_in(tmp_path) == journal_in(tmp_path / "journal") == tmp_path / "journal"
    assert journal_in(one) == one
    assert journal_in(tmp_path.parent) is None
    assert journal_in(tmp_path / "none") is None


@pytest.mark.pci("10.3")
async def test_whatever_is_changed_in_a_journal_is_found(tmp_path: Path) -> None:
    """A byte, a line left out, doubled or moved, a file that is gone or in another's place. Only what looks like a
    crash is none: the newest file without its end."""
    await filled(tmp_path)
    journal = files(tmp_path, "0-*.jsonl")
    kept = {path: path.read_bytes() for path in journal}
    random = Random(1)  # noqa: S311 -- the same every time
    for seed in range(EDITS):
        path = random.choice(journal)
        data = bytearray(kept[path])
        lines = kept[path].splitlines(keepends=True)
        one, two = random.randrange(len(lines) - 1), random.randrange(len(lines))
        match seed % 4:
            case 0:
                data[random.randrange(len(data) - 1)] ^= 1 << random.randrange(8)
            case 1:
                data[:] = b"".join(lines[:one] + lines[one + 1 :])
            case 2:
                data[:] = b"".join([*lines[: two + 1], lines[one], *lines[two + 1 :]])
            case _:
                lines[one], lines[two] = lines[two], lines[one]
                data[:] = b"".join(lines)
        if bytes(data) != kept[path]:
            path.write_bytes(bytes(data))
            assert kinds(tmp_path), (seed, path.name)
            path.write_bytes(kept[path])
    for path, other in zip(journal[1:], journal, strict=False):
        path.write_bytes(kept[other])
        assert kinds(tmp_path), path.name
        path.write_bytes(kept[path])
    for path in journal[1:-1]:
        path.unlink()
        assert kinds(tmp_path) == {Kind.HOLE}
        path.write_bytes(kept[path])
    assert not kinds(tmp_path)


async def test_what_a_crash_leaves_is_said_and_no_finding(tmp_path: Path) -> None:
    """Half a line at the end, what was put aside, and files that were dropped."""
    await filled(tmp_path)
    journal = files(tmp_path, "0-*.jsonl")
    journal[-1].write_bytes(journal[-1].read_bytes()[:-10])
    journal[0].unlink()
    journal[0].with_suffix(".torn").write_bytes(b"x")
    found = read(tmp_path)
    assert not found.findings.wrong
    assert [
        next(word for word in ("no end", "put aside", "it begins with line") if word in text)
        for text in sorted(found.notes, key=lambda text: ("it begins" in text, "put aside" in text))
    ] == ["no end", "put aside", "it begins with line"]
    journal[1].write_bytes(journal[1].read_bytes()[:-10])
    assert kinds(tmp_path) == {Kind.EDITED, Kind.HOLE}


async def test_a_journal_of_another_key_has_no_line(tmp_path: Path) -> None:
    """Old keys count, strangers' do not; nothing is not whole."""
    await filled(tmp_path)
    strange = Keyring.of(hmac_key=bytes(range(1, 33)), signing_key=bytes(range(32, 64)))
    assert {one.kind for one in read_all([tmp_path], strange).findings.kept} == {Kind.UNREADABLE}
    old = Keyring.of(hmac_key=bytes(range(1, 33)), signing_key=bytes(range(32, 64)), old_hmac_keys=[KEY])
    assert not read_all([tmp_path], old).findings.wrong


# ── beside the trail ──


async def journal_of(book: Book, directory: Path) -> None:
    """What a gateway's journal has of this trail."""
    journal = made(directory, key=KEYRING.chain.key)
    async with opened(journal):
        for rows in book.rows.values():
            for one in (one for one in rows if b'"call_id"' in one.entry):
                op = f"{one.bucket}-{one.seq}"
                await journal.write(note(op, bucket=one.bucket))
                journal.tell(Ack(op=op, bucket=one.bucket, seq=one.seq, link=one.link, at=one.at))


def held(book: Book, directory: Path, *, begun: int | None = None) -> Verdict:
    """An honest export, held against the journal."""
    file, witnesses = directory.parent / "trail.jsonl", Witnesses()
    file.write_bytes(book.export(begun=begun))
    witnesses.read_journals([directory], KEYRING)
    return witnesses.judged(verify_file(file, KEYRING, good=witnesses.union.saw), due_in_file(file))


@pytest.mark.pci("10.3")
async def test_a_store_put_back_is_found_by_the_journal(tmp_path: Path) -> None:
    """The store's owner puts all of it back, seals included, or empties a trail that is consistent in itself: the
    gateway's journal knows what stood there. An export that was made before is no such thing, nor is trimming."""
    book = some_book(Random(2), entries=30)  # noqa: S311 -- the same every time
    book.seal()
    early, before = book.copy(), book.at
    book.at += 60_000
    for number in range(8):
        book.write(f"call-{number}")
    book.seal()
    journal = tmp_path / "journal"
    await journal_of(book, journal)
    assert held(book, journal, begun=book.at).whole
    first = held(early, journal, begun=before)
    assert first.whole, first
    assert "8 of them are not of the time that this has" in first.notes
    late = held(early, journal, begun=book.at + 60_000)
    assert [one.kind for one in late.findings] == 8 * [Kind.HOLE]
    assert {one.kind for one in held(Book(), journal, begun=book.at + 60_000).findings} == {Kind.HOLE}
    trimmed = book.copy()
    trimmed.trim()
    assert held(trimmed, journal, begun=book.at + 60_000).whole
    number = next(number for number, rows in book.rows.items() if number and rows)
    other = book.copy()
    other.rows[number][0] = replace(other.rows[number][0], link="ab" * 32)
    assert Kind.HOLE in {one.kind for one in held(other, journal).findings}
    file = tmp_path / "trail.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    assert not due_in_file(file)(Ack(op="x", bucket=1, seq=1, link="", at=1))
