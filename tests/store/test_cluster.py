"""A cluster: every bucket at its own primary, redirections followed, nothing ever done twice."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import servers
from redis.exceptions import RedisError
from servers import Place, Server, cluster_whole, clustered, until
from steps import call_in, change, commit, eventually, opened, stored
from structlog.testing import capture_logs

from gateway.store import layout
from gateway.store.address import Place as Address
from gateway.store.contract import BUCKETS, Asked, Queue, StoreUnavailable, StoreUnfit
from gateway.store.keys import Keys, tag
from gateway.store.layout import SLOTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.model import CallKey
    from gateway.store.redis import RedisStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENT = {"cluster-node-timeout": "10000"}  # on a busy machine nobody is replaced unless a test wants it


class Shared:
    """One cluster for all tests here. Each leaves it whole; one that does not costs the next a new cluster."""

    def __init__(self, stack: AsyncExitStack, factory: pytest.TempPathFactory) -> None:
        self._stack = stack
        self._factory = factory
        self._place: Place | None = None

    async def place(self) -> Place:
        if self._place is not None:
            return self._place
        directory = self._factory.mktemp("cluster")
        place = await self._stack.enter_async_context(clustered(directory, shards=3, replicas=1, **PATIENT))
        self._place = place
        return place

    async def left(self, place: Place) -> None:
        try:
            await until(lambda: _untouched(place))
        except TimeoutError:
            self._place = None
            await self._stack.aclose()
            return
        for server in await place.primaries():
            await server.client.flushall()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    async with AsyncExitStack() as stack:
        yield Shared(stack, tmp_path_factory)


@pytest_asyncio.fixture(loop_scope="module")
async def place(shared: Shared) -> AsyncIterator[Place]:
    place = await shared.place()
    yield place
    await shared.left(place)


@pytest_asyncio.fixture(loop_scope="module")
async def store(place: Place) -> AsyncIterator[RedisStore]:
    async with opened(place.url, replicas=1) as store:
        yield store


async def test_every_bucket_has_its_primary(place: Place, store: RedisStore) -> None:
    """One step in each bucket, on all shards at once: taken, replicated, readable, due, with numbers of its own;
    everything of a bucket is on one server."""
    calls = [call_in(number) for number in range(BUCKETS)]
    done = await asyncio.gather(*(commit(store, change(key, "op1")) for key in calls))
    assert {one.seq for one in done} == {1}
    assert {one.durability for one in done} == {"replicated"}
    asked = Asked(owner="n", to_take=range(BUCKETS), lease_ms=1000, until=10, most=5, enough=5)
    assert len(store.together(range(BUCKETS))) == BUCKETS
    for number, key in enumerate(calls):
        assert await store.load(key, within=5) is not None
        assert [entry.seq for entry in await store.entries(key, within=5)] == [1]
        assert await store.queues([number], asked, within=5) == {number: Queue(ours=True, whole=True, keys=(key,))}
        assert (await store.trail(number, since=0, most=5, within=5)).newest == 1
    counts = [await server.client.dbsize() for server in await place.primaries()]
    assert sum(counts) == BUCKETS * (5 + 1)
    assert all(counts)


async def test_health_means_all_primaries(place: Place, store: RedisStore) -> None:
    """The probe writes at every primary: what one of them forgot is noticed, one that is frozen is unavailable."""
    assert await store.probe("n", word="1", within=5) == ""
    assert await store.probe("n", word="2", within=5) == "1"
    for word, victim in enumerate(await place.primaries(), start=3):
        await victim.client.flushall()
        assert await store.probe("n", word=f"{word} a", within=5) == ""
        assert await store.probe("n", word=f"{word} b", within=5) == f"{word} a"
    victim = await place.primary_of(tag(BUCKETS - 1))
    victim.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.probe("n", word="5", within=0.2)
    finally:
        victim.signal(signal.SIGCONT)
    await eventually(lambda: store.ping(within=5))


async def test_changes_are_heard_from_every_shard(store: RedisStore) -> None:
    """One subscription hears the changes of all calls, wherever they are."""
    calls = {call_in(number) for number in range(0, BUCKETS, 7)}
    heard: set[CallKey] = set()

    async def listen() -> None:
        nonlocal heard
        async for word in store.changes():
            heard |= {word.key} if word else set()
            if heard >= calls:
                return

    listener = asyncio.ensure_future(listen())
    number = 0
    while not listener.done():
        number += 1
        for key in calls:
            before = await store.load(key, within=5)
            await commit(store, change(key, f"op{number}", before))
    await listener


async def test_a_node_without_the_functions_gets_them(place: Place, store: RedisStore) -> None:
    """A shard that is new, or was flushed, costs one more round trip at that shard."""
    for server in await place.primaries():
        await server.ask("FUNCTION", "FLUSH")
    done = await asyncio.gather(*(commit(store, change(call_in(number), "op1")) for number in range(0, BUCKETS, 5)))
    assert {one.seq for one in done} == {1}


async def test_a_slot_that_moved_is_followed(place: Place, store: RedisStore) -> None:
    """The old owner says where it went and has not executed the command: it is sent there, once."""
    key = call_in(1)
    source, target = await _source_and_target(place)
    await _settle(place, source, target)
    assert (await commit(store, change(key, "op1"))).seq == 1
    assert await target.client.exists(Keys(key).call)
    assert [entry.seq for entry in await store.entries(key, within=5)] == [1]
    await _move_back(place, source, target)


async def test_nobody_is_sent_round_for_ever(place: Place, store: RedisStore) -> None:
    """Two servers that each name the other: unknown after a few hops, and nothing was written."""
    source, target = await _source_and_target(place)
    here, there = [await server.ask("CLUSTER", "MYID") for server in (source, target)]
    await target.ask("CLUSTER", "SETSLOT", SLOTS[1], "NODE", here)
    await source.ask("CLUSTER", "SETSLOT", SLOTS[1], "NODE", there)
    with pytest.raises(StoreUnavailable, match="ClusterDown"):
        await store.commit(change(call_in(1), "op1"), within=5)
    await _settle(place, source, target)
    assert await store.load(call_in(1), within=5) is None
    await _move_back(place, source, target)


async def test_a_cluster_that_a_test_broke_is_replaced(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next test gets another one, whole and with other servers."""
    broken = await shared.place()
    await broken.servers[0].kill()
    monkeypatch.setattr(servers, "PATIENCE_SECONDS", 0.5)
    await shared.left(broken)
    monkeypatch.undo()
    place = await shared.place()
    assert place is not broken
    assert await _untouched(place)


