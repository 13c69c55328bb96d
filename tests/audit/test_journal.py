"""The journal: what it said is on disk can be read again, whatever happens; trouble is said and no exception."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from notes import files, made, note, only, opened, recalled

from gateway.audit.device import NoJournal
from gateway.audit.journal import Journal
from gateway.audit.note import Ack, Kept, Void

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gateway.audit.device import Recalled
    from gateway.audit.note import Line


ACK = Ack(op="op1", bucket=3, seq=7, link="ab" * 32)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not a hanging disk."""
    monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 10.0)
    monkeypatch.setattr("gateway.audit.journal.PROBE_SECONDS", 10**9)


@pytest.fixture(autouse=True)
def said() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged; kept in memory, since a full disk is full for the test's own output too."""
    with structlog.testing.capture_logs() as logged:
        yield logged


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.01)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: the kernel itself says no."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heeded = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heeded)


async def test_what_was_written_is_recalled(tmp_path: Path) -> None:
    """A note that was said to be written is there for the next process, byte for byte, in order."""
    notes = [note("op1"), note("op2", call_id="c2")]
    async with opened(made(tmp_path)) as before:
        assert before.notes == ()
    journal = made(tmp_path)
    async with opened(journal):
        for one in notes:
            assert await journal.write(one)
    found = await recalled(tmp_path)
    assert found.notes == tuple(notes)
    assert [kept.state for kept in found.states] == [one.state for one in notes]


async def test_what_the_store_has_is_not_recalled(tmp_path: Path) -> None:
    """Acknowledged and void steps are nobody's business after a restart; the newest acknowledgement is known."""
    journal = made(tmp_path)
    async with opened(journal):
        for one in (note("op1"), note("op2"), note("op3")):
            await journal.write(one)
        journal.tell(ACK)
        journal.tell(Void(op="op2"))
        assert journal.acked() == {3: (ACK,)}
    after = made(tmp_path)
    async with opened(after) as found:
        assert [one.op for one in found.notes] == ["op3"]
        assert after.acked() == {3: (ACK,)}
        after.disown(3, {ACK.op, "unknown"})
        after.disown(4, {ACK.op})
        assert after.acked() == {}


async def test_a_step_written_again_counts_once(tmp_path: Path) -> None:
    """The newest note of an operation is the one that counts."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1", text="guess"))
        await journal.write(note("op2"))
        await journal.write(note("op1", text="truth"))
    found = await recalled(tmp_path)
    assert [one.op for one in found.notes] == ["op2", "op1"]
    assert b"truth" in found.notes[1].entry


async def test_an_unmute_counts_when_the_store_has_it(tmp_path: Path) -> None:
    """A needed step that would close the redaction leaves it open until the store has taken it, across restarts."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
        await journal.write(note("op2", needed=True, open_=False))
        assert len(journal.states(3)) == 1
        journal.tell(Void(op="op2"))
        await journal.write(note("op3", needed=True, open_=False))
    after = made(tmp_path)
    async with opened(after) as found:
        assert len(found.states) == 1
        assert [one.op for one in found.notes if one.needed] == ["op3"]
        after.tell(Ack(op="op3", bucket=3, seq=9, link="cd" * 32))
        assert after.states(3) == ()
    assert (await recalled(tmp_path)).states == ()


async def test_a_redaction_known_to_be_over_is_forgotten(tmp_path: Path) -> None:
    """Somebody else closed it."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
        journal.forget("acme", "c1")
        journal.forget("acme", "never-seen")
        assert journal.states(3) == ()


async def test_whoever_waits_together_is_synced_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred notes at once take a few syncs, and each is on disk before its writer is told."""
    synced: list[int] = []
    real = os.fdatasync

    def counted(fd: int) -> None:
        real(fd)
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", counted)
    journal = made(tmp_path)
    async with opened(journal):
        await until(lambda: b'"probe"' in only(tmp_path).read_bytes() and len(synced) > 0)
        before = len(synced)
        assert all(await asyncio.gather(*(journal.write(note(f"op{n}")) for n in range(100))))
        file = only(tmp_path)
        assert synced[-1] == file.stat().st_size
        assert len(synced) - before < 10


