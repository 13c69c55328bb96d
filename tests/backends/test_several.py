from __future__ import annotations

import asyncio

import pytest

from gateway.backends.contract import BackendError, NoSuchCall, NotSent, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.several import command_all, together
from gateway.model import Evidence, Fault, Parties


def seen(muted: Parties, evidence: Evidence = Evidence.READBACK, *, mixed: bool = False) -> Seen:
    return Seen(muted=muted, evidence=evidence, mixed=mixed)


async def give(outcome: Receipt | Exception) -> Receipt:
    await asyncio.sleep(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


ACCEPTED = Receipt()
MUTED = Receipt(seen=seen(Parties.BOTH, Evidence.ANSWER))
LIVE = Receipt(seen=seen(Parties.NONE, Evidence.ANSWER))


def test_silent_only_where_silent_in_all() -> None:
    """One call that is recorded makes the whole not silent, and mixed."""
    assert together([seen(Parties.BOTH), seen(Parties.NONE)]) == seen(Parties.NONE, mixed=True)
    assert together([seen(Parties.BOTH), seen(Parties.CALLER)]) == seen(Parties.CALLER, mixed=True)
    assert together([seen(Parties.BOTH), seen(Parties.BOTH)]) == seen(Parties.BOTH)
    assert together([seen(Parties.NONE, mixed=True)]) == seen(Parties.NONE, mixed=True)


def test_evidence_is_that_of_the_weakest() -> None:
    """A read-back of one call does not lend its strength to another's bare answer."""
    assert together([seen(Parties.BOTH), seen(Parties.BOTH, Evidence.ANSWER)]).evidence is Evidence.ANSWER


def test_no_calls_prove_nothing() -> None:
    """Silence in all of no calls is no silence."""
    with pytest.raises(NoSuchCall):
        together([])


@pytest.mark.parametrize(
    ("outcomes", "receipt"),
    [
        ([MUTED, MUTED], MUTED),
        ([MUTED, LIVE], Receipt(seen=seen(Parties.NONE, Evidence.ANSWER, mixed=True))),
        ([MUTED, ACCEPTED], ACCEPTED),
        ([MUTED, NoSuchCall()], MUTED),
    ],
)
async def test_one_receipt_for_all(outcomes: list[Receipt | Exception], receipt: Receipt) -> None:
    """A state is given only where every answer carries one; a call that ended meanwhile does not count."""
    assert await command_all([give(outcome) for outcome in outcomes]) == receipt


@pytest.mark.parametrize(
    ("outcomes", "kind", "fault"),
    [
        ([], NoSuchCall, Fault.NO_SUCH_CALL),
        ([NoSuchCall(), NoSuchCall()], NoSuchCall, Fault.NO_SUCH_CALL),
        ([Refused(), NoSuchCall()], Refused, Fault.REFUSED),
        ([NotSent(Fault.BUSY), Refused()], Refused, Fault.REFUSED),
        ([Refused(), Unconfirmed(Fault.TIMEOUT)], Unconfirmed, Fault.TIMEOUT),
        ([MUTED, Unconfirmed(Fault.TIMEOUT)], Unconfirmed, Fault.TIMEOUT),
        ([MUTED, Refused()], Unconfirmed, Fault.NOT_PROVEN),
        ([ACCEPTED, NotSent(Fault.BUSY)], Unconfirmed, Fault.NOT_PROVEN),
    ],
)
async def test_one_error_for_all(outcomes: list[Receipt | Exception], kind: type[BackendError], fault: Fault) -> None:
    """A readable no, or nothing sent, is said only where no command was carried out."""
    with pytest.raises(BackendError) as caught:
        await command_all([give(outcome) for outcome in outcomes])
    assert type(caught.value) is kind
    assert caught.value.fault is fault


async def test_a_bug_is_not_taken_for_an_answer() -> None:
    """An exception that is none of a backend's comes out as it is."""
    with pytest.raises(ZeroDivisionError):
        await command_all([give(MUTED), give(ZeroDivisionError())])
