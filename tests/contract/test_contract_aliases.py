"""One call by its extension and by its own id, at every vendor that says which calls an extension has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from lines import MATRIX, TELLING
from workbench import Bench, Placed, muted_now, recorded, silent, until

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _names(bench: Bench, name: str) -> Mapping[str, Placed]:
    """The same call twice: found by its extension, and by its id at the recorder."""
    number = bench.place(name, "extension")
    targets = {name: {"call_id": number.call.call_id}}
    own = Placed(path_id=f"own-{number.path_id}", body={"backends": [name], "targets": targets}, calls=number.calls)
    return {"number": number, "id": own}


async def test_whoever_tells_is_asked(bench: Bench) -> None:
    """These tests leave out exactly those that say of themselves that they cannot tell."""
    assert {name for name in MATRIX if bench.lines[name].capabilities.tells_calls} == set(TELLING)


@pytest.mark.parametrize("order", [("number", "id"), ("id", "number")], ids="-".join)
@pytest.mark.parametrize("name", TELLING)
async def test_either_name_holds_the_call_until_both_are_gone(bench: Bench, name: str, order: tuple[str, str]) -> None:
    """Dropping one leaves the tape silent and the other protected; dropping both resumes, by one command."""
    names = _names(bench, name)
    first, second = (names[word] for word in order)
    muted = await bench.put(first)
    assert (await bench.put(second)).protected
    assert (await bench.delete(first)).status == 200
    assert (await bench.get(second)).protected
    assert bench.resumes(name, first) == 0
    last = await bench.release(second)
    assert silent(first.call, since=muted.received_at, until=last.sent_at)
    assert (last.status, recorded(first.call, at=last.received_at)) == (200, True)


@pytest.mark.parametrize("order", [("number", "id"), ("id", "number")], ids="-".join)
@pytest.mark.parametrize("name", TELLING)
async def test_another_tenant_and_a_start_do_not_get_in_by_the_other_name(
    bench: Bench, name: str, order: tuple[str, str]
) -> None:
    """Another tenant's PUT is 404, a start 409 (422 where there is none): the tape stays silent."""
    names = _names(bench, name)
    first, second = (names[word] for word in order)
    muted = await bench.put(first)
    assert (await bench.put(second, client="stranger")).status == 404
    assert (await bench.post(second, "start")).status in {409, 422}
    assert bench.resumes(name, first) == 0
    assert silent(first.call, since=muted.received_at, until=time.time_ns())


@pytest.mark.parametrize("name", TELLING)
async def test_a_later_call_of_the_number_is_not_let_go_by_its_id(bench: Bench, name: str) -> None:
    """A call that came to the extension later is held by it, too, once it has been seen there."""
    number = _names(bench, name)["number"]
    await bench.put(number)
    later = bench.join(number, name)
    await until(lambda: muted_now(later))
    await bench.get(number, "?refresh=true")
    targets = {name: {"call_id": later.call_id}}
    own = Placed(path_id=f"later-{number.path_id}", body={"backends": [name], "targets": targets}, calls={name: later})
    muted = await bench.put(own)
    assert (await bench.delete(own)).status == 200
    assert silent(later, since=muted.received_at, until=time.time_ns())


@pytest.mark.parametrize("name", [name for name in MATRIX if name.startswith("verba")])
async def test_one_party_of_a_call_that_is_held_for_both(bench: Bench, name: str) -> None:
    """Verba's command sets who is silent: a mute of the caller under another path id leaves both silent."""
    first = bench.place(name)
    targets = {name: {"call_id": first.call.call_id}}
    second = Placed(path_id=f"half-{first.path_id}", body={"backends": [name], "targets": targets}, calls=first.calls)
    muted = await bench.put(first)
    assert (await bench.put(second, parties="caller")).status == 200
    assert silent(first.call, since=muted.received_at, until=time.time_ns())


@pytest.mark.parametrize("order", [("number", "id"), ("id", "number")], ids="-".join)
@pytest.mark.parametrize("name", TELLING)
async def test_of_several_calls_only_the_one_that_is_held_stays_silent(
    bench: Bench, name: str, order: tuple[str, str]
) -> None:
    """An extension with two calls is muted, one of them by its id as well: the other one resumes with the extension,
    the held one with the last of the two that hold it."""
    names = _names(bench, name)
    other = bench.join(names["number"], name)
    first, second = (names[word] for word in order)
    muted = await bench.put(names["number"])
    assert (await bench.put(names["id"])).protected
    dropped = await bench.release(first)
    assert dropped.status == 200
    assert recorded(other, at=dropped.received_at) == (order[0] == "number")
    last = await bench.release(second)
    assert last.status == 200
    assert silent(first.call, since=muted.received_at, until=last.sent_at)
    assert recorded(first.call, at=last.received_at)
    assert recorded(other, at=last.received_at)


@pytest.mark.parametrize("action", ["start", "stop", "keep", "discard"])
@pytest.mark.parametrize("name", MATRIX)
async def test_no_command_of_another_tenant_reaches_a_held_call(bench: Bench, name: str, action: str) -> None:
    """It is 404 for them, or 422 where the vendor knows no such command; nothing is sent."""
    placed = bench.place(name)
    await bench.put(placed)
    sent = bench.sent(name, placed, "command")
    answer = await bench.post(placed, action, client="stranger")
    assert answer.status in {404, 422}
    assert bench.sent(name, placed, "command") == sent
