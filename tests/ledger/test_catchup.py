"""What the store missed comes late, once, marked, and only ever tightens."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import decide
from gateway.audit.device import Recalled
from gateway.audit.note import Kept
from gateway.clock import Clock
from gateway.evidence import Policy, protected
from gateway.local import LocalCalls, Pending
from gateway.model import Evidence, Observation, Parties, Redaction
from gateway.store.codec import encode
from gateway.store.contract import Change, Committed, StoreUnavailable, bucket

if TYPE_CHECKING:
    from gateway.audit.note import Note


from lives import KEY, WITHIN, Life, asked, confirmed, counted, gap, life, rolled


def claiming(one: Life) -> list[Redaction]:
    """Claims are granted, with somebody's command under way; gives what they were asked for."""
    asked_for: list[Redaction] = []

    async def claim(redaction: Redaction) -> int:
        asked_for.append(redaction)
        return 123_456

    one.ledger.catchup.claim = claim
    return asked_for


async def test_healing_is_over_in_its_time(one: Life) -> None:
    """A store that does not answer while a call is healed: unavailable, and still missing."""
    one.shaky.lost = 1
    await one.mute("op1")

    async def hanging(_: Change) -> None:
        await asyncio.Event().wait()

    one.shaky.overtake = hanging
    with pytest.raises(StoreUnavailable, match="in time"):
        await one.ledger.catchup.heal(KEY, within=0.05)
    assert gap(one) == 1


async def test_healing_twice_at_once_heals_once(one: Life) -> None:
    """Two who meet the same late call: one entry, and neither trips over the other."""
    one.shaky.lost = 1
    await one.mute("op1")
    await asyncio.gather(*(one.ledger.catchup.heal(KEY, within=WITHIN) for _ in range(3)))
    assert await one.trail() == [("op1", True)]


async def test_what_becomes_late_while_another_step_is_taken_stays_late(one: Life) -> None:
    """A step on its way when a mute fails beside it: its success does not make the mute forgotten."""
    await one.mute("op0")

    async def beside(change: Change) -> None:
        if change.op == "op1":
            one.shaky.overtake = None
            await one.mute("op2", hold="late", within=0.05)  # its turn does not come in time

    one.shaky.overtake = beside
    await one.mute("op1", hold="second")
    assert gap(one) == 1
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default", "second", "late"}
    assert await one.trail() == [("op0", False), ("op1", False), ("op2", True)]


async def test_a_call_that_grows_late_while_it_is_healed_is_not_settled(one: Life) -> None:
    """The last entry is given, and meanwhile another has become missing: it is given in the same run."""
    one.shaky.lost = 1
    await one.mute("op1")
    local = one.ledger.local.get(KEY)
    assert local is not None
    again = local.pending[0]
    more = Pending(replace(again.note, op="op2", entry=again.note.entry.replace(b"op1", b"op2")), journaled=True)

    async def grows(_: Change) -> None:
        one.shaky.overtake = None
        local.pending.append(more)

    one.shaky.overtake = grows
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert await one.trail() == [("op1", True), ("op2", True)]
    local.done(more)
    assert local.pending == []


async def test_a_mute_missed_while_a_call_is_healed_is_in_its_state(one: Life) -> None:
    """The state was decided without it: it is mended once more, with it."""
    one.shaky.lost = 1
    await one.mute("op1")
    local = one.ledger.local.get(KEY)
    assert local is not None
    note = local.pending[0].note

    async def beside(_: Change) -> None:
        one.shaky.overtake = None
        after = decide.mute(local.redaction, asked("late"))
        local.add(replace(note, op="op2", entry=b'{"op":"op2"}', held=(("crm", "late"),)), after)

    one.shaky.overtake = beside
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default", "late"}
    assert await one.trail() == [("op1", True), ("op2", True)]


async def test_a_mute_found_lost_while_a_call_is_healed_is_in_its_state(one: Life) -> None:
    """What the store had confirmed and forgot is found while a later step is healed: its hold comes back as well."""
    await one.mute("op1")
    lost = await _confirmed_and_lost(one)
    local = one.ledger.local.get(KEY)
    assert local is not None
    known = local.redaction
    local.add(replace(lost, op="op3", entry=b'{"op":"op3"}', held=(("crm", "default"),), at=lost.at + 1), known)

    async def found(_: Change) -> None:
        one.shaky.overtake = None
        one.ledger.local.lack([lost])

    one.shaky.overtake = found
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default", "second"}
    assert await one.trail() == [("op1", False), ("op3", True), ("op2", True)]


async def test_a_mute_found_lost_after_the_call_went_on_without_it_is_in_its_state(one: Life) -> None:
    """This process, too, has heard from the store that there was no such hold, and has taken a step on that."""
    await one.mute("op1")
    lost = await _confirmed_and_lost(one)
    one.shaky.lost = 1
    await one.mute("op3")
    assert one.holds(await one.known()) == {"default"}
    one.shaky.lost = 1
    await one.mute("op4")
    one.ledger.local.lack([lost])
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default", "second"}


