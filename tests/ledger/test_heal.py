"""A store that lost what it had confirmed gets it back from where it broke."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import structlog

from gateway.audit.entry import EntryType
from gateway.audit.note import Ack
from gateway.clock import Clock
from gateway.model import Action, CallKey
from gateway.store.codec import decode
from gateway.store.contract import StoreUnavailable, bucket

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gateway.store.contract import TrailPage
    from gateway.store.redis import RedisStore


from lives import KEY, WITHIN, Life, life, rolled, same_bucket, step


async def test_healing_goes_on_after_trouble(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be read, a store that is away, something nobody thought of: said, and tried again."""
    monkeypatch.setattr("gateway.heal.AGAIN_SECONDS", 0.01)
    troubles: list[Exception] = [OSError(), StoreUnavailable(), ValueError()]
    await one.mute("op1")
    one.shaky.lost = 1
    await one.mute("op2", hold="second")
    real = one.shaky.store.trail

    async def trail(number: int, *, since: int, most: int, within: float) -> TrailPage:
        if troubles:
            raise troubles.pop(0)
        return await real(number, since=since, most=most, within=within)

    monkeypatch.setattr(one.shaky.store, "trail", trail)
    one.healer._watch.up = True
    with structlog.testing.capture_logs() as said:
        async with one.healer.healing(), asyncio.timeout(10):
            while one.ledger.local.adrift():  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.01)
    assert [line["event"] for line in said][:3] == ["healing.interrupted", "healing.interrupted", "healing.failed"]
    assert [op for op, _ in await one.trail()] == ["op1", "op2"]


