"""What is heard of other pods counts where the store cannot be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lives import KEY, POLICY, WITHIN, Life, same_bucket, step

from gateway import decide
from gateway.audit.entry import EntryType
from gateway.clock import Clock
from gateway.decide import Reported
from gateway.elsewhere import Elsewhere
from gateway.evidence import protected
from gateway.model import CallKey, Evidence, Observation, Parties, Result
from gateway.store.contract import StoreUnavailable, Word

if TYPE_CHECKING:
    from gateway.model import Redaction
    from gateway.store.contract import Stored

LETS_GO = Word(key=KEY, lets_go=True)
LANDS_MS = 2_000


def listening(one: Life) -> Elsewhere:
    return Elsewhere(one.ledger, lands_before=lambda: Clock().ms() + LANDS_MS)


async def proven(one: Life, op: str = "op2") -> bool:
    """Its recorder is seen silent now. Whether that makes it protected."""
    seen = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=Clock().ms())

    def learn(redaction: Redaction) -> tuple[Redaction, None]:
        report = Reported(at=seen.at, asked_at_revision=redaction.revision, results={"verba": Result(seen=seen)})
        return decide.learn(redaction, report, policy=POLICY), None

    recorded = await one.ledger.step(KEY, step(op, learn, EntryType.MUTE_CONFIRMED, needed=False))
    return protected(recorded.redaction, now=Clock().ms(), policy=POLICY)


async def shown(one: Life) -> bool:
    """What is told without the store: protected or not. `StoreUnavailable`: nothing is."""
    recorded = await one.ledger.read(KEY, within=WITHIN)
    assert recorded is not None
    assert recorded.durability == "journal"
    return protected(recorded.redaction, now=Clock().ms(), policy=POLICY)


async def test_what_others_let_go_is_not_known_here_until_it_was_looked_up(one: Life) -> None:
    """Nor looked after. Word of anything else changes nothing."""
    await one.mute("op1")
    await proven(one)
    heard = listening(one)
    heard.heard(Word(key=KEY, lets_go=False))
    heard.heard(Word(key=CallKey(tenant="acme", call_id="another"), lets_go=True))
    one.shaky.away = True
    assert await shown(one)
    assert one.ledger.orphans(now=10**14) == (KEY,)
    heard.heard(LETS_GO)
    with pytest.raises(StoreUnavailable):
        await shown(one)
    assert one.ledger.orphans(now=10**14) == ()
    one.shaky.away = False
    async with heard.looked_up():
        local = one.ledger.local.get(KEY)
        assert local is not None
        for _ in range(1_000):
            if not local.doubtful:
                break
            await asyncio.sleep(0.02)
    assert not local.doubtful


async def test_what_nobody_heard_is_doubted(one: Life) -> None:
    """Before word began to come anything may have happened: it is looked after, and proven anew."""
    await one.mute("op1")
    await proven(one)
    listening(one).heard(None)
    one.shaky.away = True
    assert not await shown(one)
    assert one.ledger.orphans(now=10**14) == (KEY,)
    assert not await proven(one, "op3")


async def test_one_call_that_cannot_be_looked_up_keeps_no_other_doubtful(
    one: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does whatever it is that one trips over end the care for all others."""
    other = CallKey(tenant="acme", call_id=same_bucket())
    for key in (KEY, other):
        await one.mute(f"op-{key.call_id}", key=key)
    heard, real = listening(one), one.ledger.look_up
    for key in (KEY, other):
        heard.heard(Word(key=key, lets_go=True))

    async def look_up(key: CallKey, *, within: float) -> Stored | None:
        if key == KEY:
            raise ValueError("a state from the future")
        return await real(key, within=within)

    monkeypatch.setattr(one.ledger, "look_up", look_up)
    async with heard.looked_up():
        for _ in range(1_000):
            if other not in one.ledger.local.to_look_up:
                break
            await asyncio.sleep(0.02)
    local = one.ledger.local.get(other)
    assert local is not None
    assert not local.doubtful
    assert one.ledger.local.to_look_up == {KEY}


async def test_a_hold_that_the_store_does_not_have_stands_and_is_proven_anew(one: Life) -> None:
    """They could not know of it, and what was seen before their command can have landed is worth nothing."""
    await one.mute("op1")
    one.shaky.away = True
    await one.mute("op2", hold="second")
    await proven(one, "op3")
    assert await shown(one)
    listening(one).heard(LETS_GO)
    assert not await shown(one)
    assert one.ledger.orphans(now=10**14) == (KEY,)


async def test_a_mute_right_after_the_word_is_proven_after_it(one: Life) -> None:
    """Also where the call was not one of those that were muted here."""
    listening(one).heard(LETS_GO)
    one.shaky.away = True
    await one.mute("op1")
    await proven(one)
    assert not await shown(one)
