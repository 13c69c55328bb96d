"""What is known of which calls the store lacks something of is what looking at every call would tell."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from gateway.audit.note import Note
from gateway.local import LocalCalls
from gateway.model import CallKey, Hold, HoldKey, Parties, Redaction
from gateway.store.codec import encode

if TYPE_CHECKING:
    from gateway.local import Local

HOLD = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
MOST = 12
_numbers = itertools.count()


def redaction(call: int, *, is_open: bool) -> Redaction:
    key = CallKey(tenant="acme", call_id=f"c{call}")
    return Redaction(key=key, revision=next(_numbers), holds=(HOLD,) if is_open else ())


def note(after: Redaction) -> Note:
    number = next(_numbers)
    return Note(
        op=f"op{number}",
        tenant=after.key.tenant,
        call_id=after.key.call_id,
        bucket=1,
        at=number,
        needed=False,
        open=after.open,
        held=(),
        entry=b"{}",
        state=encode(after),
    )


def done(local: Local, chance: random.Random) -> None:
    """The store has some of it, or all, and who means its recorders was asked or was not."""
    for pending in local.pending[: chance.randrange(4)]:
        local.done(pending)
    local.unclaimed = local.unclaimed and chance.random() < 0.5


def step(calls: LocalCalls, chance: random.Random) -> None:
    after = redaction(chance.randrange(2 * MOST), is_open=chance.random() < 0.7)
    local = calls.get(after.key)
    match chance.randrange(8):
        case 0:
            calls.made(after.key, after)
        case 1:
            calls.made(after.key, after).add(note(after), after)
        case 2:
            calls.lack([note(after), note(after)], lost=chance.random() < 0.5)
        case 3 if local is not None:
            done(local, chance)
        case 4 if local is not None:
            local.follows(after)
        case 5:
            calls.forget(after.key)
        case 6:
            calls.spill(chance.randrange(6))
        case 7 if local is not None and local.spilled:
            local.unspill([note(after) for _ in range(chance.randrange(local.spilled + 1))])


@pytest.mark.parametrize("seed", range(40))
def test_the_calls_that_the_store_lacks_something_of_are_known(seed: int) -> None:
    """After every step, also when it was asked for seldom; each once, and how many steps there are."""
    chance, calls = random.Random(seed), LocalCalls(most=MOST)  # noqa: S311 -- to be had again
    seldom = chance.randrange(1, 9)
    for number in range(400):
        step(calls, chance)
        if number % seldom == 0:
            each = {key: local for key, local in calls._calls.items() if local.adrift}
            adrift = calls.adrift()
            assert len(adrift) == len(each)
            assert all(each[key] is local for key, local in adrift)


def test_what_is_whole_is_not_looked_at() -> None:
    """Ten thousand calls are muted here, and the store lacks something of one."""
    calls = LocalCalls(most=20_000)
    for number in range(10_000):
        whole = redaction(number, is_open=True)
        local = calls.made(whole.key, whole)
        local.done(local.add(note(whole), whole))
        local.unclaimed = False
    other = redaction(10_000, is_open=True)
    calls.made(other.key, other).add(note(other), other)
    assert [key for key, _ in calls.adrift()] == [other.key]
    assert list(calls._gap.calls) == [other.key]