async def test_a_long_tail_is_read_in_pages(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was written since: all of it is looked at."""
    monkeypatch.setattr("gateway.heal.PAGE", 2)
    for n in range(5):
        await one.mute(f"op{n}")
    tail = await one.healer._tail(bucket(KEY), 1)
    assert [entry.seq for entry in tail.entries] == [1, 2, 3, 4, 5]


async def test_a_lost_acknowledgement_is_found_in_the_trail(store: RedisStore, tmp_path: Path) -> None:
    """Killed between the store's answer and the journal's note of it: the entry is there, and stays the only one,
    also when the call's own index is long gone."""
    async with life(store, tmp_path) as one:
        await one.mute("op0", key=CallKey(tenant="acme", call_id="c2"))
        one.shaky.deaf = 1
        await one.mute("op1")
    async with life(store, tmp_path) as after:
        number = bucket(KEY)
        await store._primaries.send(number, ("DEL", f"{{b{number}}}:entries:acme:c1", f"{{b{number}}}:call:acme:c1"))
        await after.healer._verify({number: (Ack(op="none", bucket=number, seq=0, link=""),)})
        assert after.ledger.local.adrift() == ()


async def test_a_store_that_lost_its_tail_gets_it_back(one: Life) -> None:
    """Rolled back behind what it had confirmed: entries from there on come again as healed, the open redaction is
    open, the closed one does not become open, numbers are dense; a crash in between changes nothing."""
    closed = CallKey(tenant="acme", call_id=same_bucket())
    await one.mute("kept")
    image = await rolled(one, None)
    await one.mute("lost1", hold="second")
    await one.mute("lost2", key=closed)
    await one.drop("lost3", key=closed)
    await rolled(one, image)
    assert one.holds(await one.state()) == {"default"}
    await one.healer._heal()
    assert one.holds(await one.state()) == {"default", "second"}
    assert await one.trail() == [("kept", False), ("lost1", True)]
    assert await one.trail(closed) == [("lost2", True), ("lost3", True)]
    assert not (await one.state(closed)).open
    page = await one.shaky.store.trail(bucket(KEY), since=0, most=99, within=WITHIN)
    assert [entry.seq for entry in page.entries] == [1, 2, 3, 4]
    one.healer.wake()
    await one.healer._heal()
    assert len((await one.shaky.store.trail(bucket(KEY), since=0, most=99, within=WITHIN)).entries) == 4


async def test_a_loss_is_found_behind_what_came_after_it(one: Life) -> None:
    """Work went on before anybody noticed, beyond the numbers that were lost: they are missed all the same."""
    await one.mute("kept")
    image = await rolled(one, None)
    await one.mute("lost", hold="second")
    await rolled(one, image)
    for n in range(3):
        await one.mute(f"after{n}", hold="third")
    await one.healer._heal()
    assert [op for op, _ in await one.trail()] == ["kept", "after0", "after1", "after2", "lost"]
    assert one.holds(await one.state()) == {"default", "second", "third"}


async def test_an_exported_trail_that_falls_back_gets_only_what_it_lost(one: Life) -> None:
    """Entries before its first were taken away, not lost: they do not come again."""
    await one.mute("exported")
    await one.mute("kept")
    number = bucket(KEY)
    await one.shaky.store._primaries.send(number, ("XTRIM", f"{{b{number}}}:audit", "MINID", "2-0"))
    image = await rolled(one, None)
    await one.mute("lost")
    await rolled(one, image)
    await one.healer._heal()
    page = await one.shaky.store.trail(number, since=0, most=9, within=WITHIN)
    assert [(entry.seq, orjson.loads(entry.entry)["op"]) for entry in page.entries] == [(2, "kept"), (3, "lost")]


async def test_an_unmute_that_was_lost_stays_undone(one: Life) -> None:
    """The store fell back before an acknowledged unmute: its entry comes again, the hold that stands now stays."""
    await one.mute("op1")
    image = await rolled(one, None)
    await one.drop("op2")
    await rolled(one, image)
    await one.healer._heal()
    assert await one.trail() == [("op1", False), ("op2", True)]
    assert one.holds(await one.state()) == {"default"}


async def test_lost_again_while_it_is_brought_back(store: RedisStore, tmp_path: Path) -> None:
    """Killed after the loss was found and before it was healed: the next process heals it."""
    async with life(store, tmp_path) as one:
        image = await rolled(one, None)
        await one.mute("op1")
        await one.drop("op2")
        await rolled(one, image)
        await one.healer._verify(one.journal.acked())
    async with life(store, tmp_path) as after:
        await after.healer._heal()
        assert await after.trail() == [("op1", True), ("op2", True)]


def kept(one: Life) -> list[set[str]]:
    """The holds of each open redaction, as the journal knows it."""
    return [one.holds(decode(state.state)) for state in one.journal.states(bucket(KEY))]


async def test_notes_are_in_order_though_the_clock_is_set_back(one: Life) -> None:
    """By their times alone it can be told which is the newest."""
    one.shaky.away = True
    await one.mute("op1")
    one.ledger._clock = Clock(ms=lambda: 5)
    await one.mute("op2", hold="second")
    first, second = await one.journal.missing(frozenset({(KEY.tenant, KEY.call_id)}))
    assert (first.op, second.op) == ("op1", "op2")
    assert first.at <= second.at


async def test_what_was_lost_is_no_newer_for_being_written_again(store: RedisStore, tmp_path: Path) -> None:
    """Muted, muted once more without the store, which then loses the first: killed before that was healed. The second
    hold stands, though the first one is the last in the journal."""
    async with life(store, tmp_path) as one:
        image = await rolled(one, None)
        await one.mute("op1")
        one.shaky.away = True
        await asyncio.sleep(0.01)
        await one.mute("op2", hold="second")
        await rolled(one, image)
        await one.healer._verify(one.journal.acked())
        assert kept(one) == [{"default", "second"}]
    async with life(store, tmp_path) as after:
        assert kept(after) == [{"default", "second"}]
        assert after.holds(after.ledger.last_known(KEY)) == {"default", "second"}
        await after.healer._heal()
        assert after.holds(await after.state()) == {"default", "second"}
        assert await after.trail() == [("op1", True), ("op2", True)]


async def test_what_was_lost_comes_before_what_was_never_told(one: Life) -> None:
    """A mute that the store never got, and then it loses an older one: both are brought back, in their order."""
    image = await rolled(one, None)
    await one.mute("lost", hold="first")
    one.shaky.lost = 1
    await one.mute("late", hold="second")
    await rolled(one, image)
    await one.healer._heal()
    assert await one.trail() == [("lost", True), ("late", True)]
    assert one.holds(await one.state()) == {"first", "second"}
    await one.healer._heal()
    assert len(await one.trail()) == 2


async def test_killed_while_some_of_it_is_brought_back(
    store: RedisStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call healed and confirmed, the other not: the next process heals the other."""
    monkeypatch.setattr("gateway.audit.journal.ACKS", 1)
    other = CallKey(tenant="acme", call_id=same_bucket())
    async with life(store, tmp_path) as one:
        image = await rolled(one, None)
        await one.mute("op1")
        await one.mute("op2", key=other)
        await rolled(one, image)
        await one.healer._verify(one.journal.acked())
        await one.ledger.catchup.heal(KEY, within=WITHIN)
    async with life(store, tmp_path) as after:
        await after.healer._heal()
        assert await after.trail() == [("op1", True)]
        assert await after.trail(other) == [("op2", True)]


async def test_a_wipe_brings_back_what_is_older_than_the_journal(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """No note is left of it, and it is open: the loss is found, the redaction is restored."""
    await one.mute("op1")
    await rolled(one, {})

    async def nothing(numbers: frozenset[int]) -> dict[int, tuple[()]]:
        return dict.fromkeys(numbers, ())

    monkeypatch.setattr(one.journal, "confirmed", nothing)
    await one.healer._heal()
    assert one.holds(await one.state()) == {"default"}
    assert [late for _, late in await one.trail()] == [True]


async def test_an_open_redaction_older_than_the_journal_is_restored(one: Life) -> None:
    """Its entries are in no file any more, only its state: after a wipe it is open again, and an entry says so."""
    await one.mute("op1")
    (kept,) = one.journal.states(bucket(KEY))
    await rolled(one, {})
    await one.healer._restore(kept)
    await one.healer._restore(kept)
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default"}
    (entry,) = await one.shaky.store.entries(KEY, within=WITHIN)
    assert orjson.loads(entry.entry)["type"] == "state.restored"
    await one.healer._restore(kept)
    assert one.ledger.local.adrift() == ()


async def test_a_trimmed_trail_has_lost_nothing(one: Life) -> None:
    """Entries are taken away at the old end once they are exported: that is no loss."""
    await one.mute("op1")
    number = bucket(KEY)
    await one.shaky.store._primaries.send(number, ("XTRIM", f"{{b{number}}}:audit", "MAXLEN", "0"))
    await one.healer._heal()
    assert one.ledger.local.adrift() == ()


async def test_a_short_loss_is_healed_from_memory(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last few entries are gone, as after a failover: no file is read for it, and they come again in order; lost
    once more, they come once more."""

    async def unread(_: frozenset[int]) -> None:
        raise AssertionError

    monkeypatch.setattr(one.journal, "confirmed", unread)
    for n in range(5):
        await one.mute(f"kept{n}")
    image = await rolled(one, None)
    for n in range(3):
        await one.mute(f"lost{n}", hold=f"h{n}")
    for _ in range(2):
        await rolled(one, image)
        one.healer.wake()
        await one.healer._heal()
        assert [late for _, late in await one.trail()] == [False] * 5 + [True] * 3
        assert [op for op, _ in await one.trail()][5:] == ["lost0", "lost1", "lost2"]
        assert one.holds(await one.state()) == {"default", "h0", "h1", "h2"}


async def test_a_loss_beyond_what_is_in_memory_is_healed_from_the_files(
    one: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note of one lost entry is in memory and that of another is not: the files have both."""
    for n in range(5):
        await one.mute(f"kept{n}")
    image = await rolled(one, None)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.audit.journal.NOTES", 0)
        await one.mute("far", hold="second")
    await one.mute("near", hold="third")
    await rolled(one, image)
    await one.healer._heal()
    assert (await one.trail())[5:] == [("far", True), ("near", True)]
    assert one.holds(await one.state()) == {"default", "second", "third"}


async def test_a_hold_stands_that_was_ended_before_it_was_taken(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """That its client ended it, or had none to end, comes late, too: later than the mute that came after it."""
    monkeypatch.setattr("gateway.catchup.SKEW_MS", -1)
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op1", hold="theirs")
        other.shaky.away = one.shaky.away = True
        nothing = step(
            "op2", lambda r: (r, None), EntryType.UNMUTE_UNCHANGED, needed=False, action=Action.UNMUTE, hold="mine"
        )
        await other.ledger.step(KEY, nothing)
        await asyncio.sleep(0.01)
        await one.mute("op3", hold="mine")
        other.shaky.away = False
        await other.ledger.catchup.heal(KEY, within=WITHIN)
    one.shaky.away = False
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"theirs", "mine"}