async def test_a_slot_on_its_way_is_asked_for(place: Place, store: RedisStore) -> None:
    """While a slot migrates a new call is taken by the server it goes to; a call of which one half is here and the
    other there is unknown, and nothing is written of it until it is whole again."""
    key, (source, target) = call_in(1), await _source_and_target(place)
    names = Keys(key)
    step = change(key, "op1")
    known = stored(step, await commit(store, step))
    queue = Asked(owner="one", to_take={1}, lease_ms=60_000, until=2**42, most=9, enough=9)
    await _migrating(source, target)
    assert await store.queues([1], queue, within=5) == {1: Queue(ours=True, whole=True, keys=(key,))}
    await source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 2000, "KEYS", names.trail, names.sequence)
    assert await store.queues([1], queue, within=5) == {1: Queue(ours=True, whole=True, keys=(key,))}
    with pytest.raises(StoreUnavailable, match="TryAgain"):
        await store.commit(change(key, "op2", known), within=5)
    assert await source.client.llen(names.index) == 1
    await source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 2000, "KEYS", names.call, names.index, names.due)
    assert (await commit(store, change(key, "op2", known))).seq == 2
    assert not await _has(source, names.call)
    assert [entry.seq for entry in await store.entries(key, within=5)] == [1, 2]
    await _settle(place, source, target)
    await _move_back(place, source, target)


async def test_an_unfit_shard_is_refused(place: Place) -> None:
    """Every primary is checked, not only the first."""
    for server in await place.primaries():
        await server.client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreUnfit, match="maxmemory-policy"):
            async with opened(place.url):
                pytest.fail("it was opened")
        await server.client.config_set("maxmemory-policy", "noeviction")
    async with opened(place.url):
        pass


