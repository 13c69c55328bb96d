"""The service looks at its own trail: what is wrong is an alarm, what is right is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from judges import verdict as judged
from structlog.testing import capture_logs
from trails import KEYRING, Trail, calls

from gateway.audit.findings import Kind
from gateway.clock import Clock
from gateway.model import CallKey
from gateway.store.contract import bucket
from gateway.trail import watch as watch_module
from gateway.trail.look import verify_store
from gateway.trail.rows import BESIDE
from gateway.trail.watch import Watch

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from gateway.store.embedded import EmbeddedServer
    from gateway.store.redis import RedisStore

MEMBERS = [b"e", b"%e", b"h", b"%h", b"t", b"%t"]
NUMBER = bucket(CallKey(tenant="acme", call_id="call-1"))
AUDIT = f"{{b{NUMBER}}}:audit"


@pytest.fixture
async def trail(store: RedisStore) -> Trail:
    trail = Trail(store=store)
    await trail.write(*calls(8))
    await trail.seal()
    return trail


def watching(trail: Trail) -> Watch:
    return Watch(trail.seals, KEYRING, trail.register, node="n1", clock=Clock(ms=trail.time.ms), metrics=trail.metrics)


def failed(trail: Trail) -> float | None:
    return trail.metrics.registry.get_sample_value("audit_verification_failed")


async def alarms(watch: Watch) -> list[str]:
    with capture_logs() as logs:
        await watch.turn()
    return [one["finding"] for one in logs if one["event"] == "verification.failed"]


async def types(trail: Trail) -> list[str]:
    page = await trail.seals.rows(0, since=0, most=1000, within=5)
    return [orjson.loads(one.entry)["type"] for one in page.entries]


async def test_a_trail_that_grows_in_order_is_no_alarm(trail: Trail) -> None:
    """New checkpoints and entries, none, and a loss that the sealer told of."""
    watch = watching(trail)
    for _ in range(3):
        await trail.write(*calls(8), "call-1")
        await trail.seal()
        assert await alarms(watch) == []
        assert await alarms(watch) == []
    assert failed(trail) == 0


async def test_an_edit_of_what_is_new_is_an_alarm(trail: Trail, redis: Redis) -> None:
    """Sealed since the last look, and not so any more: log, metric and an entry, once."""
    watch = watching(trail)
    await watch.turn()
    await trail.write("call-1")
    await trail.seal()
    rows: Any = await redis.xrange(AUDIT)
    await redis.delete(AUDIT)
    for name, fields in rows:
        changed = {key: value.replace(b"agent-17", b"agent-18") for key, value in fields.items()}
        await redis.xadd(AUDIT, changed, id=name)
    said = await alarms(watch)
    assert any(text.startswith(("edited", "seal")) for text in said)
    assert failed(trail) == 1
    assert await alarms(watch) == []
    assert failed(trail) == 1
    assert (await types(trail)).count("verification.failed") == 1


async def test_what_is_taken_away_anywhere_is_an_alarm(trail: Trail, redis: Redis) -> None:
    """Long sealed and looked at, then gone: told once for each bucket."""
    watch = watching(trail)
    await watch.turn()
    await redis.xdel(AUDIT, "1-0")
    assert await alarms(watch) == [f"hole: 1 entries are gone (bucket {NUMBER})"]
    assert await alarms(watch) == []
    assert failed(trail) == 1


async def test_seals_that_were_put_back_are_an_alarm(trail: Trail, redis: Redis) -> None:
    """A checkpoint that we have seen is gone."""
    await trail.write("call-1")
    await trail.seal()
    watch = watching(trail)
    await watch.turn()
    await redis.hset("{b0}:seal", "n", 1)
    assert "rolled back" in "".join(await alarms(watch))


async def test_a_checkpoint_that_does_not_follow_is_an_alarm(trail: Trail, redis: Redis) -> None:
    """Left out, and one that is none."""
    watch = watching(trail)
    await watch.turn()
    for _ in range(2):
        await trail.write("call-1")
        await trail.seal()
    await redis.xdel("{b0}:seals", "2-0")
    await redis.xadd("{b0}:seals", {"c": "x"}, id="9-0")
    said = "".join(await alarms(watch))
    assert "fork" in said
    assert "unreadable" in said


BESIDES = {
    "before": [b"x", b"y", *MEMBERS],
    "between": [*MEMBERS[:2], b"x", b"4111111111111111", *MEMBERS[2:]],
    "behind": [*MEMBERS, b"note", b"never happened"],
    "twice": [b"e", b"{}", *MEMBERS],
    "turned": [*MEMBERS[4:], *MEMBERS[:4]],
    "number": [*MEMBERS[:5], b"0%b"],
}


async def raw_add(redis: Redis, *words: str | bytes) -> None:
    """What no dictionary can hold."""
    await redis.execute_command("XADD", *words)  # type: ignore[no-untyped-call]  # the library has no types here


@pytest.mark.pci("10.3")
@pytest.mark.parametrize("where", [*BESIDES, "id"])
async def test_what_stands_beside_an_entry_is_found(trail: Trail, redis: Redis, where: str) -> None:
    """More members in a row, others, in another order or of another form, or another second half of its id: no link and
    no seal covers them, and no row of ours has them. The service notices, as long as the row is new to it."""
    watch = watching(trail)
    await watch.turn()
    await trail.write("call-1")
    await trail.seal()
    rows: Any = await redis.xrange(AUDIT)
    (first, one), (name, was) = rows
    own = {b"%e": was[b"e"], b"%h": was[b"h"], b"%t": was[b"t"], b"0%b": b"0" + was[b"t"]}
    await redis.delete(AUDIT)
    await redis.xadd(AUDIT, one, id=first)
    changed = [own.get(word, word) for word in BESIDES.get(where, MEMBERS)]
    await raw_add(redis, AUDIT, "2-7" if where == "id" else name, *changed)
    assert [one.text() for one in (await verify_store(trail.seals, KEYRING)).findings] == [
        f"edited: {BESIDE} (bucket {NUMBER}, number 2)"
    ]
    assert await alarms(watch) == [f"edited: {BESIDE} (bucket {NUMBER}, number 2)"]
    assert judged(await trail.export()).whole


async def test_what_stands_beside_a_checkpoint_is_found(trail: Trail, redis: Redis) -> None:
    """As beside an entry."""
    rows: Any = await redis.xrange("{b0}:seals")
    ((name, was),) = rows
    ((member, line),) = was.items()
    for said, words in ((name, [member, line, b"x", b"y"]), (b"1-7", [member, line]), (name, [b"d", line])):
        await redis.delete("{b0}:seals")
        await raw_add(redis, "{b0}:seals", said, *words)
        found = (await verify_store(trail.seals, KEYRING)).findings
        assert [one.text() for one in found] == ["edited: something stands beside checkpoint 1"]


async def test_what_cannot_be_read_is_an_alarm(trail: Trail, redis: Redis) -> None:
    """A row of another form."""
    watch = watching(trail)
    await watch.turn()
    await redis.hset("{b0}:seal", "heads", "[]")
    await redis.delete("{b0}:seals")
    await redis.xadd("{b0}:seals", {"d": "x"}, id="2-0")
    await redis.hset("{b0}:seal", "trimmed", "x")
    assert "unreadable" in "".join(await alarms(watch))


async def test_a_loss_that_was_told_is_not_told_again(trail: Trail, redis: Redis) -> None:
    """The sealer's checkpoint says it; that it is a rollback is for the verification of the whole."""
    watch = watching(trail)
    await trail.write("call-1", "call-1")
    await trail.seal()
    await watch.turn()
    await redis.xdel(AUDIT, "2-0", "3-0")
    await redis.set(f"{{b{NUMBER}}}:seq", 1)
    await trail.seal()
    assert await alarms(watch) == []


