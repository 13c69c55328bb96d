"""A primary that Sentinels replace: found, followed, never trusted blindly."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import RedisError
from servers import SERVICE, Place, Server, under_sentinels, until
from steps import ORDER, call_in, change, commit, eventually, opened, stored
from structlog.testing import capture_logs

from gateway.store import layout, node, primaries
from gateway.store.contract import Committed, Stale, StoreUnavailable, StoreUnfit, StoreUnsettled
from gateway.store.keys import Keys
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping
    from pathlib import Path

    from gateway.store.contract import Change

KEY = call_in(1)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with under_sentinels(tmp_path) as place:
        yield place


async def test_a_primary_is_followed_over_its_death(place: Place) -> None:
    """After a kill the steps go to the next primary, with what was replicated; numbers go on, an operation that
    was taken is not taken again, and the functions are there."""
    async with opened(place.url, replicas=2) as store:
        step = change(KEY, "op1")
        first = await commit(store, step)
        assert first.durability == "replicated"
        (primary,) = await place.primaries()
        await primary.kill()
        with pytest.raises(StoreUnavailable):
            await store.load(KEY, within=5)
        again = await eventually(lambda: commit(store, step))
        assert (again.seq, again.link) == (first.seq, first.link)
        assert (await commit(store, change(KEY, "op2", stored(step, first)))).seq == 2
        assert [entry.seq for entry in await store.entries(KEY, within=5)] == [1, 2]


async def test_replicas_that_do_not_answer_make_a_step_merely_stored(place: Place) -> None:
    """Too few acknowledgements in time: stored, said once in the log, also when the same step is asked again over
    another connection; replicated when they are back."""
    (primary,) = await place.primaries()
    replicas = await place.replicas_of(primary)
    step = change(KEY, "op1")
    async with opened(place.url, replicas=2) as store, opened(place.url, replicas=2) as other:
        for replica in replicas:
            replica.signal(signal.SIGSTOP)
        try:
            with capture_logs() as logs:
                assert (await commit(store, step)).durability == "stored"
                assert (await commit(store, step)).durability == "stored"
                assert (await commit(other, step)).durability == "stored"
        finally:
            for replica in replicas:
                replica.signal(signal.SIGCONT)
        assert [line["event"] for line in logs].count("replicas.missed") == 2  # each store says it once
        with capture_logs() as logs:
            await until(lambda: _replicated(store, step))
        assert "replicas.reached" in [line["event"] for line in logs]
    async with opened(place.url, replicas=3) as store:
        assert (await commit(store, step)).durability == "stored"


async def _replicated(store: RedisStore, step: Change) -> bool:
    return (await commit(store, step)).durability == "replicated"


async def test_a_primary_without_replicas_does_not_acknowledge(place: Place) -> None:
    """With `min-replicas-to-write` a primary that was cut off takes nothing: unknown to us, and not written; its
    absence is worth a warning."""
    (primary,) = await place.primaries()
    with capture_logs() as logs:
        async with opened(place.url):
            pass
    assert "store.unguarded" in [line["event"] for line in logs]
    await primary.client.config_set("min-replicas-to-write", 3)
    with capture_logs() as logs:
        async with opened(place.url) as store:
            with pytest.raises(StoreUnavailable):
                await store.commit(change(KEY, "op1"), within=5)
            assert await store.load(KEY, within=5) is None
            await primary.client.config_set("min-replicas-to-write", 2)
            assert (await commit(store, change(KEY, "op1"))).seq == 1
    assert "store.unguarded" not in [line["event"] for line in logs]


async def test_a_demoted_primary_is_left(place: Place) -> None:
    """A primary that becomes a replica while we are connected: whoever meets it gets "unknown", then the new one;
    nothing is written to the old one, and who listens for changes is told to listen anew."""
    async with opened(place.url) as store:
        await commit(store, change(KEY, "op1"))
        before = await store.load(KEY, within=5)
        listener = asyncio.ensure_future(_heard(store))
        (old,) = await place.primaries()
        await _failed_over(place, old)
        with pytest.raises(StoreUnavailable):
            await store.commit(change(KEY, "op2", before), within=5)
        await eventually(lambda: commit(store, change(KEY, "op2", before)))
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(listener, 20)
        await until(lambda: _has_entries(old, 2))
        assert await old.role() == "slave"


async def _heard(store: RedisStore) -> None:
    async for _ in store.changes():
        pass


async def _failed_over(place: Place, old: Server) -> None:
    """There is another primary, and the old one knows it: Sentinels say so only after ten seconds."""
    await place.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
    await until(lambda: _two_primaries(place))
    (new,) = [server for server in await place.primaries() if server is not old]
    await old.ask("REPLICAOF", "127.0.0.1", new.port)


async def _two_primaries(place: Place) -> bool:
    return len(await place.primaries()) == 2


async def _has_entries(server: Server, count: int) -> bool:
    found: int = await server.client.llen(Keys(KEY).index)
    return found == count


async def test_an_unfit_successor_is_refused(place: Place) -> None:
    """The settings of whoever takes over are checked like those of the first; strict: as good as none."""
    (old,) = await place.primaries()
    for replica in await place.replicas_of(old):
        await replica.client.config_set("appendfsync", "everysec")
    async with opened(place.url) as store:
        await old.kill()
        with capture_logs() as logs:
            await until(lambda: _refused(store, logs))
        with pytest.raises(StoreUnfit, match="appendfsync"):
            await store.open()
        (new,) = await place.primaries()
        await new.client.config_set("appendfsync", "always")
        await eventually(lambda: commit(store, change(KEY, "op1")))


async def _refused(store: RedisStore, logs: list[MutableMapping[str, Any]]) -> bool:
    with pytest.raises(StoreUnavailable):
        await store.load(KEY, within=5)
    return "primary.refused" in [line["event"] for line in logs]


async def test_a_new_primary_takes_no_order_to_unmute_yet(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lets a party be recorded waits until every gateway can have put back what the new primary never had;
    mutes do not wait, nor does the outcome of an order that it already knows. The primary of our start is old."""
    monkeypatch.setattr(primaries, "SETTLE_SECONDS", 600.0)
    async with opened(place.url, replicas=2) as store:
        step = change(KEY, "op1", order=ORDER)
        known = stored(step, await commit(store, step))
        (old,) = await place.primaries()
        await old.kill()
        assert await eventually(lambda: store.load(KEY, within=5)) == known
        with pytest.raises(StoreUnsettled):
            await store.commit(change(call_in(2), "op2", order=ORDER), within=5)
        assert await store.load(call_in(2), within=5) is None
        await commit(store, change(call_in(2), "op3"))
        await commit(store, change(KEY, "op4", known, order=ORDER))
        monkeypatch.setattr(primaries, "SETTLE_SECONDS", 0.0)
        await commit(store, change(call_in(3), "op5", order=ORDER))


