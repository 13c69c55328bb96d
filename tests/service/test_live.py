"""Word of changes travels through the store to every pod, and is looked for again when it was lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from workshop import opened

from gateway import live
from gateway.live import Live
from gateway.model import CallKey, Parties
from gateway.store.contract import StoreUnavailable, Word

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from gateway.store.redis import RedisStore

KEY = CallKey(tenant="acme", call_id="x:with:colons")


async def test_a_change_on_one_pod_wakes_the_listener_on_another(store: RedisStore) -> None:
    """The word comes with the commit, by nothing but the store."""
    heard = Live()
    async with opened(store, "a") as shop, heard.hearing(store), heard.listening(KEY) as changed:
        shop.recorders["a"].calls[KEY.call_id] = Parties.NONE
        async with asyncio.timeout(30):
            while not changed.is_set():  # the subscription may take a moment
                await shop.service.mute(shop.ask(KEY.call_id).mute())
                await asyncio.sleep(0.05)


async def test_a_lost_connection_is_made_again(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the store was away word comes again."""
    monkeypatch.setattr(live, "AGAIN_SECONDS", 0.01)
    tries = []

    async def changes() -> AsyncIterator[Word]:
        tries.append(1)
        if len(tries) == 1:
            raise StoreUnavailable("away")
        yield Word(key=KEY, lets_go=False)

    monkeypatch.setattr(store, "changes", changes)
    heard = Live()
    async with heard.hearing(store), heard.listening(KEY) as changed, asyncio.timeout(30):
        await changed.wait()
    assert len(tries) >= 2


async def test_what_is_no_word_of_ours_is_passed_over(store: RedisStore, redis: Redis) -> None:
    """Anybody may write to the channels."""
    words = store.changes()
    assert await anext(words) is None
    for said in (b"x", b"\xff:a:b", b"{b1}:call:onlyone", b"!{b1}:call:acme:x:with:colons"):
        await redis.publish("{b1}:audit:changes", said)
    assert await asyncio.wait_for(anext(words), 30) == Word(key=KEY, lets_go=True)


async def test_whatever_a_word_trips_over_it_is_listened_on(store: RedisStore) -> None:
    """It is said, and the connection is made again."""
    heard: list[Word | None] = []

    def told(word: Word | None) -> None:
        heard.append(word)
        if len(heard) == 1:
            raise ValueError("what nobody thought of")

    async with Live(told=told).hearing(store):
        for _ in range(1_000):
            if len(heard) > 1:
                break
            await asyncio.sleep(0.02)
    assert heard[:2] == [None, None]


async def test_a_store_that_is_away_gives_no_word(store: RedisStore, redis: Redis) -> None:
    """Its own error, when the connection is cut."""
    words = store.changes()
    assert await anext(words) is None
    task = asyncio.ensure_future(anext(words))
    await asyncio.sleep(0.1)
    await redis.client_kill_filter(_type="pubsub")
    with pytest.raises(StoreUnavailable):
        await task


async def test_everybody_is_woken_at_the_end(store: RedisStore) -> None:
    """And listeners are counted while they are there."""
    heard = Live(most=1)
    async with heard.listening(KEY) as changed:
        assert heard.full
        async with heard.hearing(store):
            pass
        assert changed.is_set()
    assert heard.over
    assert not heard.full