async def test_a_store_that_is_away_is_no_verdict(trail: Trail, server: EmbeddedServer) -> None:
    """The look is missed and said so; the metric stays."""
    watch = watching(trail)
    await server.stop()
    with capture_logs() as logs:
        await watch.turn()
    assert [one["event"] for one in logs] == ["verification.missed"]
    assert failed(trail) == 0


async def test_few_calls_are_remembered(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit the links of calls are forgotten; what is new is still verified by its seals."""
    monkeypatch.setattr(watch_module, "REMEMBERED", 0)
    watch = watching(trail)
    for _ in range(3):
        await trail.write("call-1")
        await trail.seal()
        assert await alarms(watch) == []


async def test_it_looks_by_itself(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and then every minute."""
    watch = watching(trail)
    looked = asyncio.Event()
    turn = watch.turn

    async def turned() -> None:
        await turn()
        looked.set()

    monkeypatch.setattr(watch, "turn", turned)
    async with watch.watching(), asyncio.timeout(10):
        await looked.wait()
    assert watch._seals is not None


async def test_what_the_sealer_finds_is_an_alarm(trail: Trail) -> None:
    """At once and until this process ends, once; the entry comes with the next look."""
    watch = watching(trail)
    await watch.turn()
    with capture_logs() as logs:
        watch.found(Kind.ROLLED_BACK, "no checkpoint")
    assert [one["finding"] for one in logs] == ["rolled back: no checkpoint"]
    assert failed(trail) == 1
    for _ in range(2):
        assert await alarms(watch) == []
        assert failed(trail) == 1
        assert (await types(trail)).count("verification.failed") == 1
