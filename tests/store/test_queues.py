"""One command takes the leases of many buckets and tells what is due in them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from servers import clustered
from steps import call_in, change, commit, opened

from gateway.store import keys
from gateway.store.contract import BUCKETS, Asked, Queue, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from redis.asyncio import Redis

    from gateway.store.redis import RedisStore

ALL = range(BUCKETS)
NOTHING = Queue(ours=True, whole=True)
OTHERS = Queue(ours=False, whole=True)


def asked(
    owner: str = "one",
    *,
    take: Collection[int] = ALL,
    ms: int = 60_000,
    until: int = 9,
    most: int = 9,
    enough: int = 99,
) -> Asked:
    return Asked(owner=owner, to_take=frozenset(take), lease_ms=ms, until=until, most=most, enough=enough)


async def test_one_pod_at_a_time_works_a_bucket(store: RedisStore) -> None:
    """Each bucket has one of them; when it is gone, the other takes over after its lease."""
    assert await store.queues([3], asked(), within=5) == {3: NOTHING}
    assert await store.queues([3, 4], asked(ms=1), within=5) == {3: NOTHING, 4: NOTHING}
    assert await store.queues([5], asked(), within=5) == {5: NOTHING}
    await asyncio.sleep(0.05)
    assert await store.queues([3, 4, 5], asked("two"), within=5) == {3: NOTHING, 4: NOTHING, 5: OTHERS}


async def test_a_lease_that_is_had_is_not_taken_anew(store: RedisStore, redis: Redis) -> None:
    """Asking what is due writes nothing and makes no lease last longer."""
    await store.queues([3], asked(ms=60_000), within=5)
    before = await redis.pexpiretime(keys.lease(3))
    await asyncio.sleep(0.02)
    assert await store.queues([3, 4], asked(take=()), within=5) == {3: NOTHING, 4: NOTHING}
    assert await redis.pexpiretime(keys.lease(3)) == before
    assert not await redis.exists(keys.lease(4))


async def test_what_is_due_comes_longest_due_first(store: RedisStore, redis: Redis) -> None:
    """Of every bucket that is ours, by then, and no more than `most`; whoever has less than that has them all."""
    for at, call in enumerate("abcd"):
        await redis.zadd(keys.due(3), {f"{{b3}}:call:acme:{call}": 9 - at})
    await redis.zadd(keys.due(4), {"{b4}:call:acme:e": 1})
    await store.queues([4], asked("two"), within=5)
    found = await store.queues([3, 4], asked(until=8, most=2), within=5)
    assert found == {3: Queue(ours=True, whole=False, keys=found[3].keys), 4: OTHERS}
    assert [key.call_id for key in found[3].keys] == ["d", "c"]
    found = await store.queues([3], asked(until=8), within=5)
    assert [key.call_id for key in found[3].keys] == ["d", "c", "b"]
    assert found[3].whole


async def test_when_enough_is_found_the_rest_is_left_for_later(store: RedisStore) -> None:
    """Leases are taken of all the same; what was not looked at is said to be so."""
    calls = [call_in(number) for number in range(6)]
    await asyncio.gather(*(commit(store, change(key, "op")) for key in calls))
    found = await store.queues(range(6), asked(enough=2), within=5)
    one = [Queue(ours=True, whole=True, keys=(key,)) for key in calls[:2]]
    assert list(found.values()) == [*one, *[Queue(ours=True, whole=False)] * 4]
    assert await store.queues([5], asked("two"), within=5) == {5: OTHERS}


@pytest.mark.parametrize("name", [keys.lease, keys.due])
async def test_a_bucket_that_cannot_be_read_keeps_nobody_from_the_others(
    store: RedisStore, redis: Redis, name: type[str]
) -> None:
    """It is left out."""
    await redis.xadd(name(4), {"no": "queue"})
    assert await store.queues([3, 4, 5], asked(), within=5) == {3: NOTHING, 5: NOTHING}


async def test_an_older_gateway_s_functions_are_no_obstacle(store: RedisStore, redis: Redis) -> None:
    """It loads its own text, which lacks this one, when it connects: whoever needs it loads his again."""
    (library,) = await redis.function_list(withcode=True)
    code: bytes = dict(zip(library[::2], library[1::2], strict=True))[b"library_code"]
    older = "\n".join(line for line in code.decode().splitlines() if "'rgw_v2_queues'" not in line)
    await redis.function_load(older, replace=True)
    assert await store.queues([3], asked(), within=5) == {3: NOTHING}
    key = call_in(3)
    await commit(store, change(key, "op"))
    assert (await store.queues([3], asked(), within=5))[3].keys == (key,)


async def test_a_cluster_that_looks_like_one_server_is_asked_bucket_by_bucket(tmp_path: Path) -> None:
    """An address of one server leads to one of a cluster: that is found out by the first command over several."""
    async with clustered(tmp_path, shards=1, replicas=0) as place:
        (server,) = await place.primaries()
        async with opened(f"redis://127.0.0.1:{server.port}") as store:
            assert store.together([1, 2]) == [[1, 2]]
            with pytest.raises(StoreUnavailable):
                await store.queues([1, 2], asked(), within=5)
            assert store.together([1, 2]) == [[1], [2]]
            assert await store.queues([1], asked(), within=5) == {1: NOTHING}