async def test_a_confirmed_entry_comes_back_beside_that_of_a_try_which_was_given_up(one: Life) -> None:
    """Of one step: the try is taken by the store that had lost what was confirmed. What was told of is there."""
    await one.mute("op1")
    lost = await _confirmed_and_lost(one)
    given_up = replace(lost, entry=lost.entry.replace(b'"op2"', b'"op2","reason":"other"'))
    await _taken(one, given_up)
    one.ledger.local.lack([lost], lost=True)
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert await one.trail() == [("op1", False), ("op2", False), ("op2", True)]


async def _confirmed_and_lost(one: Life) -> Note:
    """A second hold, "op2", that the store has confirmed and forgotten."""
    behind = await rolled(one, None)
    await one.mute("op2", hold="second")
    lost = (await confirmed(one))[-1][0]
    await rolled(one, behind)
    return lost


async def _taken(one: Life, note: Note) -> None:
    stored = await one.shaky.store.load(KEY, within=WITHIN)
    assert stored is not None
    after = replace(stored.redaction, revision=stored.redaction.revision + 1)
    change = Change(
        op=note.op, before=stored, after=after, entry=note.entry, link="ab" * 32, due_at=None, keep_ms=60_000
    )
    assert isinstance(await one.shaky.store.commit(change, within=WITHIN), Committed)


async def test_a_call_that_grows_late_at_the_very_end_of_healing_is_not_settled(one: Life) -> None:
    """What becomes missing while the last word of the store is awaited is missing still."""
    one.shaky.lost = 1
    await one.mute("op1")
    local = one.ledger.local.get(KEY)
    assert local is not None
    first = local.pending[0].note
    loads = 0

    async def grows() -> None:
        nonlocal loads
        loads += 1
        if loads == 2:
            local.add(replace(first, op="op2", entry=b'{"op":"op2"}'), local.redaction)

    one.shaky.loading = grows
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert gap(one) == 1
    one.shaky.loading = None
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert await one.trail() == [("op1", True), ("op2", True)]


async def test_a_mute_that_was_not_made_comes_late(one: Life) -> None:
    """Without the store a mute is in the journal; the next step brings it first, once and marked."""
    one.shaky.lost = 1
    assert (await one.mute("op1")).durability == "journal"
    assert gap(one) == 1
    assert (await one.mute("op2", hold="second")).durability == "stored"
    assert await one.trail() == [("op1", True), ("op2", False)]
    assert one.holds(await one.state()) == {"default", "second"}
    assert gap(one) == 0
    assert counted(one, "store", "healed") == 1


async def test_a_mute_that_was_made_and_not_answered_is_not_made_twice(one: Life) -> None:
    """The answer was lost: the entry that is there stays the only one, and is no late one."""
    one.shaky.deaf = 1
    assert (await one.mute("op1")).durability == "journal"
    assert one.holds(await one.known()) == {"default"}
    assert await one.trail() == [("op1", False)]
    assert [ack.seq for _, ack in await confirmed(one)] == [1]


async def test_an_answer_lost_long_ago_is_found(one: Life) -> None:
    """Sixteen later operations have pushed the name out of what the function remembers: the entry's bytes tell."""
    one.shaky.deaf = 1
    await one.mute("op1")
    local = one.ledger.local.get(KEY)
    assert local is not None
    kept, local.pending[:] = list(local.pending), []
    for n in range(20):
        await one.mute(f"later{n}")
    local.pending[:] = kept
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert [op for op, _ in await one.trail()].count("op1") == 1


async def test_an_operation_that_the_store_remembers_is_not_healed(one: Life) -> None:
    """The lost command lands while it is being healed: the store says so, and there is one entry."""
    one.shaky.lost = 1
    await one.mute("op1")

    async def faster(healing: Change) -> None:
        late = replace(healing, entry=healing.entry.replace(b'"healed":true,', b""), link="ab" * 32)
        await one.shaky.store.commit(late, within=WITHIN)

    one.shaky.overtake = faster
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert await one.trail() == [("op1", False)]
    assert counted(one, "store", "healed") == 0


async def test_a_call_that_moved_on_keeps_what_others_did(one: Life) -> None:
    """While it could not be told, another process changed the call: both holds stand."""
    one.shaky.away = True
    await one.mute("op1", hold="mine")
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op2", hold="theirs")
    one.shaky.away = False
    recorded = await one.mute("op3", hold="third")
    assert one.holds(recorded.redaction) == {"mine", "theirs", "third"}
    assert [op for op, _ in await one.trail()] == ["op2", "op1", "op3"]


async def test_what_is_found_in_the_store_while_it_is_healed_is_not_healed(one: Life) -> None:
    """Its answer was lost, and somebody else's look at the whole bucket saw it there meanwhile."""
    one.shaky.lost = 1
    await one.mute("op1")
    local = one.ledger.local.get(KEY)
    assert local is not None
    (pending,) = local.pending

    async def found() -> None:
        local.done(pending)

    one.shaky.loading = found
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert await one.trail() == []
    assert not local.lacking


