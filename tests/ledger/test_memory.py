"""What one device lacks is kept in memory up to a bound; beyond it the other device is the truth."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from lives import KEY, WITHIN, Life, confirmed, gap, life
from structlog.testing import capture_logs

from gateway.audit.device import NoJournal
from gateway.model import CallKey
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.note import Note
    from gateway.store.redis import RedisStore

OTHER = CallKey(tenant="acme", call_id="c2")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few entries may be kept."""
    monkeypatch.setattr("gateway.catchup.MISSED", 4)
    monkeypatch.setattr("gateway.catchup.LATE", 4)
    monkeypatch.setattr("gateway.catchup.NOTES_AT_ONCE", 2)
    monkeypatch.setattr("gateway.heal.CALLS_A_PASS", 1)


def in_memory(one: Life) -> int:
    return sum(len(local.pending) for _, local in one.ledger.local.adrift())


async def long_outage(one: Life, *, spill: bool = True) -> None:
    """Four entries of each call that the store never got."""
    one.shaky.away = True
    for n in range(4):
        await one.mute(f"a{n}", hold=f"h{n}")
        await one.mute(f"b{n}", hold=f"h{n}", key=OTHER)
        if spill:
            one.ledger.catchup.spill()


def entries_of(letter: str) -> list[tuple[str, bool]]:
    return [(f"{letter}{n}", True) for n in range(4)]


@pytest.mark.usefixtures("small")
async def test_a_long_outage_does_not_fill_the_memory(one: Life) -> None:
    """No more than four entries stay (whole calls go), it is said, the gap counts all of them. When the store is back
    every entry comes from the journal, in its order, once, and all holds stand."""
    with capture_logs() as said:
        await long_outage(one)
    assert in_memory(one) == 2
    assert "entries.spilled" in [line["event"] for line in said]
    one.ledger.catchup.publish()
    assert gap(one) == 8
    one.shaky.away = False
    await one.healer._heal()
    assert gap(one) == 0
    assert (await one.trail(), await one.trail(OTHER)) == (entries_of("a"), entries_of("b"))
    for key in (KEY, OTHER):
        assert one.holds(await one.state(key)) == {"h0", "h1", "h2", "h3"}


@pytest.mark.usefixtures("small")
async def test_whoever_needs_the_call_before_it_was_healed_gets_all_of_it(one: Life) -> None:
    """The first step after the outage comes before the healer does: what was let go of is brought back for it."""
    await long_outage(one)
    one.shaky.away = False
    recorded = await one.mute("after", hold="h9", needed=True)
    assert one.holds(recorded.redaction) == {"h0", "h1", "h2", "h3", "h9"}
    assert await one.trail() == [*entries_of("a"), ("after", False)]


@pytest.mark.usefixtures("small")
async def test_a_crash_after_it_changes_nothing(store: RedisStore, tmp_path: Path) -> None:
    """Killed while most of it was on disk only: the next process has all of it."""
    async with life(store, tmp_path) as one:
        await long_outage(one)
    async with life(store, tmp_path) as after:
        await after.healer._heal()
        assert (await after.trail(), await after.trail(OTHER)) == (entries_of("a"), entries_of("b"))


@pytest.mark.usefixtures("small")
async def test_what_nobody_has_any_more_is_said(one: Life) -> None:
    """The journal's files are gone in the outage: the holds come back all the same, and how many entries do not."""
    await long_outage(one)
    shutil.rmtree(one.journal._segments._directory)
    one.shaky.away = False
    with capture_logs() as said:
        await one.healer._heal()
    assert sum(line["count"] for line in said if line["event"] == "entries.lost") == 6
    for key in (KEY, OTHER):
        assert one.holds(await one.state(key)) == {"h0", "h1", "h2", "h3"}
    assert gap(one) == 0


@pytest.mark.usefixtures("small")
async def test_a_journal_that_cannot_be_read_now_is_read_later(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the call is done in between: that could be done without knowing of a hold."""
    await long_outage(one)
    one.shaky.away = False

    def unreadable(_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(one.journal, "_beside", unreadable)
        with pytest.raises(StoreUnavailable, match="read"):
            await one.mute("after", needed=True)
    await one.healer._heal()
    assert await one.trail() == entries_of("a")


@pytest.mark.usefixtures("small")
async def test_without_both_devices_the_newest_of_each_call_stays(one: Life, no_disk: Callable[[bool], None]) -> None:
    """The disk takes nothing either: what goes beyond the bound is only in the log, which is said; the state stays."""
    no_disk(True)
    with capture_logs() as said:
        await long_outage(one)
    assert sum(line["count"] for line in said if line["event"] == "entries.dropped") == 6
    assert in_memory(one) == 2
    no_disk(False)
    one.shaky.away = False
    await one.healer._heal()
    for key in (KEY, OTHER):
        assert one.holds(await one.state(key)) == {"h0", "h1", "h2", "h3"}


async def test_a_call_that_is_being_healed_is_left_alone(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever heals it holds what there is."""
    await long_outage(one, spill=False)
    monkeypatch.setattr("gateway.catchup.MISSED", 0)
    local = one.ledger.local.get(KEY)
    assert local is not None
    async with local.healing:
        one.ledger.catchup.spill()
    assert len(local.pending) == 4
    assert in_memory(one) == 5


@pytest.mark.usefixtures("small")
async def test_what_the_journal_lacks_is_bounded_as_well(one: Life, no_disk: Callable[[bool], None]) -> None:
    """The disk is away for long: the newest four are written when it is back, the older ones the store has alone;
    that is said once, and the gap shows what is still to come."""
    no_disk(True)
    with capture_logs() as said:
        for n in range(7):
            await one.mute(f"op{n}", hold=f"h{n}")
    assert [line["event"] for line in said].count("journal.overrun") == 1
    assert gap(one) == 4
    await one.ledger.catchup.rejournal()
    assert gap(one) == 4
    no_disk(False)
    await one.ledger.catchup.rejournal()
    assert gap(one) == 0
    assert [note.op for note, _ in await confirmed(one)] == ["op3", "op4", "op5", "op6"]
    assert len(await one.shaky.store.entries(KEY, within=WITHIN)) == 7


async def test_what_a_full_disk_takes_half_of_stays_in_order(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some that are written together one is refused: it is the first of the next time."""
    real, refused = one.journal.write, ["op1"]

    def write(note: Note) -> asyncio.Future[bool]:
        if note.op in refused or (away and note.op.startswith("op")):
            return NoJournal().write(note)
        return real(note)

    monkeypatch.setattr(one.journal, "write", write)
    away = True
    for n in range(3):
        await one.mute(f"op{n}", hold=f"h{n}")
    away = False
    await one.ledger.catchup.rejournal()
    assert [note.op for note, _ in one.ledger.catchup._late] == ["op1"]
    refused.clear()
    await one.ledger.catchup.rejournal()
    assert sorted(note.op for note, _ in await confirmed(one)) == ["op0", "op1", "op2"]


@pytest.fixture
def no_disk(one: Life, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """The journal is a device that is down, and up again."""

    def switch(down: bool) -> None:  # noqa: FBT001 -- a switch
        one.journal.up = not down

    assert one.journal._work is not None
    one.journal._work.cancel()  # it would come up by itself
    monkeypatch.setattr(one.journal, "_work", None)
    real = one.journal.write

    async def written(note: Note) -> bool:
        future = real(note)
        if one.journal.up:
            await one.journal._write_batch()
        return await future

    monkeypatch.setattr(one.journal, "write", lambda note: asyncio.ensure_future(written(note)))
    return switch