async def test_every_cut_leaves_what_came_before(tmp_path: Path) -> None:
    """Power lost at any byte of the last line: the lines before it are recalled, the rest is put aside, and the
    next note follows from them."""
    whole = tmp_path / "whole"
    journal = made(whole)
    async with opened(journal):
        for op in ("op1", "op2"):
            await journal.write(note(op))
    file = only(whole)
    data = file.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(data), 23):
        cut = tmp_path / f"cut{end}"
        cut.mkdir()
        (cut / file.name).write_bytes(data[:end])
        after = made(cut)
        async with opened(after) as found:
            assert [one.op for one in found.notes] == ["op1"]
            assert await after.write(note("op3"))
        assert [one.op for one in (await recalled(cut)).notes] == ["op1", "op3"]
        torn = [path.read_bytes() for path in cut.glob("*.torn")]
        assert torn == ([data[last:end]] if end > last else [])


async def test_a_file_without_a_good_line_is_put_aside(tmp_path: Path) -> None:
    """The newest file was made and nothing of it reached the disk: the one before it goes on."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
    (tmp_path / "0-0000000000000099.jsonl").write_bytes(b"\0" * 50)
    after = made(tmp_path)
    async with opened(after) as found:
        assert [one.op for one in found.notes] == ["op1"]
        assert await after.write(note("op2"))
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1", "op2"]


async def test_a_changed_line_is_not_believed(tmp_path: Path, said: list[structlog.typing.EventDict]) -> None:
    """A byte changed in the middle: that note is not recalled, those around it are, and it is said."""
    journal = made(tmp_path)
    async with opened(journal):
        for op in ("op1", "op2", "op3"):
            await journal.write(note(op))
    file = only(tmp_path)
    file.write_bytes(
        file.read_bytes().replace(b'"text":"x","op":"op2"', b"").replace(b'"op2","text":"x"', b'"op2","text":"y"')
    )
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1", "op3"]
    assert "journal.broken" in [line["event"] for line in said]


async def test_garbage_between_lines_is_skipped(tmp_path: Path, said: list[structlog.typing.EventDict]) -> None:
    """A line of nonsense, one that is no object, one of no type of ours: none is taken for a note."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
        await until(lambda: journal.up)
    file = only(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"nonsense\n", b"[1]\n", b'{"type":"other"}\n', *lines[1:]]))
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1"]
    assert {"event": "journal.broken", "file": file.name, "lines": 3, "log_level": "error"} in said


