"""Store and journal in trouble: the answers of the table, and that nothing is missing afterwards."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from trouble import REFUSALS, Desk, Gateway, dense, desk, gateway, lines, refuse, silent, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

_T = TypeVar("_T")


@pytest.fixture
async def place(short_dir: Path) -> AsyncIterator[Desk]:
    async with desk(short_dir) as place:
        yield place


@pytest.fixture
async def gate(place: Desk) -> AsyncIterator[Gateway]:
    async with gateway(place) as gate:
        yield gate


def no_journal(place: Desk) -> None:
    """A file stands where the journal's directory was: nothing can be written there, by nobody."""
    shutil.rmtree(place.journal)
    place.journal.write_text("in the way")


async def test_a_mute_goes_on_without_the_store_and_comes_late(gate: Gateway) -> None:
    """Frozen store: PUT is 200 and proven with durability journal; after it thaws the trail has both entries once,
    dense, and the redaction is the store's."""
    call = gate.desk.call()
    gate.freeze()
    since = time.time_ns()
    status, document = await gate.ask("PUT", call)
    assert (status, document["protected"], document["durability"]) == (200, True, "journal")
    assert (await gate.get(call))["durability"] == "journal"
    gate.thaw()
    await gate.healed()
    document = await gate.get(call)
    assert (document["durability"], document["desired"]) == ("stored", "muted")
    types = [word for word, _ in await gate.types(call)]
    assert types.count("mute.intended") == 1
    assert types.count("mute.confirmed") >= 1
    assert all(map(dense, await gate.numbers()))
    assert silent(call, since=time.time_ns()) or since


async def test_an_unmute_is_refused_without_the_store(gate: Gateway) -> None:
    """Frozen store: DELETE is 503 and the recorder stays silent; thawed, the same DELETE resumes."""
    call = gate.desk.call()
    assert (await gate.ask("PUT", call))[0] == 200
    since = time.time_ns()
    gate.freeze()
    status, problem = await gate.ask("DELETE", call)
    assert (status, problem["code"]) == (503, "store-unavailable")
    assert silent(call, since=since)
    gate.thaw()
    await gate.healed()
    assert silent(call, since=since)
    assert (await gate.ask("DELETE", call))[0] == 200
    assert not silent(call, since=time.time_ns())


async def test_a_mute_goes_on_without_the_journal(gate: Gateway) -> None:
    """No journal: everything as ever, kept by the store alone; the device says that it is down, and comes back."""
    call = gate.desk.call()
    no_journal(gate.desk)
    status, document = await gate.ask("PUT", call)
    assert (status, document["protected"], document["durability"]) == (200, True, "stored")
    assert (await gate.ask("DELETE", call))[0] == 200
    assert await gate.metric('audit_device_up{device="journal"}') == 0
    gate.desk.journal.unlink()

    async def back() -> bool:
        return await gate.metric('audit_device_up{device="journal"}') == 1

    await until(back)


async def test_a_mute_goes_on_without_either(gate: Gateway) -> None:
    """Neither device: PUT is 200 with durability none, GET and DELETE are 503; both back: nothing is missing, in
    either of them."""
    call = gate.desk.call()
    gate.freeze()
    no_journal(gate.desk)
    status, document = await gate.ask("PUT", call)
    assert (status, document["protected"], document["durability"]) == (200, True, "none")
    assert (await gate.ask("GET", call))[0] == 503
    assert (await gate.ask("DELETE", call))[0] == 503
    assert await gate.metric("audit_gap_entries") == 2
    gate.desk.journal.unlink()

    async def journaled() -> bool:
        return (await gate.ask("GET", call))[0] == 200

    await until(journaled)
    assert (await gate.get(call))["durability"] == "journal"
    gate.thaw()
    await gate.healed()
    types = [word for word, _ in await gate.types(call)]
    assert types.count("mute.intended") == 1
    assert all(map(dense, await gate.numbers()))


async def test_only_the_first_waits_for_a_store_that_is_away(gate: Gateway) -> None:
    """Once the store is known to be away nobody waits for it: commands that are not sent take no time."""
    calls = [gate.desk.call() for _ in range(20)]
    gate.freeze()
    assert (await gate.ask("PUT", calls[0]))[0] == 200

    async def known() -> bool:
        return await gate.metric("store_up") == 0

    await until(known)
    before: int = len(list(lines(gate.desk.journal)))
    for call in calls[1:]:
        status, document = await gate.ask("PUT", call)
        assert (status, document["durability"]) == (200, "journal")
    assert len(list(lines(gate.desk.journal))) >= before + 2 * 19
    gate.thaw()
    await gate.healed()
    for call in calls:
        assert [word for word, _ in await gate.types(call)].count("mute.intended") == 1
    assert all(map(dense, await gate.numbers()))


