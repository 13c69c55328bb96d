"""Two redactions that mean one recorder's call: while one is open, the other's unmute does not reach it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from workshop import POLICY, at, opened

from gateway.asks import Code, Failure
from gateway.evidence import protected
from gateway.model import Action, CallKey, PartialTarget, Parties, Where
from gateway.store.contract import Claim, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from redis.asyncio import Redis

    from gateway.store.redis import RedisStore


async def test_an_unmute_spares_what_another_redaction_holds(store: RedisStore) -> None:
    """Two path ids for one call: dropping the one hold answers 200 and leaves the recorder silent; the last one
    that goes lets it record again."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        await shop.service.mute(shop.ask("second").mute(where=at("a", "x")))
        done = await shop.service.unmute(shop.ask("first").unmute())
        assert done.document.desired == "unmuted"
        assert shop.recorders["a"].silent("x") is Parties.BOTH
        assert await shop.protected("second")
        await shop.service.unmute(shop.ask("second").unmute())
        assert shop.recorders["a"].silent("x") is Parties.NONE


async def test_force_spares_it_too(store: RedisStore) -> None:
    """Force drops one's own holds, not another redaction's."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        await shop.service.mute(shop.ask("second").mute(where=at("a", "x")))
        await shop.service.unmute(shop.ask("first").unmute(force=True))
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_a_start_does_not_put_on_what_another_redaction_holds(store: RedisStore) -> None:
    """`start` under another path id is 409, says which of the recorders is held, and nothing is sent to any."""
    both = Where(targets={"a": PartialTarget(call_id="x"), "b": PartialTarget(call_id="x")})
    async with opened(store, "a", "b") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        with pytest.raises(Failure) as refused:
            await shop.service.control(shop.ask("second").control(action=Action.START, where=both))
        assert refused.value.code is Code.REDACTION_OPEN
        assert [(view.backend, view.error) for view in refused.value.recorders] == [("a", "held"), ("b", None)]
        assert [command.action for command in shop.recorders["a"].commands] == [Action.MUTE]
        assert shop.recorders["b"].commands == []
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_another_tenant_does_not_see_a_held_call(store: RedisStore) -> None:
    """Its PUT is 404, sends nothing, leaves no redaction behind, and the holder notices nothing."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        sent = len(shop.recorders["a"].commands)
        stranger = shop.ask("theirs", client="other", tenant="globex")
        for _ in range(2):
            with pytest.raises(Failure) as refused:
                await shop.service.mute(stranger.mute(where=at("a", "x")))
            assert refused.value.code is Code.CALL_NOT_FOUND
        with pytest.raises(Failure):
            await shop.service.read(stranger.read())
        assert len(shop.recorders["a"].commands) == sent
        await shop.service.unmute(shop.ask("first").unmute())
        assert shop.recorders["a"].silent("x") is Parties.NONE
        await shop.service.mute(stranger.mute(where=at("a", "x")))


async def test_another_tenants_call_is_answered_by_the_same_steps_as_none(store: RedisStore, redis: Redis) -> None:
    """Nobody learns by the clock that there is one: the store and the recorders are asked the same, in either case,
    and the answer is the same."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("held").mute(where=at("a", "x")))
        steps: dict[str, list[object]] = {}
        for call in ("held", "nowhere"):
            theirs = shop.ask(call, client="other", tenant="globex")
            asks = (theirs.read(), theirs.read(refresh=True), theirs.read(audit=True))
            orders = (theirs.unmute(), theirs.unmute(force=True))
            found = [await _steps(shop.service.read(ask), redis) for ask in asks]
            steps[call] = [*found, *[await _steps(shop.service.unmute(order), redis) for order in orders]]
        assert steps["held"] == steps["nowhere"]
        assert [command.action for command in shop.recorders["a"].commands] == [Action.MUTE]


async def _steps(asked: Awaitable[object], redis: Redis) -> object:
    """What the store was asked to do, and what the answer was."""
    before = await redis.info("commandstats")
    with pytest.raises(Failure) as refused:
        await asked
    after = await redis.info("commandstats")
    did = {name: value["calls"] - before.get(name, {"calls": 0})["calls"] for name, value in after.items()}
    assert sum(did.values()) > 1  # the question itself is one
    return did, refused.value.code, refused.value.detail


async def test_a_dead_claim_does_not_keep_a_recorder_silent(store: RedisStore, redis: Redis) -> None:
    """A claim whose redaction is not open (a crash left it) is found out and dropped once it is no longer fresh. Until
    then nobody can tell whether that redaction is about to begin: the DELETE is refused, and the hold stands."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        ghost = CallKey(tenant="acme", call_id="ghost")
        shop.recorders["a"].calls["y"] = Parties.BOTH
        await store.claim("a:call:x", ghost, within=5)
        await store.claim("a:call:y", ghost, within=5)
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        with pytest.raises(Failure) as refused:
            await shop.service.unmute(shop.ask("first").unmute())
        assert refused.value.code is Code.RECORDER_UNAVAILABLE
        assert await shop.protected("first")
        with pytest.raises(Failure) as refused:
            await shop.service.control(shop.ask("second").control(action=Action.START, where=at("a", "y")))
        assert refused.value.code is Code.RECORDER_UNAVAILABLE
        await _age(redis, "a:call:x", ghost)
        await shop.service.unmute(shop.ask("first").unmute())
        assert shop.recorders["a"].silent("x") is Parties.NONE


