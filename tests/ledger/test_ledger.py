"""Both devices on real files and a real server: what each has, and what is known without the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import decide
from gateway.asks import Code, Failure
from gateway.audit.entry import EntryType
from gateway.model import CallKey, Redaction
from gateway.store.contract import StoreUnavailable, bucket

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.store.redis import RedisStore


from lives import KEY, WITHIN, Life, asked, confirmed, counted, gap, life, step


async def test_a_guess_that_is_refused_is_checked(one: Life) -> None:
    """What was known is old and refuses: decided again on what is, and taken."""
    await one.mute("op1")
    known = (await one.state()).revision
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op2", hold="second")

    def later(redaction: Redaction) -> tuple[Redaction, None]:
        if redaction.revision == known:
            raise Failure(Code.VERSION_CONFLICT, "too early")
        return decide.mute(redaction, asked("third")), None

    recorded = await one.ledger.step(KEY, step("op3", later, EntryType.MUTE_INTENDED))
    assert one.holds(recorded.redaction) == {"default", "second", "third"}


async def test_a_call_muted_elsewhere_is_not_looked_after_here(one: Life) -> None:
    """A step on somebody else's redaction makes it nobody's here."""
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op1")

    def look(redaction: Redaction) -> tuple[Redaction, None]:
        return replace(redaction, revision=redaction.revision + 1), None

    await one.ledger.load(KEY, within=WITHIN)
    await one.ledger.step(KEY, step("op2", look, EntryType.STATE_REFRESHED))
    assert one.ledger.orphans(now=10**13) == ()


async def test_reading_says_how_durable(one: Life) -> None:
    """From the store: stored, with its place; a call of nobody's is none."""
    assert await one.ledger.read(KEY, within=WITHIN) is None
    recorded = await one.mute("op1")
    known = await one.ledger.read(KEY, within=WITHIN)
    assert known is not None
    assert (known.durability, known.audit) == ("stored", recorded.audit)
    assert [entry.seq for entry in await one.ledger.entries(KEY, within=WITHIN)] == [1]


async def test_a_step_is_in_both_devices(one: Life) -> None:
    """Store and journal have the entry, and the journal knows that the store has it."""
    recorded = await one.mute("op1")
    assert recorded.durability == "stored"
    ((note, ack),) = await confirmed(one)
    (entry,) = await one.shaky.store.entries(KEY, within=WITHIN)
    assert (note.entry, ack.seq, ack.link) == (entry.entry, entry.seq, entry.link)
    assert (recorded.audit.seq, recorded.audit.hash) == (entry.seq, entry.link)
    assert (counted(one, "store", "written"), counted(one, "journal", "written")) == (1, 1)


async def test_two_mutes_without_the_store_know_of_each_other(one: Life) -> None:
    """Both holds are there, also when both were decided on the same state before either failed."""
    one.shaky.lost = 2
    first, second = await asyncio.gather(one.mute("op1", hold="a"), one.mute("op2", hold="b"))
    assert one.holds(first.redaction) | one.holds(second.redaction) == {"a", "b"}
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"a", "b"}
    assert sorted(await one.trail()) == [("op1", True), ("op2", True)]


async def test_an_unmute_needs_the_store(one: Life) -> None:
    """Refused, nowhere as a step that was taken, not after a restart either; the holds stand."""
    await one.mute("op1")
    one.shaky.lost = 1
    with pytest.raises(StoreUnavailable):
        await one.drop("op2")
    assert one.holds(await one.known()) == {"default"}
    assert await one.trail() == [("op1", False)]


async def test_an_unmute_needs_no_journal(store: RedisStore, tmp_path: Path) -> None:
    """State and entry stand in the store: that the journal is down changes nothing."""
    (tmp_path / "journal").write_text("in the way")
    async with life(store, tmp_path / "journal") as one:
        await one.mute("op1")
        assert (await one.drop("op2")).durability == "stored"
        assert counted(one, "journal", "failed") == 2


async def test_a_refused_step_is_void(one: Life) -> None:
    """Decided on an old state, then refused on the new one: the journal does not keep it for a mute that was."""
    await one.mute("op1")
    stored = await one.state()

    def only_first(redaction: Redaction) -> tuple[Redaction, None]:
        if redaction.revision > stored.revision:
            raise Failure(Code.VERSION_CONFLICT, "later")
        return decide.mute(redaction, asked("mine")), None

    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.ledger.load(KEY, within=WITHIN)
        await one.mute("op2", hold="theirs")
        with pytest.raises(Failure):
            await other.ledger.step(KEY, step("op3", only_first, EntryType.MUTE_INTENDED, needed=False))
        assert other.ledger.local.adrift() == ()
    async with life(one.shaky.store, one.journal._segments._directory / "other") as after:
        assert after.ledger.local.adrift() == ()
    assert [op for op, _ in await one.trail()] == ["op1", "op2"]