async def test_a_line_left_out_is_noticed(tmp_path: Path, said: list[structlog.typing.EventDict]) -> None:
    """Without a line the one after it does not follow: it is not believed, and it is said."""
    journal = made(tmp_path)
    async with opened(journal):
        for op in ("op1", "op2", "op3"):
            await journal.write(note(op))
    file = only(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    (second,) = (at for at, line in enumerate(lines) if b'"note","op":"op2"' in line)
    file.write_bytes(b"".join(lines[: second - 1] + lines[second:]))
    found = [one.op for one in (await recalled(tmp_path)).notes]
    assert "op2" not in found
    assert "op3" in found
    assert "journal.broken" in [line["event"] for line in said]


async def test_another_key_recalls_nothing(tmp_path: Path) -> None:
    """Lines made with another key are not ours."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
    other = Journal(tmp_path, key=b"other", ms=lambda: 5, metrics=journal._metrics)
    async with opened(other) as found:
        assert found.notes == ()


async def test_a_full_disk_is_a_device_that_is_down(tmp_path: Path) -> None:
    """No room at all: False, again and again; when there is room it goes on by itself, the chain whole."""
    journal = made(tmp_path)
    async with opened(journal):
        assert await journal.write(note("op1"))
        with full_disk(10):
            assert not await journal.write(note("op2"))
            assert not journal.up
            assert not await journal.write(note("op3"))
        await until(lambda: journal.up)
        assert await journal.write(note("op4"))
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1", "op4"]


async def test_half_a_line_is_cut(tmp_path: Path) -> None:
    """Room for half a line: it was not written, and what comes next follows from the line before."""
    journal = made(tmp_path)
    async with opened(journal):
        assert await journal.write(note("op1"))
        await until(lambda: b'"probe"' in only(tmp_path).read_bytes())
        with full_disk(only(tmp_path).stat().st_size + 100):
            assert not await journal.write(note("op2"))
        await until(lambda: journal.up)
        assert await journal.write(note("op3"))
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1", "op3"]
    assert [path.stat().st_size for path in files(tmp_path, "*.torn")] == [100]


async def test_a_removed_directory_is_made_again(tmp_path: Path) -> None:
    """Somebody deletes it under our hands: the next note stands in a new file, nothing is written into the void."""
    directory = tmp_path / "journal"
    journal = made(directory)
    async with opened(journal):
        assert await journal.write(note("op1"))
        shutil.rmtree(directory)
        assert await journal.write(note("op2"))
        assert journal.up
    assert [one.op for one in (await recalled(directory)).notes] == ["op2"]


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_removed_file_is_noticed_without_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    """Health is what can be read again under its name: another file in its place is not it, nor is none; the
    next line begins anew."""
    monkeypatch.setattr("gateway.audit.journal.PROBE_SECONDS", 0.0)
    journal = made(tmp_path)
    async with opened(journal):
        file = only(tmp_path)
        held = tmp_path / "held"
        held.hardlink_to(file)
        file.unlink()
        if replaced:
            file.write_text("somebody else's")
        await until(lambda: not journal.up)
        await until(lambda: journal.up)


async def test_a_journal_that_cannot_be_is_down_and_comes_by_itself(tmp_path: Path) -> None:
    """A file in the directory's place at the start: down, tried again, up when the way is free."""
    directory = tmp_path / "journal"
    directory.write_text("in the way")
    journal = made(directory)
    async with opened(journal) as found:
        assert found.notes == ()
        assert not journal.up
        assert not await journal.write(note("op1"))
        directory.unlink()
        await until(lambda: journal.up)
        assert await journal.write(note("op2"))


async def test_what_cannot_be_read_at_the_start_is_read_later(tmp_path: Path) -> None:
    """Nothing is written before that; then whoever asked for it is given what the process before left behind."""
    directory, aside = tmp_path / "journal", tmp_path / "aside"
    async with opened(made(directory)) as _:
        pass
    before = made(directory)
    async with opened(before):
        assert await before.write(note("op1"))
    directory.rename(aside)
    directory.write_text("in the way")
    journal = made(directory)
    given: list[Recalled] = []
    journal.recalled = given.append
    async with opened(journal) as found:
        assert (found.notes, found.states) == ((), ())
        directory.unlink()
        aside.rename(directory)
        await until(lambda: journal.up)
        assert [[one.op for one in recalled.notes] for recalled in given] == [["op1"]]
        assert await journal.write(note("op2"))


async def test_a_hanging_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that does not come back: its writer is told no in its time, everybody after at once; when the disk
    answers, the journal is up, and what was told late still counts."""
    released = threading.Event()
    real = os.fdatasync

    def hanging(fd: int) -> None:
        released.wait(20)
        real(fd)

    monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 0.05)
    journal = made(tmp_path)
    async with opened(journal):
        await until(lambda: journal.up)
        monkeypatch.setattr(os, "fdatasync", hanging)
        assert not await journal.write(note("op1"))
        assert not await journal.write(note("op2"))
        journal.tell(ACK)
        released.set()
        await until(lambda: journal.up)
        monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 10.0)
        assert await journal.write(note("op3"))
    found = await recalled(tmp_path)
    assert [one.op for one in found.notes] == ["op3"]


async def test_a_disk_that_hangs_at_the_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing takes no longer than it may: it is over while the disk still hangs."""
    monkeypatch.setattr("gateway.audit.journal.CLOSE_SECONDS", 0.05)
    monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 0.05)
    released, ended = threading.Event(), threading.Event()
    real = os.fdatasync

    def hanging(fd: int) -> None:
        released.wait()
        real(fd)
        ended.set()

    journal = made(tmp_path)
    await journal.open()
    await until(lambda: journal.up)
    monkeypatch.setattr(os, "fdatasync", hanging)
    assert not await journal.write(note("op1"))
    await journal.close()
    assert not ended.is_set()
    released.set()
    await until(lambda: not any(thread.name.startswith("journal") for thread in threading.enumerate()))


async def test_files_rotate_and_only_what_the_store_has_goes(tmp_path: Path) -> None:
    """Small files: the oldest go once the store has everything in them; an open redaction's newest state is carried
    over; a step that the store lacks keeps its file and all after it."""
    journal = made(tmp_path, segment_bytes=2_000, kept_bytes=6_000)
    async with opened(journal):
        await journal.write(note("still-open", call_id="old"))
        journal.tell(Ack(op="still-open", bucket=3, seq=1, link="00" * 32))
        for n in range(30):
            await journal.write(note(f"op{n}", open_=False))
            journal.tell(Ack(op=f"op{n}", bucket=3, seq=n + 2, link=f"{n:064x}"))
        total = sum(path.stat().st_size for path in files(tmp_path))
        assert total < 6_000 + 3 * 2_000
        await journal.write(note("lacking", open_=False))
        for n in range(30, 60):
            await journal.write(note(f"op{n}", open_=False))
            journal.tell(Ack(op=f"op{n}", bucket=3, seq=n + 2, link=f"{n:064x}"))
    found = await recalled(tmp_path)
    assert [one.op for one in found.notes] == ["lacking"]
    assert [kept.call_id for kept in found.states] == ["old"]