async def test_what_only_the_journal_knows_outlives_the_gateway(place: Desk) -> None:
    """Muted without the store, then the gateway is gone: the next one has the redaction, and its entries come late."""
    call = place.call()
    async with gateway(place) as gate:
        gate.freeze()
        assert (await gate.ask("PUT", call))[1]["durability"] == "journal"
        shutil.copytree(place.journal, place.directory / "kept")
    shutil.rmtree(place.journal)
    shutil.rmtree(place.directory / "appendonlydir")
    (place.directory / "kept").rename(place.journal)
    async with gateway(place) as gate:
        await gate.healed()
        document = await gate.get(call)
        assert (document["desired"], document["holds"][0]["hold"]) == ("muted", "default")
        types = await gate.types(call)
        assert ("mute.intended", True) in types
        assert ("mute.confirmed", True) in types
        assert all(map(dense, await gate.numbers()))


async def test_a_recorder_that_resumes_while_the_store_is_away_is_muted_again(gate: Gateway) -> None:
    """Drift is found and undone by whoever muted the call, although the queue cannot be read."""
    call = gate.desk.call()
    gate.freeze()
    assert (await gate.ask("PUT", call))[0] == 200
    gate.desk.fake.resume(call.call_id)
    since = time.time_ns()
    assert not silent(call, since=since)

    async def again() -> bool:
        return silent(call, since=time.time_ns())

    await until(again)
    gate.thaw()
    await gate.healed()
    assert ("drift.found", True) in await gate.types(call)


async def test_a_store_that_was_wiped_gets_everything_back(gate: Gateway) -> None:
    """FLUSHALL under a running gateway: entries come again as healed, an open redaction is open, a closed one is
    not opened."""
    open_, closed = gate.desk.call(), gate.desk.call()
    assert (await gate.ask("PUT", open_))[0] == 200
    assert (await gate.ask("PUT", closed))[0] == 200
    assert (await gate.ask("DELETE", closed))[0] == 200
    await gate.redis.flushall()

    async def restored() -> bool:
        return (await gate.ask("GET", open_))[0] == 200 and (await gate.ask("GET", closed))[0] == 200

    await until(restored)
    await gate.healed()
    assert (await gate.get(open_))["desired"] == "muted"
    assert (await gate.get(closed))["desired"] == "unmuted"
    types = await gate.types(closed)
    assert [word for word, late in types if late] == [
        "mute.intended",
        "mute.confirmed",
        "unmute.intended",
        "unmute.confirmed",
    ]
    assert ("mute.intended", True) in await gate.types(open_)
    assert all(map(dense, await gate.numbers()))
    assert not silent(closed, since=time.time_ns())


async def test_a_store_that_is_killed_comes_back_by_itself(gate: Gateway) -> None:
    """The embedded server dies under the gateway: mutes go on by the journal, an unmute is refused, the server is
    started again on the same data, and nothing is missing."""
    before, during = gate.desk.call(), gate.desk.call()
    assert (await gate.ask("PUT", before))[0] == 200
    (gate.desk.directory / "appendonlydir").rename(gate.desk.directory / "aside")
    (gate.desk.directory / "appendonlydir").write_text("in the way")  # it stays away for as long as we look
    gate.kill()

    async def known() -> bool:
        return await gate.metric("store_up") == 0

    await until(known)
    status, document = await gate.ask("PUT", during)
    assert (status, document["protected"], document["durability"]) == (200, True, "journal")
    assert (await gate.ask("DELETE", before))[0] == 503
    (gate.desk.directory / "appendonlydir").unlink()
    (gate.desk.directory / "aside").rename(gate.desk.directory / "appendonlydir")
    await gate.healed()
    assert await gate.metric('audit_device_up{device="store"}') == 1
    assert (await gate.get(before))["desired"] == "muted"
    assert [late for _, late in await gate.types(during)].count(True) >= 2
    assert all(map(dense, await gate.numbers()))
    assert (await gate.ask("DELETE", before))[0] == 200