async def test_a_hold_asked_for_again_without_the_store_stands(one: Life) -> None:
    """It was there already as far as was known here, and somebody else had just let it go."""
    await one.mute("op1", hold="mine")
    await one.mute("op2", hold="other")
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.let_go("op3", hold="mine")
    one.shaky.away = True
    await one.mute("op4", hold="mine")
    one.shaky.away = False
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"mine", "other"}


@pytest.mark.parametrize("let_go", [False, True], ids=["by-others", "by-its-own-client"])
async def test_a_call_that_others_closed_is_muted_again(
    one: Life, monkeypatch: pytest.MonkeyPatch, *, let_go: bool
) -> None:
    """They did not know of the hold, which stands; one that its own client has ended there since does not."""
    monkeypatch.setattr("gateway.catchup.SKEW_MS", -1)
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        await other.mute("op1", hold="theirs")
        one.shaky.away = True
        await one.mute("op2", hold="mine")
        await other.drop("op3", hold="mine" if let_go else "theirs", at=Clock().ms())
    one.shaky.away = False
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == (set() if let_go else {"mine"})


async def test_a_call_that_was_healed_is_known_when_the_store_is_away_again(one: Life) -> None:
    """The next mute stands on what the healing came to, not on what was known before it."""
    one.shaky.away = True
    await one.mute("op1", hold="first")
    one.shaky.away = False
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    one.shaky.away = True
    recorded = await one.mute("op2", hold="second")
    assert one.holds(recorded.redaction) == {"first", "second"}


async def test_targets_are_claimed_before_a_call_is_healed(one: Life) -> None:
    """Whoever else may be letting go of the target until then: evidence from before does not count."""
    asked_for = claiming(one)
    one.shaky.lost = 1
    await one.mute("op1")
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert [one.holds(redaction) for redaction in asked_for] == [{"default"}]
    assert (await one.state()).loose_before == 123_456


@pytest.mark.parametrize("found", [False, True], ids=["by-the-call", "by-the-bucket"])
async def test_targets_are_claimed_where_only_the_answer_was_lost(one: Life, *, found: bool) -> None:
    """The store has the mute and nobody knew: its evidence counts once the claims stand, which are asked for once."""
    asked_for = claiming(one)
    one.shaky.deaf = 1
    await one.mute("op1")
    if found:
        one.ledger.catchup.found(await one.shaky.store.entries(KEY, within=WITHIN))
    assert [key for key, _ in one.ledger.local.adrift()] == [KEY]
    for _ in range(2):
        await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert len(asked_for) == 1
    assert (await one.state()).loose_before == 123_456
    assert await one.trail() == [("op1", False)]


async def test_a_claim_for_a_call_under_siege_is_not_waited_for(one: Life) -> None:
    """Somebody changes it each time: still unclaimed, and tried again later."""
    claiming(one)
    one.shaky.deaf = 1
    await one.mute("op1")
    async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
        numbers = iter(range(100))

        async def overtakes(_: Change) -> None:
            await other.mute(f"o{(number := next(numbers))}", hold=f"hold{number % 8}")

        one.shaky.overtake = overtakes
        with pytest.raises(StoreUnavailable, match="claimed"):
            await one.ledger.catchup.heal(KEY, within=WITHIN)
        one.shaky.overtake = None
        await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.ledger.local.adrift() == ()


async def test_a_call_under_siege_is_not_waited_for(one: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are always faster: a mute goes on without the store, a healing stops and is tried again."""
    monkeypatch.setattr("gateway.ledger.ROUNDS", 2)
    monkeypatch.setattr("gateway.catchup.ROUNDS", 2)

    async def faster(change: Change) -> None:
        async with life(one.shaky.store, one.journal._segments._directory / "other") as other:
            await other.mute(f"other{len(one.shaky.committed)}-{change.op}-{change.after.revision}", hold="o")

    one.shaky.overtake = faster
    assert (await one.mute("op1")).durability == "journal"
    with pytest.raises(StoreUnavailable, match="healed"):
        await one.ledger.catchup.heal(KEY, within=30)
    one.shaky.overtake = None
    await one.ledger.catchup.heal(KEY, within=WITHIN)
    assert one.holds(await one.state()) == {"default", "o"}


def test_what_a_process_before_left_behind_proves_nothing_for_a_while() -> None:
    """It may have been killed with an unmute on its way, of which the journal knows nothing."""
    proof = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=5)
    known = decide.mute(Redaction(key=KEY), asked("default"))
    known = replace(known, recorders=tuple(replace(recorder, seen=proof) for recorder in known.recorders))
    kept = Kept(tenant=KEY.tenant, call_id=KEY.call_id, bucket=bucket(KEY), state=encode(known))
    calls = LocalCalls(most=10)
    calls.recall(Recalled(states=(kept,)), lands_before=2_005)
    local = calls.get(KEY)
    assert local is not None
    policy = Policy(reassert_ms=5_000, deadline_ms=2_500)
    assert protected(known, now=10, policy=policy)
    assert not protected(local.redaction, now=10, policy=policy)
