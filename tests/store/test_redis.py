"""The store keeps state, trail and queue in one step, and takes an operation once."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, link
from gateway.model import CallKey, Redaction
from gateway.store.contract import BUCKETS, Change, Committed, Stale, Stored, StoreUnavailable, StoreUnfit, bucket
from gateway.store.embedded import EmbeddedServer
from gateway.store.keys import Keys
from gateway.store.redis import RedisStore

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

KEY = CallKey(tenant="acme", call_id="call-1")


def change(op: str, before: Stored | None, *, revision: int, entry: bytes = b"{}", due_at: int | None = 5) -> Change:
    head = before.head if before else GENESIS
    return Change(
        op=op,
        before=before,
        after=Redaction(key=KEY, revision=revision),
        entry=entry,
        link=link(b"k", head, entry),
        due_at=due_at,
        keep_ms=None,
    )


async def commit(store: RedisStore, step: Change) -> Committed:
    done = await store.commit(step, within=5)
    assert isinstance(done, Committed)
    return done


def stored(step: Change, done: Committed) -> Stored:
    return Stored(redaction=step.after, head=done.link, seq=done.seq)


async def test_state_and_entry_are_written_together(store: RedisStore) -> None:
    """After a step the state, its chain head and its entry can all be read, under the number that was given."""
    step = change("op1", None, revision=1, entry=b'{"a":1}')
    done = await commit(store, step)
    assert await store.load(KEY, within=5) == stored(step, done)
    (entry,) = await store.entries(KEY, within=5)
    assert (entry.seq, entry.link, entry.entry, entry.at) == (done.seq, done.link, b'{"a":1}', done.at)
    assert entry.members() == {"a": 1, "bucket": bucket(KEY), "seq": 1, "at": done.at, "hash": done.link}


async def test_an_operation_is_taken_once(store: RedisStore) -> None:
    """The same operation id a second time gives the first answer and changes nothing."""
    step = change("op1", None, revision=1)
    first = await commit(store, step)
    again = await commit(store, step)
    assert again == first, "also when: no seal could be held against another time"
    assert len(await store.entries(KEY, within=5)) == 1


async def test_an_operation_is_remembered_after_others(store: RedisStore) -> None:
    """A step that is tried again after somebody else's step is still taken once."""
    first = change("op1", None, revision=1)
    done = await commit(store, first)
    await commit(store, change("op2", stored(first, done), revision=2))
    assert (await commit(store, first)).seq == done.seq
    assert len(await store.entries(KEY, within=5)) == 2


async def test_a_stale_step_is_not_taken_and_tells_what_is(store: RedisStore) -> None:
    """Whoever decided on an older state gets the newer one, and nothing is written."""
    step = change("op1", None, revision=1)
    done = await commit(store, step)
    assert await store.commit(change("op2", None, revision=1), within=5) == Stale(now=stored(step, done))
    forged = Stored(redaction=step.after, head="00", seq=1)
    assert isinstance(await store.commit(change("op3", forged, revision=2), within=5), Stale)
    assert len(await store.entries(KEY, within=5)) == 1


async def test_a_step_on_a_call_that_is_gone_says_so(store: RedisStore) -> None:
    """Deciding on a state that has meanwhile expired is stale against nothing."""
    old = Stored(redaction=Redaction(key=KEY, revision=3), head="ab", seq=9)
    assert await store.commit(change("op1", old, revision=4), within=5) == Stale(now=None)


async def test_bucket_numbers_are_dense_under_contention(store: RedisStore) -> None:
    """Forty writers at once: forty numbers, none missing, none twice; the losers decide anew."""

    async def writer(number: int) -> int:
        before: Stored | None = None
        for _ in range(100):
            revision = before.redaction.revision + 1 if before else 1
            match await store.commit(change(f"op{number}", before, revision=revision), within=5):
                case Committed() as done:
                    return done.seq
                case Stale(now=now):
                    before = now
        raise AssertionError

    numbers = await asyncio.gather(*(writer(number) for number in range(40)))
    assert sorted(numbers) == list(range(1, 41))


