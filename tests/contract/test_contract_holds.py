"""Who holds a call silent, at every vendor: the last one to let go has it recorded again, and nobody else."""

from __future__ import annotations

import asyncio
import time

import pytest
from lines import MATRIX
from workbench import Bench, Placed, muted_now, recorded, silent, until

from gateway.model import Parties

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", MATRIX)
async def test_the_last_hold_resumes_and_no_other(bench: Bench, name: str) -> None:
    """Two holds of one client and one of another: the tape stays silent until the third is gone."""
    placed = bench.place(name)
    first = await bench.put(placed, hold="form")
    await bench.put(placed, hold="ivr")
    await bench.put(placed, client="ivr", hold="form")
    assert len((await bench.get(placed)).json["holds"]) == 3
    for query, client in (("?hold=form", "crm"), ("?hold=ivr", "crm")):
        dropped = await bench.delete(placed, query, client=client)
        assert (dropped.status, dropped.protected) == (200, True)
    assert bench.resumes(name, placed) == 0
    last = await bench.delete(placed, "?hold=form", client="ivr")
    assert (last.status, last.json["desired"]) == (200, "unmuted")
    assert silent(placed.call, since=first.received_at, until=last.sent_at)
    assert recorded(placed.call, at=last.received_at)
    assert bench.resumes(name, placed) == 1


@pytest.mark.parametrize("name", MATRIX)
async def test_a_hold_that_is_not_there_changes_nothing(bench: Bench, name: str) -> None:
    """DELETE of an unknown hold, or of another client's: 200, the tape stays silent, nothing is sent."""
    placed = bench.place(name)
    muted = await bench.put(placed)
    for query, client in (("?hold=other", "crm"), ("", "ivr")):
        unchanged = await bench.delete(placed, query, client=client)
        assert (unchanged.status, unchanged.json["desired"]) == (200, "muted")
    assert bench.resumes(name, placed) == 0
    assert silent(placed.call, since=muted.received_at, until=time.time_ns())


@pytest.mark.parametrize("name", [name for name in MATRIX if name.startswith("verba")])
async def test_holds_add_up_and_narrow_without_a_gap(bench: Bench, name: str) -> None:
    """Caller by one hold and called by another is both; dropping one lets that party be recorded and never, not
    for a moment, the other."""
    placed = bench.place(name)
    one = await bench.put(placed, hold="a", parties="caller")
    assert placed.call.tape.muted == Parties.CALLER
    two = await bench.put(placed, hold="b", parties="called")
    assert (two.json["parties"], placed.call.tape.muted) == ("both", Parties.BOTH)
    narrowed = await bench.delete(placed, "?hold=b")
    assert (narrowed.status, narrowed.json["parties"], narrowed.protected) == (200, "caller", True)
    assert placed.call.tape.muted == Parties.CALLER
    assert silent(placed.call, since=one.received_at, until=time.time_ns(), parties=Parties.CALLER)
    assert silent(placed.call, since=two.received_at, until=narrowed.sent_at, parties=Parties.CALLED)
    assert bench.resumes(name, placed) == 0


@pytest.mark.parametrize("name", MATRIX)
async def test_a_mute_repeated_is_one_mute(bench: Bench, name: str) -> None:
    """PUT again, also many at once: 200 each, one hold, silent throughout; one DELETE ends it."""
    placed = bench.place(name)
    first = await bench.put(placed)
    again = await asyncio.gather(*(bench.put(placed) for _ in range(4)))
    assert [reply.body for reply in again if reply.status != 200] == []
    assert {(reply.protected, len(reply.json["holds"])) for reply in again} == {(True, 1)}
    last = await bench.release(placed)
    assert silent(placed.call, since=first.received_at, until=last.sent_at)
    assert recorded(placed.call, at=last.received_at)


@pytest.mark.parametrize("name", MATRIX)
async def test_another_tenant_sees_and_moves_nothing(bench: Bench, name: str) -> None:
    """Another tenant's GET, DELETE and PUT of a held call: 404; the tape stays silent."""
    placed = bench.place(name)
    muted = await bench.put(placed)
    for ask in (bench.get, bench.delete, bench.put):
        assert (await ask(placed, client="stranger")).status == 404
    assert silent(placed.call, since=muted.received_at, until=time.time_ns())
    assert bench.resumes(name, placed) == 0


@pytest.mark.parametrize("name", MATRIX)
async def test_two_redactions_of_one_call_hold_it_until_both_are_gone(bench: Bench, name: str) -> None:
    """The same call by two path ids: dropping one leaves the tape silent, dropping both resumes."""
    one = bench.place(name)
    targets = {name: {"call_id": one.call.call_id}}
    two = Placed(path_id=f"also-{one.path_id}", body={**one.body, "targets": targets}, calls=one.calls)
    muted = await bench.put(one)
    assert (await bench.put(two)).protected
    assert (await bench.delete(one)).status == 200
    assert silent(one.call, since=muted.received_at, until=time.time_ns())
    last = await bench.delete(two)
    assert (last.status, recorded(one.call, at=last.received_at)) == (200, True)


@pytest.mark.parametrize("name", MATRIX)
async def test_the_holders_own_date_resumes(bench: Bench, name: str) -> None:
    """`resume_after_seconds`: silent until then, recorded soon after, by one command."""
    placed = bench.place(name)
    muted = await bench.put(placed, resume_after_seconds=1)
    assert muted.json["holds"][0]["resume_at"]
    await until(lambda: not muted_now(placed.call))
    resumed = placed.call.tape.cuts[-1].at
    assert resumed - muted.sent_at >= 10**9
    assert silent(placed.call, since=muted.received_at, until=resumed - 1)
    assert bench.resumes(name, placed) == 1