async def test_what_only_the_journal_has_outlives_the_process(store: RedisStore, tmp_path: Path) -> None:
    """The next process knows the redaction without the store, and brings the entries when it is there."""
    async with life(store, tmp_path) as one:
        one.shaky.away = True
        await one.mute("op1")
        with pytest.raises(StoreUnavailable):
            await one.drop("op2")
    async with life(store, tmp_path) as after:
        after.shaky.away = True
        known = await after.ledger.read(KEY, within=WITHIN)
        assert known is not None
        assert (known.durability, one.holds(known.redaction)) == ("journal", {"default"})
        assert after.ledger.orphans(now=10**13) == (KEY,)
        after.shaky.away = False
        await after.healer._heal()
        assert await after.trail() == [("op1", True)]
        assert one.holds(await after.state()) == {"default"}


async def test_a_process_without_both_knows_until_it_ends(one: Life) -> None:
    """Neither device: durability none, no answer to a read, and both get it when they are back."""
    one.shaky.away = True
    one.journal.up = False
    assert (await one.mute("op1")).durability == "none"
    with pytest.raises(StoreUnavailable):
        await one.ledger.read(KEY, within=WITHIN)
    stored = await one.ledger.load(KEY, within=WITHIN)
    assert stored is not None
    assert stored.redaction.open
    one.journal.up = True
    await one.ledger.catchup.rejournal()
    known = await one.ledger.read(KEY, within=WITHIN)
    assert known is not None
    assert known.durability == "journal"
    one.shaky.away = False
    await one.healer._heal()
    assert await one.trail() == [("op1", True)]


async def test_a_call_that_nobody_here_muted_is_not_known(one: Life) -> None:
    """Without the store there is nothing to say of it, and nothing to look after."""
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op1")
        await one.ledger.load(KEY, within=WITHIN)
        one.shaky.away = True
        for ask in (one.ledger.load, one.ledger.read):
            with pytest.raises(StoreUnavailable):
                await ask(KEY, within=WITHIN)
        assert one.ledger.orphans(now=10**13) == ()


async def test_a_call_that_others_closed_is_forgotten(one: Life) -> None:
    """Whoever muted it hears that it is over with the next look, and does not look after it any more."""
    await one.mute("op1")
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.drop("op2")
    assert one.journal.states(bucket(KEY)) != ()
    await one.ledger.load(KEY, within=WITHIN)
    one.shaky.away = True
    assert one.ledger.orphans(now=10**13) == ()
    assert one.journal.states(bucket(KEY)) == ()


async def test_a_step_that_nobody_hears_of_is_only_remembered(one: Life) -> None:
    """No entry: with the store it moves the state, without it what is known here; nothing becomes late."""

    def look(redaction: Redaction) -> tuple[Redaction, None]:
        return replace(redaction, revision=redaction.revision + 1, updated_at=77), None

    assert (await one.ledger.step(KEY, step("op0", look, None, needed=False))).durability == "stored"
    await one.mute("op1")
    await one.ledger.step(KEY, step("op2", look, None, needed=False))
    one.shaky.away = True
    recorded = await one.ledger.step(KEY, step("op3", look, None, needed=False))
    assert recorded.redaction.revision == 4
    stranger = CallKey(tenant="acme", call_id="c9")
    assert (await one.ledger.step(stranger, step("op4", look, None, needed=False))).durability == "none"
    known = await one.ledger.load(KEY, within=WITHIN)
    assert known is not None
    assert known.redaction.revision == 4
    assert gap(one) == 0
    assert await one.trail() == [("op1", False)]


async def test_an_unmute_on_its_way_when_the_process_died_is_none(store: RedisStore, tmp_path: Path) -> None:
    """In the journal, and the store never took it: it was not given, and nothing of it comes late."""
    async with life(store, tmp_path) as one:
        await one.mute("op1")
        ((note, _),) = await confirmed(one)
        assert await one.journal.write(replace(note, op="op2", needed=True, open=False))
    async with life(store, tmp_path) as after:
        assert after.ledger.local.adrift() == ()
        assert after.ledger.orphans(now=10**13) == (KEY,)


async def test_time_is_over_for_all_of_a_step(one: Life) -> None:
    """A step that has used up its time asks nobody any more."""

    def begin(redaction: Redaction) -> tuple[Redaction, None]:
        return decide.mute(redaction, asked("default")), None

    recorded = await one.ledger.step(KEY, step("op1", begin, EntryType.MUTE_INTENDED, needed=False, within=0.0))
    assert recorded.durability == "journal"
    with pytest.raises(StoreUnavailable):
        await one.ledger.step(KEY, step("op2", begin, EntryType.MUTE_INTENDED, needed=True, within=0.0))


async def test_what_is_remembered_is_bounded(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many calls and no more, but every one that the store lacks something of."""
    monkeypatch.setattr("gateway.ledger.REMEMBERED", 2)
    one.ledger.local._most = 2
    one.shaky.lost = 1
    await one.mute("op", key=CallKey(tenant="acme", call_id="adrift"))
    for n in range(4):
        await one.mute(f"op{n}", key=CallKey(tenant="acme", call_id=f"c{n}"))
    assert len(one.ledger._known) == 2
    assert [key.call_id for key, _ in one.ledger.local.adrift()] == ["adrift"]
    one.ledger.local._most = 0
    one.shaky.lost = 1
    await one.mute("more", key=CallKey(tenant="acme", call_id="adrift2"))