async def test_the_queue_follows_the_state(store: RedisStore, redis: Redis) -> None:
    """A step that is due puts the call into the bucket's queue, one that is not takes it out."""
    keys = Keys(KEY)
    step = change("op1", None, revision=1, due_at=777)
    done = await commit(store, step)
    assert await redis.zscore(keys.due, keys.call) == 777
    await commit(store, change("op2", stored(step, done), revision=2, due_at=None))
    assert await redis.zscore(keys.due, keys.call) is None


async def test_a_closed_call_expires_and_a_reopened_one_does_not(store: RedisStore, redis: Redis) -> None:
    """`keep_ms` limits the life of state and index; the next step without it takes the limit away."""
    keys = Keys(KEY)
    step = replace(change("op1", None, revision=1), keep_ms=60_000)
    done = await commit(store, step)
    assert 0 < await redis.pttl(keys.call) <= 60_000
    assert 0 < await redis.pttl(keys.index) <= 60_000
    await commit(store, change("op2", stored(step, done), revision=2))
    assert await redis.pttl(keys.call) == -1


async def test_the_library_is_loaded_again_when_the_server_lost_it(store: RedisStore, redis: Redis) -> None:
    """A server without the functions (flushed, replaced) costs one more round trip, not an error."""
    await redis.function_flush()
    assert (await commit(store, change("op1", None, revision=1))).seq == 1


async def test_state_outlives_both_processes(short_dir: Path) -> None:
    """Server and client are stopped and started anew: the state is there, and the numbers go on."""
    seqs = []
    before = None
    for revision in (1, 2):
        server = EmbeddedServer(short_dir)
        await server.start()
        store = RedisStore(server.url, strict=True)
        await store.open()
        assert await store.load(KEY, within=5) == before
        step = change(f"op{revision}", before, revision=revision)
        done = await commit(store, step)
        before = stored(step, done)
        seqs.append(done.seq)
        await store.close()
        await server.stop()
    assert seqs == [1, 2]


async def test_a_frozen_server_is_unavailable_and_the_step_is_taken_once(
    server: EmbeddedServer, store: RedisStore
) -> None:
    """Nobody waits longer than told; the step under way may still be taken, and asking again finds it taken."""
    assert server.pid is not None
    step = change("op1", None, revision=1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.commit(step, within=0.1)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (await commit(store, step)).seq == 1
    assert len(await store.entries(KEY, within=5)) == 1


async def test_a_dead_server_is_unavailable(server: EmbeddedServer, store: RedisStore) -> None:
    """No server, no answer, one kind of error."""
    await server.stop()
    with pytest.raises(StoreUnavailable):
        await store.load(KEY, within=2)
    with pytest.raises(StoreUnavailable):
        await store.ping(within=2)


async def test_a_server_that_forgets_is_refused(server: EmbeddedServer, redis: Redis) -> None:
    """Each setting under which an acknowledged step could be lost or evicted is named and refused."""
    for name, value in (("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")):
        good = (await redis.config_get(name))[name] or ""
        await redis.config_set(name, value)
        strict = RedisStore(server.url, strict=True)
        with pytest.raises(StoreUnfit, match=name):
            await strict.open()
        await strict.close()
        lenient = RedisStore(server.url, strict=False)
        await lenient.open()
        await lenient.close()
        await redis.config_set(name, good)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_a_call_has_one_bucket_and_one_slot(tenant: str, call_id: str) -> None:
    """All keys of a call carry the same tag, of one of the buckets."""
    keys = Keys(CallKey(tenant=tenant, call_id=call_id))
    assert 0 <= keys.bucket < BUCKETS
    assert all(name.startswith(f"{{b{keys.bucket}}}:") for name in keys.all())
