"""Every bucket is asked in every round, what is due is begun, and much of it in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.clock import Clock
from gateway.store import keys
from gateway.store.contract import BUCKETS, StoreUnavailable
from gateway.walk import PARTS, TICK_SECONDS, Walk

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from gateway.model import CallKey
    from gateway.store.redis import RedisStore

FEW, MANY = 3, 5 * BUCKETS


class Walked(Walk):
    """Remembers what was begun."""

    def __init__(self, store: RedisStore, owner: str = "n") -> None:
        self.begun: list[CallKey] = []
        super().__init__(store, Clock(), owner=owner, begin=self.begun.append)

    async def found(self) -> list[str]:
        """What one round begins."""
        self.begun.clear()
        await self.round()
        return sorted(key.call_id for key in self.begun)


async def due(redis: Redis, count: int) -> list[str]:
    """So many calls, spread over the buckets."""
    names = [f"call-{number}" for number in range(count)]
    for number, name in enumerate(names):
        at = number % BUCKETS
        await redis.zadd(keys.due(at), {f"{keys.tag(at)}:call:acme:{name}": number + 1})
    return sorted(names)


async def commands(redis: Redis, walked: Walk) -> int:
    """So many did one round take."""
    await redis.config_resetstat()
    await walked.round()
    stats = await redis.info("commandstats")
    return int(stats["cmdstat_fcall"]["calls"])


async def test_what_is_due_is_begun_in_every_round(store: RedisStore, redis: Redis) -> None:
    """Whether little or much is due, and in the round in which little becomes much or much little."""
    walked = Walked(store)
    for count in (0, FEW, MANY, MANY, FEW, FEW, 0):
        await redis.delete(*map(keys.due, range(BUCKETS)))
        names = await due(redis, count)
        assert await walked.found() == names, "also those that were found before and are still due"


async def test_nothing_to_do_is_one_command(store: RedisStore, redis: Redis) -> None:
    """All buckets of one server are asked at once while little is due."""
    walked = Walked(store)
    assert await commands(redis, walked) == PARTS
    assert await commands(redis, walked) == 1
    assert all(walked.leases.has(number) for number in range(BUCKETS))


async def test_much_is_begun_in_parts(store: RedisStore, redis: Redis) -> None:
    """What is met with in a round that was to be of one command is begun in parts as well, and the rounds after it."""
    walked = Walked(store)
    await walked.round()
    await due(redis, MANY)
    assert await commands(redis, walked) == 1 + PARTS
    assert await commands(redis, walked) == PARTS
    await redis.delete(*map(keys.due, range(BUCKETS)))
    assert await commands(redis, walked) == PARTS
    assert await commands(redis, walked) == 1


async def test_no_bucket_waits_longer_than_a_tick(store: RedisStore, redis: Redis) -> None:
    """A round and the rest after it are never longer, whichever way it went."""
    walked = Walked(store)
    longest = TICK_SECONDS * 1.2
    await walked.round()
    assert walked.rest_seconds <= longest / PARTS, "a round in parts took most of it"
    await walked.round()
    assert walked.rest_seconds <= longest * (PARTS - 1) / PARTS, "room for a rest that is asked for once more"
    await due(redis, MANY)
    await walked.round()
    assert walked.rest_seconds == 0, "the next one is in parts: the last of them is a tick later"


async def test_others_buckets_are_left_to_them(store: RedisStore, redis: Redis) -> None:
    """Until their leases are over."""
    one, two = Walked(store, "one"), Walked(store, "two")
    names = await due(redis, FEW)
    assert await one.found() == names
    assert await two.found() == []
    assert not any(two.leases.has(number) for number in range(BUCKETS))
    await redis.delete(*map(keys.lease, range(BUCKETS)))
    assert await two.found() == names


@pytest.mark.parametrize("rounds", [0, 1], ids=["in parts", "at once"])
async def test_one_unreadable_bucket_is_told_after_the_others(store: RedisStore, redis: Redis, rounds: int) -> None:
    """Whoever walks hears of it, and the others' calls are begun."""
    walked = Walked(store)
    for _ in range(rounds):
        await walked.round()
    names = await due(redis, FEW)
    await redis.set(keys.due(BUCKETS - 1), "no queue")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await walked.round()
    assert sorted(key.call_id for key in walked.begun) == names