async def test_however_many_are_open_more_is_new_than_written_again(tmp_path: Path) -> None:
    """Open redactions that take more room than the files may have: what is carried over stays less than what comes, or
    the journal would write nothing else, and every mute would wait for it."""
    journal, carried = made(tmp_path, segment_bytes=2_000, kept_bytes=6_000), 0
    append = journal._segments.append

    def counting(lines: Sequence[Line], *, durable: bool) -> str:
        nonlocal carried
        carried += sum(isinstance(line, Kept) for line in lines)
        return append(lines, durable=durable)

    async with opened(journal):
        journal._segments.append = counting  # type: ignore[method-assign]  # -- to count what is written
        for n in range(40):
            await journal.write(replace(note(f"open{n}", call_id=f"open{n}"), state=b'"%s"' % (b"s" * 400)))
            journal.tell(Ack(op=f"open{n}", bucket=3, seq=n, link="00" * 32))
        for n in range(300):
            await journal.write(note(f"op{n}", open_=False))
            journal.tell(Ack(op=f"op{n}", bucket=3, seq=n + 40, link=f"{n:064x}"))
    assert 0 < carried < 300
    assert len((await recalled(tmp_path)).states) == 40


async def test_what_a_bucket_confirmed_can_be_read_again(tmp_path: Path) -> None:
    """With the newest note and the newest acknowledgement of each step, of that bucket alone."""
    journal = made(tmp_path)
    async with opened(journal):
        for op, number in (("op1", 3), ("op2", 4), ("op3", 3), ("op4", 3)):
            await journal.write(note(op, bucket=number))
        for op, number in (("op1", 3), ("op2", 4), ("op4", 3), ("gone", 3)):
            journal.tell(Ack(op=op, bucket=number, seq=1, link=""))
        assert [(one.op, ack.op) for one, ack in (await journal.confirmed(frozenset({3})))[3]] == [
            ("op1", "op1"),
            ("op4", "op4"),
        ]


async def test_so_many_confirmations_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of each bucket, each operation once, by its newest."""
    monkeypatch.setattr("gateway.audit.journal.ACKS", 2)
    journal = made(tmp_path)
    for op, seq in (("op1", 1), ("op2", 2), ("op3", 3), ("op2", 4)):
        journal.tell(Ack(op=op, bucket=3, seq=seq, link=""))
    assert [(ack.op, ack.seq) for ack in journal.acked()[3]] == [("op3", 3), ("op2", 4)]
    await journal.close()


async def test_each_process_has_a_slot_of_its_own(tmp_path: Path) -> None:
    """Two journals in one directory do not meet; the next process takes over what is left behind."""
    first, second = made(tmp_path), made(tmp_path)
    async with opened(first), opened(second):
        assert await first.write(note("op1"))
        assert await second.write(note("op2"))
    assert [one.op for one in (await recalled(tmp_path)).notes] == ["op1"]


async def test_a_directory_has_so_many_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process too many has no journal, which is said, and works."""
    monkeypatch.setattr("gateway.audit.segments.SLOTS", 1)
    first, second = made(tmp_path), made(tmp_path)
    async with opened(first), opened(second):
        assert first.up
        assert not await second.write(note("op1"))


async def test_acknowledgements_are_not_lost_with_a_full_disk(tmp_path: Path) -> None:
    """What could not be written of them is written later."""
    journal = made(tmp_path)
    async with opened(journal):
        await journal.write(note("op1"))
        file = only(tmp_path)
        with full_disk(file.stat().st_size):
            journal.tell(ACK)
            assert not await journal.write(note("op2"))
        await until(lambda: journal.up)
    assert (await recalled(tmp_path)).notes == ()


async def test_no_journal_writes_nothing() -> None:
    """The device that is not there says so and takes the rest in silence."""
    nothing = NoJournal()
    assert not await nothing.write(note("op1"))
    nothing.tell(ACK)
    nothing.forget("acme", "c1")
    assert await nothing.missing(frozenset({("acme", "c1")})) == ()


async def test_a_note_that_cannot_be_written_down_ends_nothing(tmp_path: Path) -> None:
    """Text that no line can hold: that note is refused, those after it are not."""
    journal = made(tmp_path)
    async with opened(journal):
        assert not await journal.write(note("op1", call_id="\ud800"))
        await until(lambda: journal.up)
        assert await journal.write(note("op2"))


async def test_closing_what_was_never_opened(tmp_path: Path) -> None:
    """A start that failed before the journal's can still be cleaned up."""
    await made(tmp_path).close()