async def test_a_deposed_primary_takes_no_order_to_unmute(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not know yet that it is no primary, and so not what its successor was told: an order is not given to it,
    although nobody has noticed anything so far."""
    monkeypatch.setattr(primaries, "SETTLE_SECONDS", 600.0)
    async with opened(place.url) as store, opened(place.url) as other:
        known = stored(change(KEY, "op1"), await commit(store, change(KEY, "op1")))
        (old,) = await place.primaries()
        await until(lambda: _has_entries_everywhere(place, 1))
        await place.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        await eventually(lambda: _moved(other, place, old))
        await commit(other, change(KEY, "op2", known))
        with pytest.raises(StoreUnsettled):
            await store.commit(change(KEY, "op3", known, order=ORDER), within=5)
        assert await old.role() == "master"
        assert await old.client.xlen(Keys(KEY).trail) == 1


async def _moved(store: RedisStore, place: Place, old: Server) -> None:
    await store.ping(within=5)
    if not await _has_left(store, old) or old in await place.leaders():
        raise StoreUnavailable


async def _has_entries_everywhere(place: Place, count: int) -> bool:
    return all([await _has_entries(server, count) for server in place.servers])


async def test_a_primary_that_was_away_when_we_started_is_new(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts without a store cannot know what the one that comes has lost."""
    monkeypatch.setattr(primaries, "SETTLE_SECONDS", 600.0)
    (old,) = await place.primaries()
    await old.kill()
    store = RedisStore(place.url, strict=True)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await eventually(store.open)
    with pytest.raises(StoreUnsettled):
        await store.commit(change(KEY, "op1", order=ORDER), within=5)
    await store.close()


async def test_a_new_primary_is_told_of_once(place: Place) -> None:
    """The probe's word replicates; that the primary is another one is told all the same, once, and also while the
    old one still answers as if nothing had happened."""
    async with opened(place.url) as store:
        await store.probe("n", word="1", within=5)
        assert await store.probe("n", word="2", within=5) == "1"
        (old,) = await place.primaries()
        await place.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        found: list[str] = []
        await until(lambda: _probed(store, found, len(found) + 3))
        assert "" in found
        assert found[-1] == str(len(found) + 1)
        assert await old.role() == "master"  # for ten seconds it does not know that it was replaced


async def _probed(store: RedisStore, found: list[str], number: int) -> bool:
    found.append(await eventually(lambda: store.probe("n", word=str(number), within=5)))
    return "" in found and len(found) > found.index("") + 1


async def test_a_lost_tail_is_stale_and_decided_anew(place: Place) -> None:
    """Steps that were acknowledged and never replicated are gone with their primary: whoever decided on them is
    told the older state, and nothing is written on top of a guess."""
    async with opened(place.url) as store:
        step = change(KEY, "op1")
        kept = stored(step, await commit(store, step))
        (old,) = await place.primaries()
        replicas = await place.replicas_of(old)
        assert await old.client.wait(2, 5000) == 2
        for replica in replicas:
            replica.signal(signal.SIGSTOP)
        await old.ask("CLIENT", "KILL", "TYPE", "REPLICA")
        step = change(KEY, "op2", kept)
        lost = stored(step, await commit(store, step))
        await old.kill()
        for replica in replicas:
            replica.signal(signal.SIGCONT)
        answer = await eventually(lambda: store.commit(change(KEY, "op3", lost), within=5))
        assert answer == Stale(now=kept)
        assert (await commit(store, change(KEY, "op3", kept))).seq == 2


async def test_what_a_replaced_primary_acknowledges_is_unknown(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that was on its way when its primary was replaced, and is acknowledged by the old one after that, is
    not taken for done: it is asked of the new one."""
    monkeypatch.setattr(node, "COMMAND_SECONDS", 20.0)
    async with opened(place.url) as store:
        (old,) = await place.primaries()
        await old.ask("CLIENT", "PAUSE", 20_000, "WRITE")
        under_way = asyncio.ensure_future(store.commit(change(KEY, "op1"), within=20))
        await until(lambda: _is_waiting(old))
        await place.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        await until(lambda: _has_left(store, old))
        await old.ask("CLIENT", "UNPAUSE")
        done = await under_way
        assert isinstance(done, Committed)
        assert [entry.seq for entry in await store.entries(KEY, within=5)] == [done.seq]
        assert await _has_entries(old, 1)


async def _is_waiting(server: Server) -> bool:
    return "cmd=fcall" in str(await server.ask("CLIENT", "LIST"))


async def _has_left(store: RedisStore, old: Server) -> bool:
    await eventually(lambda: store.ping(within=5))
    return (await store._primaries.primary(1)).node.place.port != old.port


async def test_sentinels_that_do_not_answer_or_do_not_know_are_outvoted(place: Place) -> None:
    """One is frozen, one is dead: the third is enough; with none there is no primary, without an answer for long."""
    frozen, dead, _ = place.sentinels
    frozen.signal(signal.SIGSTOP)
    await dead.kill()
    try:
        async with opened(place.url) as store:
            await commit(store, change(KEY, "op1"))
        with pytest.raises(StoreUnavailable):
            async with opened(place.url.replace(f"/{SERVICE}", "/other")):
                pytest.fail("there is no such service")
    finally:
        frozen.signal(signal.SIGCONT)


def test_the_latest_epoch_counts() -> None:
    """A Sentinel that missed a failover tells of the old primary, one that holds the primary to be down of that:
    neither is believed while another knows better, and the last one is better than nothing. The one that carries
    out the failover knows first."""
    stale, down, newer = _said(1, epoch=3), _said(3, epoch=9, down=True), _said(2, epoch=4)
    assert layout._latest([stale, down, newer], RedisError()).primaries[0].port == 2
    assert layout._latest([down], RedisError()).primaries[0].port == 3
    leader = _said(3, epoch=10, down=True, sends_to=4)
    assert layout._latest([leader, stale, newer], RedisError()).primaries[0].port == 4


def _said(port: int, *, epoch: int, down: bool = False, sends_to: int | None = None) -> layout.Said:
    state = {"ip": "127.0.0.1", "port": port, "config-epoch": epoch, "is_sdown": down, "is_odown": False}
    return layout._by_sentinel(state, [b"127.0.0.1", str(sends_to or port).encode()])