async def test_an_order_waits_for_a_redaction_that_is_about_to_begin(store: RedisStore) -> None:
    """It has claimed the recorder and is open a moment later: the order is carried out, the recorder stays silent."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        await store.claim("a:call:x", shop.ask("second").key, within=5)
        order = asyncio.create_task(shop.service.unmute(shop.ask("first").unmute()))
        await asyncio.sleep(0.05)
        await shop.service.mute(shop.ask("second").mute(where=at("a", "x")))
        assert (await order).document.desired == "unmuted"
        assert shop.recorders["a"].silent("x") is Parties.BOTH
        assert await shop.protected("second")


async def test_a_mute_waits_for_what_another_redaction_let_loose(store: RedisStore) -> None:
    """An unmute on its way from another path id can still land: evidence from before its end does not count."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        other = CallKey(tenant="acme", call_id="other")
        lands = shop.clock.ms() + 300
        await store.loosen("a:call:x", other, lands_before=lands, over=(), within=5)
        answer = await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        assert answer.document.protected
        assert shop.clock.ms() >= lands
        assert len(shop.recorders["a"].commands) == 2


async def test_claims_are_counted_from_the_first(store: RedisStore) -> None:
    """Renewing does not make a claim younger than its first and tells when that was; a claim that was renewed is not
    dropped as the dead one."""
    key, other = CallKey(tenant="t", call_id="c"), CallKey(tenant="t", call_id="d")
    await store.claim("x", key, within=5)
    (first,) = (await store.claim("x", other, within=5)).others
    await store.claim("x", key, within=5)
    (again,) = (await store.claim("x", other, within=5)).others
    assert (first.since, first.token.split(":")[1], again.token.split(":")[1]) == (again.since, "1", "2")
    assert first.renewed_at <= again.renewed_at
    first = again
    wrong = Claim(key=key, token="1:1")
    kept = await store.loosen("x", other, lands_before=1, over=(wrong,), within=5)
    assert kept.others == (first,)
    gone = await store.loosen("x", other, lands_before=7, over=(first,), within=5)
    assert gone.others == ()
    assert (await store.claim("x", key, within=5)).loose_until == 7


async def test_claims_that_stand_since_the_proof_cast_no_doubt_on_it(store: RedisStore, redis: Redis) -> None:
    """Looked at a moment after the mute all is proven still; where its claims were lost meanwhile it is not."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        stored = await store.load(CallKey(tenant="acme", call_id="first"), within=1.0)
        assert stored is not None
        again = await shop.tools.sharing.claimed(stored.redaction, within=1.0)
        assert protected(again, now=shop.clock.ms(), policy=POLICY)
        await redis.delete(*await redis.keys("*target*"))
        anew = await shop.tools.sharing.claimed(stored.redaction, within=1.0)
        assert not protected(anew, now=shop.clock.ms(), policy=POLICY)


async def test_a_mute_after_an_answered_unmute_waits_for_nothing(store: RedisStore) -> None:
    """An unmute that the recorder answered has landed: whoever mutes next, under any path id, is done at once."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        for path in ("first", "first", "second"):
            shop.recorders["a"].commands.clear()
            assert (await shop.service.mute(shop.ask(path).mute(where=at("a", "x")))).document.protected
            assert len(shop.recorders["a"].commands) == 1
            await shop.service.unmute(shop.ask(path).unmute())


async def test_a_claim_that_was_renewed_is_not_released_by_the_older_one(store: RedisStore) -> None:
    """Between the end of a redaction and the release of its claim a new one of the same call may begin."""
    key, other = CallKey(tenant="t", call_id="c"), CallKey(tenant="t", call_id="d")
    old = (await store.claim("x", key, within=5)).own
    new = (await store.claim("x", key, within=5)).own
    await store.release("x", key, own=old, landed=None, within=5)
    assert [claim.key for claim in (await store.claim("x", other, within=5)).others] == [key]
    await store.release("x", key, own=new, landed=None, within=5)
    assert (await store.claim("x", other, within=5)).others == ()


async def test_without_the_store_a_mute_asks_nobody(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims need the store; a mute does not wait for them."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        for name in ("claim", "commit", "load"):
            monkeypatch.setattr(store, name, away)
        assert (await shop.service.mute(shop.ask("x").mute())).document.protected


async def _age(redis: Redis, target: str, key: CallKey) -> None:
    """Make the claim of `key` a minute older than it is."""
    (name,) = [found async for found in redis.scan_iter(f"*:target:{target}")]
    member = f"{key.tenant}:{key.call_id}"
    claim = await redis.hget(name, member)
    assert isinstance(claim, bytes)
    since, count, renewed = (int(part) for part in claim.decode().split(":"))
    await redis.hset(name, member, f"{since - 60_000}:{count}:{renewed - 60_000}")
