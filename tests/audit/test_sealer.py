"""Sealing on a real store: what is new is sealed once, by one, and never by guess."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from judges import both, verdict
from structlog.testing import capture_logs
from trails import HMAC_KEY, KEYRING, OLD_HMAC_KEY, OLD_SEED, OTHER_SEED, SEED, Trail, calls, some_entry

from gateway.audit import seal
from gateway.audit.entry import healed
from gateway.audit.findings import Kind
from gateway.audit.keyring import Keyring
from gateway.audit.signed import Signer, line_hash
from gateway.metrics import Metrics
from gateway.model import CallKey
from gateway.store.contract import StoreUnavailable, bucket
from gateway.store.seals import SealStore
from gateway.trail.look import verify_store
from gateway.trail.sealer import Refused

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from gateway.audit.seal import Head
    from gateway.store.embedded import EmbeddedServer
    from gateway.store.redis import RedisStore

WITHIN = 5.0
SEAL, SEALS = "{b0}:seal", "{b0}:seals"


@pytest.fixture
def trail(store: RedisStore) -> Trail:
    return Trail(store=store)


async def lines(trail: Trail) -> list[bytes]:
    return [one.line for one in await trail.seals.checkpoints(since=1, most=100, within=WITHIN)]


async def types(trail: Trail) -> list[tuple[str, int | None]]:
    """The entries about no call, each with the checkpoint that it names."""
    page = await trail.seals.rows(0, since=0, most=1000, within=WITHIN)
    found = [orjson.loads(one.entry) for one in page.entries]
    return [(one["type"], one.get("checkpoint")) for one in found if "call_id" not in one]


async def test_every_checkpoint_names_the_one_before(trail: Trail) -> None:
    """Three checkpoints, signed, linked, each with what had changed, all of it under the root."""
    await trail.write(*calls(20))
    assert await trail.seal() == 1
    await trail.write("call-1")
    assert await trail.seal() == 2
    await trail.write("call-2", "call-3")
    assert await trail.seal() == 3
    found = await lines(trail)
    read = [seal.read(line) for line in found]
    assert [one.number for one in read] == [1, 2, 3]
    assert [one.previous for one in read] == ["", line_hash(found[0]), line_hash(found[1])]
    assert all(KEYRING.publics.signs(line, one.key) for line, one in zip(found, read, strict=True))
    assert len(read[2].heads) == len({bucket(key) for key in trail.known if key.call_id in {"call-2", "call-3"}})
    heads = {**read[0].heads, **read[1].heads, **read[2].heads}
    assert read[2].root == seal.root(heads)
    assert both(await trail.export()).whole
    assert (await verify_store(trail.seals, KEYRING)).whole


async def test_without_news_it_seals_once_a_minute(trail: Trail) -> None:
    """Nothing new: no checkpoint before a minute is over."""
    await trail.write("call-1")
    await trail.seal()
    await trail.seal()  # that the sealing began is an entry itself
    assert await trail.seal() == 2
    trail.time.now += 59_999
    assert await trail.seal() == 2
    trail.time.now += 1
    assert await trail.seal() == 3
    assert seal.read((await lines(trail))[-1]).heads == {}


async def test_a_seal_goes_to_the_log_stream_as_it_is(trail: Trail) -> None:
    """In a form that no masking touches; and the metric says when."""
    with capture_logs() as logs:
        await trail.write("call-1")
        await trail.seal()
    (made,) = (one for one in logs if one["event"] == "seal.made")
    assert base64.b64decode(made["seal"]) == (await lines(trail))[0]
    at = trail.metrics.registry.get_sample_value("audit_last_seal_timestamp_seconds")
    assert at == trail.time.now / 1000


async def test_two_sealers_cannot_fork(trail: Trail) -> None:
    """Both go on from the same checkpoint: the store takes one, the other begins anew and then goes on."""
    await trail.write("call-1")
    await trail.seal()
    other = trail.another("n2")
    await other.seal()
    await trail.write("call-2")
    with pytest.raises(StoreUnavailable):
        await trail.seal()
    await trail.seal()
    await trail.write("call-3")
    with pytest.raises(StoreUnavailable):
        await other.seal()
    assert (await verify_store(trail.seals, KEYRING)).whole
    assert both(await trail.export()).whole


async def test_only_the_holder_of_the_lease_seals(trail: Trail) -> None:
    """The other one's turn does nothing, until the first one's lease is over."""
    other = trail.another("n2")
    await trail.write("call-1")
    await trail.sealer.turn()
    made = (await trail.seals.newest(within=WITHIN)).number
    await trail.write("call-2")
    await other.turn()
    assert (await trail.seals.newest(within=WITHIN)).number == made
    await trail.store.ask(WITHIN, 0, ("DEL", "{b0}:seal:lease"))
    await other.turn()
    assert (await trail.seals.newest(within=WITHIN)).number == made + 1


async def test_each_beginning_is_an_entry(trail: Trail) -> None:
    """With the first checkpoint that was made."""
    await trail.write("call-1")
    await trail.seal()
    await trail.seal()
    other = trail.another("n2")
    await trail.write("call-2")
    await other.seal()
    assert await types(trail) == [("seal.started", 1), ("seal.started", 3)]


async def test_an_answer_that_was_lost_is_asked_for_again(trail: Trail) -> None:
    """The same checkpoint twice is one checkpoint; another one under its number is refused."""
    await trail.write("call-1")
    await trail.seal()
    newest = await trail.seals.newest(within=WITHIN)
    again: dict[str, Any] = {"line": b"x", "heads": b"{}", "trims": False, "within": WITHIN}
    assert await trail.seals.seal(newest, 2, "h2", **again)
    assert await trail.seals.seal(newest, 2, "h2", **again)
    assert not await trail.seals.seal(newest, 2, "other", **again)
    assert len(await lines(trail)) == 2


async def test_a_new_key_is_an_entry_and_the_old_ones_verify(store: RedisStore) -> None:
    """Both keys are replaced: the change of each is in the trail, and everything verifies with the old ones known,
    nothing without them. The pod that lacks the new key seals no more."""
    old = Trail(store=store, keyring=Keyring.of(hmac_key=OLD_HMAC_KEY, signing_key=OLD_SEED))
    await old.write(*calls(5))
    await old.seal()
    public = Signer.of(OLD_SEED).public
    ring = Keyring.of(hmac_key=HMAC_KEY, signing_key=SEED, old_hmac_keys=[OLD_HMAC_KEY], old_public_keys=[public])
    new = Trail(store=store, keyring=ring, known=old.known, steps=old.steps)
    await new.write(*calls(8))
    await new.seal()
    await new.seal()
    assert await types(new) == [("seal.started", 1), ("key.rotated", 1), ("key.rotated", 1), ("seal.started", 2)]
    export = await new.export()
    assert both(export, ring, [public]).whole
    assert not verdict(export, Keyring.of(hmac_key=HMAC_KEY, signing_key=SEED)).whole
    assert not verdict(export, replace(ring, chains=ring.chains[:1])).whole
    assert (await verify_store(new.seals, ring)).whole
    with pytest.raises(StoreUnavailable):
        await old.seal()
    with pytest.raises(Refused, match="no key of ours"):
        await old.seal()


async def test_a_key_does_not_come_back(store: RedisStore) -> None:
    """A checkpoint of the old key after one of the new: whoever kept the old key made it."""
    public = Signer.of(OLD_SEED).public
    ring = Keyring.of(hmac_key=HMAC_KEY, signing_key=SEED, old_public_keys=[public])
    thief = Keyring.of(hmac_key=HMAC_KEY, signing_key=OLD_SEED, old_public_keys=[KEYRING.signer.public])
    for keyring in (thief, ring, thief):
        trail = Trail(store=store, keyring=keyring)
        await trail.sealer.seal()
        trail.time.now += 60_000
        await trail.sealer.seal()
    kinds = {one.kind for one in (await verify_store(SealStore(store), ring)).findings}
    assert kinds == {Kind.OUTDATED_KEY}


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        (("HSET", SEAL, "heads", '{"3":[1,"","" ]}'), "not those"),
        (("HSET", SEAL, "heads", "[]"), "not heads"),
        (("HSET", SEAL, "hash", "other"), "not there"),
        (("DEL", SEALS), "not there"),
    ],
)
async def test_it_does_not_go_on_from_what_is_not_its_own(
    trail: Trail, redis: Redis, meddle: tuple[str, ...], why: str
) -> None:
    """Heads, hash or checkpoints were changed: nothing is sealed, and it is said once."""
    await trail.write("call-1")
    await trail.seal()
    client: Any = redis
    await client.execute_command(*meddle)
    other = trail.another("n1")
    with pytest.raises(Refused, match=why):
        await other.seal()
    with capture_logs() as logs:
        await other.turn()
        await other.turn()
    assert [one["event"] for one in logs] == ["seal.refused"]


async def test_a_forged_checkpoint_is_not_gone_on_from(trail: Trail, redis: Redis) -> None:
    """Somebody who may write to the store puts a checkpoint of their own there."""
    await trail.write("call-1")
    await trail.seal()
    newest = await trail.seals.newest(within=WITHIN)
    forged = Keyring.of(hmac_key=HMAC_KEY, signing_key=OTHER_SEED).signer.line(
        replace(seal.read((await lines(trail))[0]), number=2).body()
    )
    await redis.xadd(SEALS, {"c": forged}, id="2-0")
    await redis.hset(SEAL, mapping={"n": 2, "hash": line_hash(forged), "heads": newest.heads})
    with pytest.raises(Refused, match="no key of ours"):
        await trail.another("n2").seal()
    assert Kind.SIGNATURE in {one.kind for one in (await verify_store(trail.seals, KEYRING)).findings}


async def test_a_store_that_is_away_is_no_end(trail: Trail, server: EmbeddedServer) -> None:
    """A turn without a store is missed, with a word in the log."""
    await server.stop()
    with capture_logs() as logs:
        await trail.sealer.turn()
    assert [one["event"] for one in logs] == ["seal.missed"]


async def test_a_surprise_is_no_end(trail: Trail, redis: Redis) -> None:
    """A row that nobody of ours has written trips one turn, loudly."""
    await trail.write("call-1")
    await redis.set("{b5}:seq", 1)
    await redis.delete("{b5}:audit")
    await redis.xadd("{b5}:audit", {"x": "y"}, id="1-0")
    with capture_logs() as logs:
        await trail.sealer.turn()
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["seal.failed"]


async def test_what_a_failover_lost_is_said_and_explained_when_it_comes_back(trail: Trail, redis: Redis) -> None:
    """A bucket loses entries that were sealed; the next checkpoint says which. Unless they come back the trail is
    rolled back; later seals cover what is there now."""
    await trail.write("call-1", "call-1")
    await trail.seal()
    await trail.write("call-1", "call-1")
    await trail.seal()
    (key,) = trail.known
    number = bucket(key)
    await redis.xdel(f"{{b{number}}}:audit", "3-0", "4-0")
    await redis.set(f"{{b{number}}}:seq", 2)
    with capture_logs() as logs:
        await trail.seal()
    assert [(one["bucket"], one["sealed"], one["stands"]) for one in logs if one["event"] == "seal.contradicted"] == [
        (number, 4, 2)
    ]
    lost = seal.read((await lines(trail))[-1]).lost[number]
    assert (lost.had, lost.kept, len(lost.entries)) == (4, 2, 2)
    found = await verify_store(trail.seals, KEYRING)
    assert [one.kind for one in found.findings] == [Kind.ROLLED_BACK]


async def test_numbers_given_anew_are_noticed(trail: Trail, redis: Redis) -> None:
    """As many entries as before, or more, but others: the link at the sealed number is not the same. Where nothing
    that was sealed stands any more, everything is sealed anew."""
    await trail.write("call-1", "call-1")
    await trail.seal()
    (key,) = trail.known
    name = f"{{b{bucket(key)}}}:audit"
    rows: Any = await redis.xrange(name)
    await redis.delete(name)
    for at, (_, fields) in enumerate(reversed(rows), 1):
        await redis.xadd(name, fields, id=f"{at}-0")
    await redis.set(f"{{b{bucket(key)}}}:seq", 3)
    await redis.xadd(name, rows[0][1], id="3-0")
    await trail.seal()
    lost = seal.read((await lines(trail))[-1]).lost[bucket(key)]
    assert (lost.had, lost.kept) == (2, 0)


async def test_sealing_runs_by_itself_and_ends_with_a_seal(trail: Trail) -> None:
    """The loop seals; what was written just before the end is sealed at the end."""
    async with trail.sealer.sealing():
        await trail.write("call-1")
    before = (await trail.seals.newest(within=WITHIN)).number
    assert before >= 1
    heads: dict[int, Head] = {}
    for line in await lines(trail):
        heads |= seal.read(line).heads
    (key,) = trail.known
    assert heads[bucket(key)].seq == 1


async def test_what_waits_is_written_without_the_lease(server: EmbeddedServer, trail: Trail) -> None:
    """Whoever seals is one of many; each writes down its own entries."""
    entry = replace(some_entry(CallKey(tenant="gateway", call_id=""), "o1", 1), call_id=None)
    await server.stop()
    assert not await trail.register.write(entry)
    await server.start()
    assert await trail.seals.lease(owner="somebody", ms=60_000, within=WITHIN)
    await trail.sealer.turn()
    page = await trail.seals.rows(0, since=0, most=10, within=WITHIN)
    assert [orjson.loads(one.entry)["op"] for one in page.entries] == ["o1"]
    assert (await trail.seals.newest(within=WITHIN)).number == 0


async def test_an_entry_about_no_call_waits_for_the_store(server: EmbeddedServer, trail: Trail) -> None:
    """It is kept, said in the log, and comes late and marked; twice the same one is one."""
    entry = replace(some_entry(CallKey(tenant="gateway", call_id=""), "o1", 1), call_id=None)
    await server.stop()
    assert not await trail.register.write(entry)
    await server.start()
    await trail.register.flush()
    page = await trail.seals.rows(0, since=0, most=10, within=WITHIN)
    assert [orjson.loads(one.entry).get("healed") for one in page.entries] == [True]
    (one,) = page.entries
    again = await trail.seals.append("", one.entry, one.link, within=WITHIN)
    assert (again.done, again.seq, again.at) == (True, one.seq, one.at)
    assert len((await trail.seals.rows(0, since=0, most=10, within=WITHIN)).entries) == 1
    assert await trail.register.write(replace(entry, op="o2"))
    other = Trail(store=trail.store, metrics=Metrics({}, version="0"))
    assert await other.register.write(replace(entry, op="o3"))
    assert await trail.register.write(replace(entry, op="o4"))


async def test_whoever_does_not_seal_still_writes_what_waited(trail: Trail, server: EmbeddedServer) -> None:
    """What a pod without the lease could not write while the store was away comes when it is back, as late."""
    other = Trail(store=trail.store, node="n2")
    await trail.write("call-1")
    await trail.sealer.turn()
    entry = replace(some_entry(CallKey(tenant="gateway", call_id=""), "late", 1), call_id=None)
    await server.stop()
    assert not await other.register.write(entry)
    await server.start()
    await trail.sealer.turn()
    await other.sealer.turn()
    page = await trail.seals.rows(0, since=0, most=1000, within=WITHIN)
    assert [healed(entry.canonical())] == [one.entry for one in page.entries if b'"late"' in one.entry]


async def test_the_log_has_what_others_wrote_and_what_was_not_known_to_be_written(trail: Trail) -> None:
    """Once, with its place, when it is sealed; what was told already is not told again."""
    entry = replace(some_entry(CallKey(tenant="gateway", call_id=""), "op1", 1), call_id=None)
    with capture_logs() as logs:
        await Trail(store=trail.store, node="n1").register.write(entry)
        await trail.register.write(replace(entry, op="op2"))
        await trail.seal()
        await trail.seal()
    page = await trail.seals.rows(0, since=0, most=10, within=WITHIN)
    told = [(one["event"], one["seq"], one["at"], one["hash"]) for one in logs if one["event"].startswith("entry.")]
    places = [(one.seq, one.at, one.link) for one in page.entries]
    assert told == [("entry.written", *places[0]), ("entry.written", *places[1]), *told[2:]]
    assert ("entry.found", *places[0]) in told
    assert [one for one in told if one[0] == "entry.found"] == [("entry.found", *places[0])]


# ── seals that are gone ──


async def aged(redis: Redis, ms: int = 120_000) -> None:
    """Every entry stands there for so much longer."""
    for name in await redis.keys("*:audit"):
        rows: Any = await redis.xrange(name)
        await redis.delete(name)
        for number, fields in rows:
            await redis.xadd(name, {**fields, b"t": int(fields[b"t"]) - ms}, id=number)


@pytest.mark.pci("10.3")
async def test_deleted_seals_are_found(trail: Trail, redis: Redis) -> None:
    """One of the two or both, in the store and in an export of it, by both verifiers; each was whole before."""
    await trail.seal()
    await trail.write(*calls(8))
    await trail.seal()
    assert (await verify_store(trail.seals, KEYRING)).whole
    for gone in ((SEAL,), (SEALS,), (SEAL, SEALS)):
        kept = [(name, await redis.dump(name)) for name in gone]
        await redis.delete(*gone)
        assert not (await verify_store(trail.seals, KEYRING)).whole, gone
        assert not both(await trail.export()).whole, gone
        for name, data in kept:
            await redis.restore(name, 0, data or b"")


async def test_a_store_before_its_first_checkpoint_is_whole(trail: Trail) -> None:
    """Young, as every store is once; its sealer begins without an alarm."""
    assert (await verify_store(trail.seals, KEYRING)).whole
    await trail.write(*calls(8))
    assert (await verify_store(trail.seals, KEYRING)).whole
    with capture_logs() as logs:
        await trail.seal()
    assert [one["event"] for one in logs] == ["seal.made", "entry.written"]
    assert (await verify_store(trail.seals, KEYRING)).whole


@pytest.mark.pci("10.3")
async def test_seals_are_not_begun_anew_in_silence(trail: Trail, redis: Redis) -> None:
    """Old entries and no seals: whoever seals says so, in an alarm and in its entry, and a verification finds that."""
    await trail.write(*calls(8))
    await aged(redis)
    assert [one.kind for one in (await verify_store(trail.seals, KEYRING)).findings] == [Kind.ROLLED_BACK]
    with capture_logs() as logs:
        await trail.seal()
    (said,) = (one["finding"] for one in logs if one["event"] == "seal.contradicted")
    assert re.fullmatch(r"rolled back: 8 entries were there for 1\d\d s, and no checkpoint", said)
    page = await trail.seals.rows(0, since=0, most=100, within=WITHIN)
    assert orjson.loads(page.entries[-1].entry)["count"] == 8
    for _ in range(2):
        kinds = [one.kind for one in (await verify_store(trail.seals, KEYRING)).findings]
        assert kinds == [Kind.ROLLED_BACK]
        assert not both(await trail.export()).whole
        await trail.seal()


@pytest.mark.pci("10.3")
async def test_seals_begun_anew_over_times_made_young_are_found(trail: Trail, redis: Redis) -> None:
    """The store's owner deletes the seals and all that tells of them, and writes every time anew: what the nodes wrote
    down of theirs is older than a day, in the store, in an export, and to whoever would seal it."""
    day = 24 * 3_600_000
    trail.time.now -= day
    await trail.write(*calls(8))
    await trail.seal()
    trail.time.now += day + 60_000
    await trail.write("call-1")
    await redis.delete(SEAL, SEALS, "{b0}:audit", "{b0}:seq", "{b0}:system")
    before = trail.time.now - day - 60_000
    for now in (0, trail.time.now):
        found = (await verify_store(trail.seals, KEYRING, now=now)).findings
        assert [one.kind for one in found] == [Kind.ROLLED_BACK]
    assert not both(await trail.export()).whole
    with capture_logs() as logs:
        await trail.another("n2").seal()
    assert [one["finding"] for one in logs if one["event"] == "seal.contradicted"] == [
        f"rolled back: 8 entries were there for {(trail.time.now - before) // 1000} s, and no checkpoint"
    ]
    for _ in range(2):
        assert not (await verify_store(trail.seals, KEYRING)).whole
        assert not both(await trail.export()).whole
        await trail.another("n3").seal()


async def test_a_young_trail_looked_at_late_had_seals(trail: Trail) -> None:
    """By the clock of whoever looks or exports, which no owner of the store can change."""
    await trail.write(*calls(8))
    day = 24 * 3_600_000
    assert (await verify_store(trail.seals, KEYRING, now=trail.time.now + day)).whole
    assert not (await verify_store(trail.seals, KEYRING, now=trail.time.now + day + 1)).whole
    trail.time.now += day + 1
    assert not both(await trail.export()).whole


async def test_what_came_late_says_nothing_of_the_age(trail: Trail, redis: Redis) -> None:
    """A journal that heals a store begun anew brings entries of any age, before its first checkpoint."""
    trail.time.now -= 48 * 3_600_000
    (late,) = [healed(some_entry(CallKey(tenant="acme", call_id="call-1"), "late", 1).canonical())]
    late = late.replace(b"1700000000000", b"%d" % trail.time.now)
    number = bucket(CallKey(tenant="acme", call_id="call-1"))
    now = int(1000 * (await redis.time())[0])
    link = KEYRING.chain.link(b"", late)
    await redis.xadd(f"{{b{number}}}:audit", {"e": late, "h": link, "t": now}, id="1-0")
    await redis.set(f"{{b{number}}}:seq", 1)
    trail.time.now += 48 * 3_600_000
    assert (await verify_store(trail.seals, KEYRING, now=trail.time.now)).whole
    assert both(await trail.export()).whole
    with capture_logs() as logs:
        await trail.seal()
    assert [one["event"] for one in logs] == ["seal.made", "entry.written"]


@pytest.mark.parametrize(("member", "value"), [("hash", "0" * 64), ("n", "1"), ("trimmed", "1"), ("heads", "{}")])
async def test_what_the_store_says_of_the_seals_is_held_against_them(
    trail: Trail, redis: Redis, member: str, value: str
) -> None:
    """Each member beside the seals."""
    for _ in range(3):
        await trail.write(*calls(3))
        await trail.seal()
    assert (await verify_store(trail.seals, KEYRING)).whole
    await redis.hset(SEAL, member, value)
    assert not (await verify_store(trail.seals, KEYRING)).whole


@pytest.mark.parametrize("name", ["seq", "audit", "seal", "seals"])
async def test_what_is_of_another_type_is_a_finding(trail: Trail, redis: Redis, name: str) -> None:
    """A number, a bucket, the seals: named, whatever stands there instead."""
    await trail.write(*calls(8))
    await trail.seal()
    number = 0 if name.startswith("seal") else bucket(CallKey(tenant="acme", call_id="call-1"))
    await redis.delete(f"{{b{number}}}:{name}")
    await redis.set(f"{{b{number}}}:{name}", "junk")
    found = (await verify_store(trail.seals, KEYRING)).findings
    assert [(one.kind, one.bucket) for one in found] == [(Kind.UNREADABLE, number)]


async def test_an_entry_beyond_the_numbers_given_is_found(trail: Trail, redis: Redis) -> None:
    """Put behind the newest, where the reading ends."""
    await trail.write("call-1")
    await trail.seal()
    number = bucket(CallKey(tenant="acme", call_id="call-1"))
    await redis.xadd(f"{{b{number}}}:audit", {"t": 1, "h": "0" * 64, "e": "{}"}, id="3-0")
    found = (await verify_store(trail.seals, KEYRING)).findings
    assert [(one.kind, one.bucket, one.seq) for one in found] == [(Kind.ORDER, number, 3)]