async def test_a_dated_order_that_cannot_be_written_does_not_stop_the_care(gate: Gateway) -> None:
    """The holder's date comes while the store is away: the call stays muted, and is muted again when the recorder
    resumes it; the order is carried out, or said to be missed, when the store is back."""
    call = gate.desk.call()
    assert (await gate.ask("PUT", call, resume_after_seconds=1))[0] == 200
    gate.freeze()
    date = time.time() + 1

    async def passed() -> bool:
        return time.time() > date + 0.5

    await until(passed)
    assert silent(call, since=time.time_ns())
    gate.desk.fake.resume(call.call_id)
    assert not silent(call, since=time.time_ns())

    async def again() -> bool:
        return silent(call, since=time.time_ns())

    await until(again)
    gate.thaw()

    async def carried_out() -> bool:
        types = [word for word, _ in await gate.types(call)]
        return "unmute.confirmed" in types or "resume.missed" in types

    await gate.healed()
    await until(carried_out)


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_store_that_takes_no_writes_is_as_good_as_away(gate: Gateway, name: str) -> None:
    """It answers and refuses: a mute is kept by the journal, an unmute is refused and the call stays silent; when it
    takes writes again everything is there."""
    open_, new = gate.desk.call(), gate.desk.call()
    assert (await gate.ask("PUT", open_))[0] == 200
    (gate.desk.directory / "dump.rdb").mkdir()  # a snapshot cannot be written there
    tell: Any = gate.redis.execute_command
    await refuse(tell, name)
    since = time.time_ns()
    (status, document), put_ms = await timed(gate.ask("PUT", new))
    assert (status, document["protected"], document["durability"]) == (200, True, "journal")
    (status, problem), delete_ms = await timed(gate.ask("DELETE", open_))
    assert (status, problem["code"]) == (503, "store-unavailable")
    assert silent(open_, since=since)
    sys.stdout.write(f"{name}: PUT 200 journal in {put_ms:.0f} ms, DELETE 503 in {delete_ms:.0f} ms\n")
    for words in REFUSALS[name][1]:
        await tell(*words)
    await gate.healed()
    assert [word for word, _ in await gate.types(new)].count("mute.intended") == 1
    assert (await gate.ask("DELETE", open_))[0] == 200
    assert all(map(dense, await gate.numbers()))


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "no journal"])
@pytest.mark.parametrize("store", ["frozen", "killed"])
async def test_how_long_the_answers_of_the_table_take(gate: Gateway, store: str, *, journal: bool) -> None:
    """A mute is 200 by whatever device is left, an unmute is 503: the first that meets the trouble, and the next.
    How long each took is printed."""
    held, calls = gate.desk.call(), [gate.desk.call() for _ in range(3)]
    assert (await gate.ask("PUT", held))[0] == 200
    if not journal:
        no_journal(gate.desk)
    if store == "killed":
        (gate.desk.directory / "appendonlydir").rename(gate.desk.directory / "aside")  # it cannot start again
        (gate.desk.directory / "appendonlydir").write_text("in the way")
    gate.freeze() if store == "frozen" else gate.kill()
    took = []
    for call in calls:
        (status, document), ms = await timed(gate.ask("PUT", call))
        assert (status, document["protected"], document["durability"]) == (200, True, "journal" if journal else "none")
        took.append(ms)
    (status, problem), ms = await timed(gate.ask("DELETE", held))
    assert (status, problem["code"]) == (503, "store-unavailable")
    words = ", ".join(f"{one:.0f}" for one in took)
    sys.stdout.write(f"store {store}, journal {journal}: PUT 200 in {words} ms, DELETE 503 in {ms:.0f} ms\n")
    if not journal:
        gate.desk.journal.unlink()
    if store == "killed":
        (gate.desk.directory / "appendonlydir").unlink()
        (gate.desk.directory / "aside").rename(gate.desk.directory / "appendonlydir")
    gate.thaw()
    await gate.healed()
    for call in calls:
        assert [word for word, _ in await gate.types(call)].count("mute.intended") == 1
    assert all(map(dense, await gate.numbers()))


async def timed(work: Awaitable[_T]) -> tuple[_T, float]:
    """What it gave, and how many milliseconds it took."""
    began = time.perf_counter()
    given = await work
    return given, 1000 * (time.perf_counter() - began)