async def test_a_shard_that_dies_is_followed(place: Place, store: RedisStore) -> None:
    """After a kill its buckets go to its replica with what was replicated, the others go on meanwhile; the dead one
    comes back as a replica."""
    key = call_in(BUCKETS - 1)
    step = change(key, "op1")
    first = await commit(store, step)
    victim = await place.primary_of(tag(BUCKETS - 1))
    owners = [await place.primary_of(tag(number)) for number in range(BUCKETS)]
    other = next(number for number, owner in enumerate(owners) if owner is not victim)
    for server in place.servers:
        await server.client.config_set("cluster-node-timeout", servers.DOWN_MS)
    await victim.kill()
    with pytest.raises(StoreUnavailable):
        await store.load(key, within=5)
    assert (await commit(store, change(call_in(other), "op1"))).seq == 1
    again = await eventually(lambda: commit(store, step))
    assert (again.seq, again.link) == (first.seq, first.link)
    assert (await commit(store, change(key, "op2", stored(step, first)))).seq == 2
    await victim.start()
    await until(lambda: cluster_whole(place))
    assert await victim.role() == "slave"
    for server in place.servers:
        await server.client.config_set("cluster-node-timeout", PATIENT["cluster-node-timeout"])


async def test_a_cluster_that_is_not_whole_is_unavailable(place: Place, store: RedisStore) -> None:
    """A slot that nobody has: its buckets are unknown; nobody waits, nothing breaks, and it comes back by itself."""
    await commit(store, change(call_in(1), "op1"))
    source = await place.primary_of(tag(1))
    for server in await place.primaries():
        await server.ask("CLUSTER", "DELSLOTS", SLOTS[1])
    with capture_logs(), pytest.raises(StoreUnavailable):
        await store.commit(change(call_in(1), "op2"), within=5)
    with pytest.raises(StoreUnavailable):
        await store.load(call_in(1), within=5)
    await source.ask("CLUSTER", "ADDSLOTS", SLOTS[1])
    await eventually(lambda: store.load(call_in(1), within=5))


async def test_a_map_with_holes_is_none() -> None:
    """Only an answer that has a primary for every bucket counts; a node without a name is where it was asked."""
    asked = Address(host="10.0.0.1", port=1)
    assert layout._by_slots([[0, 9000, [b"127.0.0.1", 7000, b"id"]]], asked) is None
    assert layout._by_slots(RedisError("no"), asked) is None
    whole = layout._by_slots([[0, 16383, [b"", 7000, b"id"], [None, 7001, b"id"], [b"?", 7002, b"id"]]], asked)
    assert whole is not None
    assert set(whole.primaries) == {Address(host="10.0.0.1", port=7000)}
    assert {place.port for place in whole.others} == {7000, 7001, 7002}


async def _source_and_target(place: Place) -> tuple[Server, Server]:
    """Who has bucket 1, and another primary."""
    source = await place.primary_of(tag(1))
    return source, next(server for server in await place.primaries() if server is not source)


async def _migrating(source: Server, target: Server) -> None:
    there, here = [await server.ask("CLUSTER", "MYID") for server in (target, source)]
    await target.ask("CLUSTER", "SETSLOT", SLOTS[1], "IMPORTING", here)
    await source.ask("CLUSTER", "SETSLOT", SLOTS[1], "MIGRATING", there)


async def _settle(place: Place, source: Server, target: Server) -> None:
    """The slot is the target's, for all nodes. The target must have been importing: only that raises its epoch above
    the source's, whose next word would otherwise take the slot back."""
    here, there = [await server.ask("CLUSTER", "MYID") for server in (source, target)]
    await target.ask("CLUSTER", "SETSLOT", SLOTS[1], "IMPORTING", here)
    for server in (target, source):
        await server.ask("CLUSTER", "SETSLOT", SLOTS[1], "NODE", there)
    await until(lambda: _owns(place, target))


async def _move_back(place: Place, source: Server, target: Server) -> None:
    """As it was, without what the test wrote."""
    await target.client.flushall()
    await _settle(place, target, source)


async def _owns(place: Place, owner: Server) -> bool:
    """Every node has heard of it."""
    return all([(await _owners(server))[1] == [owner.port] for server in place.servers])


async def _untouched(place: Place) -> bool:
    """Whole, of one mind about every bucket, and fit."""
    if not await cluster_whole(place) or len(await place.primaries()) != place.shards:
        return False
    views = {str(await _owners(server)) for server in place.servers}
    policies = [await server.client.config_get("maxmemory-policy") for server in place.servers]
    return len(views) == 1 and all(policy["maxmemory-policy"] == "noeviction" for policy in policies)


async def _owners(server: Server) -> list[list[int]]:
    """The ports of whoever it holds to have each bucket."""
    found = await server.ask("CLUSTER", "SLOTS")
    return [[first[2][1] for first in found if first[0] <= slot <= first[1]] for slot in SLOTS]


async def _has(server: Server, name: str) -> bool:
    try:
        return bool(await server.client.exists(name))
    except RedisError:
        return False
