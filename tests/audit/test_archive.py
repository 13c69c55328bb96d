"""An archive grows segment by segment, is whole or not, and only what is in it is ever taken away."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest
from judges import both
from second_archive import faults_in
from trails import KEYRING, OTHER_SEED, Trail, calls, some_entry

from gateway.audit import manifest, seal
from gateway.audit.archive import NOTHING, ArchiveVerifier
from gateway.audit.findings import Kind, Verdict
from gateway.audit.keyring import Keyring
from gateway.model import CallKey
from gateway.store.contract import bucket
from gateway.trail.archive import Archive, ArchiveBroken
from gateway.trail.look import verify_store
from gateway.trail.trim import Trimmer, Unverified

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from gateway.audit.entry import Entry
    from gateway.store.redis import RedisStore

CLEAN = 1_000 if os.environ.get("SOAK") else 20
NONE: dict[str, int] = {}
THIEF = Keyring.of(hmac_key=bytes(32), signing_key=OTHER_SEED)


@pytest.fixture
def trail(store: RedisStore) -> Trail:
    return Trail(store=store)


def archive(trail: Trail, directory: Path, *, most: int = 10**6) -> Archive:
    return Archive(directory, trail.seals, KEYRING, ms=trail.time.ms, segment_entries=most)


def judged(directory: Path) -> Verdict:
    """Both verifiers say the same."""
    found = ArchiveVerifier(directory=directory, keyring=KEYRING).verdict()
    second = faults_in(directory, [KEYRING.chain.key], [KEYRING.signer.public])
    assert found.whole == (not second), (found, second)
    return found


async def filled(trail: Trail, directory: Path) -> None:
    """Three segments: two by their size, one by a later run."""
    for _ in range(3):
        await trail.write(*calls(12))
        await trail.seal()
    await archive(trail, directory, most=25).extend()
    await trail.write(*calls(5))
    await trail.seal()
    await archive(trail, directory).extend()


async def test_it_goes_on_where_it_ended(trail: Trail, tmp_path: Path) -> None:
    """Three segments that follow each other; a run without news adds nothing; every entry is in it once."""
    await filled(trail, tmp_path)
    assert await archive(trail, tmp_path).extend() == 0
    assert len(manifest.manifests(tmp_path)) == 3
    found = judged(tmp_path)
    assert found.whole, found
    assert found.entries == 3 * 12 + 5 + 1
    assert found.checkpoints == 4
    lines = list(ArchiveVerifier(directory=tmp_path, keyring=KEYRING).lines())
    assert len({(one["bucket"], one["seq"]) for one in map(orjson.loads, lines)}) == found.entries


async def test_a_thousand_clean_archives_are_whole(trail: Trail, tmp_path: Path) -> None:
    """No false alarm: archives that begin and go on at any time, of a trail of which the old end is taken away in
    between; and both verifiers agree on every one."""
    random = Random(3)  # noqa: S311 -- the same every time
    for number in range(CLEAN):
        directory = tmp_path / f"{number // 5}"
        for _ in range(random.randint(1, 3)):
            await trail.write(*calls(random.randint(1, 8)))
            await trail.seal()
            trail.time.now += 10_000
        await archive(trail, directory, most=random.choice((2, 9, 10**6))).extend()
        assert judged(directory).whole, number
        if random.random() < 0.2:
            await trimmer(trail).trim(directory, before=trail.time.now - random.choice((0, 30_000)))


async def test_an_interrupted_run_is_gone_on_with(trail: Trail, tmp_path: Path) -> None:
    """Files without a manifest count for nothing and are written anew."""
    await filled(trail, tmp_path)
    await trail.write(*calls(3))
    await trail.seal()
    for name in (manifest.entries_name(4), manifest.seals_name(4), f"{manifest.manifest_name(4)}.part"):
        (tmp_path / name).write_bytes(b"half")
    assert judged(tmp_path).whole
    assert await archive(trail, tmp_path).extend() == 3
    assert judged(tmp_path).whole


@pytest.mark.pci("10.3")
async def test_whatever_is_changed_in_an_archive_is_found(trail: Trail, tmp_path: Path) -> None:
    """A byte of any file, a file that is missing or cut."""
    await filled(trail, tmp_path)
    meddled(tmp_path)


def meddled(tmp_path: Path) -> None:
    random = Random(1)  # noqa: S311 -- the same every time
    for path in sorted(tmp_path.iterdir()):
        was = path.read_bytes()
        for _ in range(40):
            data = bytearray(was)
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            path.write_bytes(data)
            assert not judged(tmp_path).whole, path.name
        for changed in (b"", was[: len(was) // 2], was + was):
            path.write_bytes(changed)
            assert not judged(tmp_path).whole, path.name
        path.unlink()
        assert not judged(tmp_path).whole or path.name == manifest.manifest_name(3)
        path.write_bytes(was)
    assert judged(tmp_path).whole


async def test_a_forged_manifest_is_found(trail: Trail, tmp_path: Path) -> None:
    """Entries changed, and manifest and file agree: but the manifest is signed by a stranger, or, were it ours, the
    seals contradict it."""
    await filled(trail, tmp_path)
    file, paper = tmp_path / manifest.entries_name(3), tmp_path / manifest.manifest_name(3)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"agent-17", b"agent-18", 1)))
    one = manifest.read(paper.read_bytes())
    digest = archive(trail, tmp_path)._digest(file.name)
    forged = replace(one, files={**one.files, file.name: digest})
    paper.write_bytes(THIEF.signer.line(forged.body()) + b"\n")
    assert {found.kind for found in judged(tmp_path).findings} >= {Kind.SIGNATURE, Kind.EDITED, Kind.SEAL}
    paper.write_bytes(KEYRING.signer.line(forged.body()) + b"\n")
    assert {found.kind for found in judged(tmp_path).findings} == {Kind.EDITED, Kind.SEAL}


async def test_lines_that_are_none_are_found(trail: Trail, tmp_path: Path) -> None:
    """In honest packing: entries and checkpoints that nothing of ours wrote, and a file that is no archive."""
    await filled(trail, tmp_path)
    entries, seals = tmp_path / manifest.entries_name(3), tmp_path / manifest.seals_name(3)
    paper = tmp_path / manifest.manifest_name(3)
    one = manifest.read(paper.read_bytes())
    for file, data in ((entries, gzip.compress(b"{}\n")), (seals, gzip.compress(b"{}\n")), (entries, b"plain")):
        was = file.read_bytes()
        file.write_bytes(data)
        digest = archive(trail, tmp_path)._digest(file.name)
        paper.write_bytes(KEYRING.signer.line(replace(one, files={**one.files, file.name: digest}).body()) + b"\n")
        assert Kind.UNREADABLE in {found.kind for found in judged(tmp_path).findings}
        file.write_bytes(was)


async def test_nothing_there_is_not_whole(tmp_path: Path) -> None:
    """An empty directory proves nothing."""
    assert [one.kind for one in judged(tmp_path).findings] == [Kind.NO_END]


async def test_a_store_that_was_put_back_is_not_archived(trail: Trail, tmp_path: Path, redis: Redis) -> None:
    """The archive has checkpoints that the store lacks, or others; a broken archive is not gone on with either."""
    await filled(trail, tmp_path)
    newest = await trail.seals.newest(within=5)
    await redis.hset("{b0}:seal", "n", newest.number - 1)
    with pytest.raises(ArchiveBroken, match="only"):
        await archive(trail, tmp_path).extend()
    await redis.hset("{b0}:seal", "n", newest.number)
    await trail.write("call-1")
    await trail.seal()
    await redis.xdel("{b0}:seals", f"{newest.number + 1}-0")
    await trail.write("call-1")
    await trail.seal()
    with pytest.raises(ArchiveBroken, match="does not follow"):
        await archive(trail, tmp_path).extend()
    (tmp_path / manifest.manifest_name(2)).write_bytes(b"{}")
    with pytest.raises(ArchiveBroken, match="not a manifest"):
        await archive(trail, tmp_path).extend()


async def test_what_a_bucket_lost_is_archived_as_it_is_now(trail: Trail, tmp_path: Path, redis: Redis) -> None:
    """After a loss the bucket stands in the archive once more, whole; that entries are gone is still said."""
    await trail.write("call-1", "call-1", "call-2")
    await trail.seal()
    await archive(trail, tmp_path).extend()
    await trail.write("call-1")
    await trail.seal()
    number = bucket(CallKey(tenant="acme", call_id="call-1"))
    await redis.xdel(f"{{b{number}}}:audit", "2-0", "3-0")
    await redis.set(f"{{b{number}}}:seq", 1)
    await trail.seal()
    await archive(trail, tmp_path, most=1).extend()
    assert manifest.read(manifest.manifests(tmp_path)[-1].read_bytes()).anew == (number,)
    assert [one.kind for one in judged(tmp_path).findings] == [Kind.ROLLED_BACK]


# ── retention ──


def described(count: int, checkpoint: int) -> Entry:
    return replace(some_entry(CallKey(tenant="gateway", call_id=""), f"t{count}", checkpoint), call_id=None)


def trimmer(trail: Trail) -> Trimmer:
    return Trimmer(trail.seals, trail.sealer, trail.register, KEYRING, described)


async def aged(trail: Trail, directory: Path) -> int:
    """Old entries and new ones, all archived; gives the time between."""
    await trail.write(*calls(10))
    await trail.seal()
    await trail.seal()
    trail.time.now += 1_000_000
    await trail.write(*calls(4))
    await trail.seal()
    await archive(trail, directory).extend()
    return trail.time.now - 500_000


async def test_only_what_is_old_and_archived_is_taken_away(trail: Trail, tmp_path: Path) -> None:
    """Store, export and archive are whole afterwards, and go on; the same again takes nothing."""
    middle = await aged(trail, tmp_path)
    done = await trimmer(trail).trim(tmp_path, before=middle)
    assert (done.checkpoint, done.entries) == (2, 11)
    assert (await trimmer(trail).trim(tmp_path, before=middle)).entries == 0
    await trail.write(*calls(12))
    await trail.seal()
    found = await verify_store(trail.seals, KEYRING)
    assert found.whole, found
    assert found.notes == ("entries up to checkpoint 2 were taken away in order",)
    assert both(await trail.export()).whole
    await archive(trail, tmp_path).extend()
    assert judged(tmp_path).whole
    assert (await trimmer(trail).trim(tmp_path, before=trail.time.now + 1)).entries > 0
    assert (await verify_store(trail.seals, KEYRING)).whole
    fresh = tmp_path / "fresh"
    await archive(trail, fresh).extend()
    assert judged(fresh).whole


async def test_an_archive_that_lacks_what_was_taken_away_is_not_gone_on_with(trail: Trail, tmp_path: Path) -> None:
    """It would have a hole that nobody could fill."""
    behind = tmp_path / "behind"
    await trail.write("call-1")
    await trail.seal()
    await archive(trail, behind).extend()
    middle = await aged(trail, tmp_path / "full")
    await trimmer(trail).trim(tmp_path / "full", before=middle)
    with pytest.raises(ArchiveBroken, match="was trimmed"):
        await archive(trail, behind).extend()


async def test_nothing_is_taken_away_by_a_broken_archive(trail: Trail, tmp_path: Path) -> None:
    """It has to verify first."""
    middle = await aged(trail, tmp_path)
    (tmp_path / manifest.entries_name(1)).unlink()
    with pytest.raises(Unverified):
        await trimmer(trail).trim(tmp_path, before=middle)
    assert (await trail.seals.newest(within=5)).trimmed == 0


async def test_trimming_by_hand_is_found(trail: Trail, redis: Redis) -> None:
    """The beginning of a bucket is gone and no checkpoint says so."""
    await trail.write(*calls(10))
    await trail.seal()
    number = bucket(CallKey(tenant="acme", call_id="call-3"))
    await redis.xtrim(f"{{b{number}}}:audit", maxlen=0)
    found = await verify_store(trail.seals, KEYRING)
    assert {one.kind for one in found.findings} == {Kind.TRUNCATED}
    assert seal.BUCKETS == 64


@pytest.mark.pci("10.3")
async def test_an_archive_of_seals_begun_anew_is_found(trail: Trail, tmp_path: Path, redis: Redis) -> None:
    """The next sealer writes down what contradicts those before."""
    for _ in range(3):
        await trail.write(*calls(3))
        await trail.seal()
    await redis.delete("{b0}:seal", "{b0}:seals")
    trail.sealer = trail.another("n2")
    for _ in range(2):
        await trail.seal()
        await trail.write(*calls(3))
    await trail.seal()
    await archive(trail, tmp_path).extend()
    assert [one.kind for one in judged(tmp_path).findings] == [Kind.ROLLED_BACK]


def without_last(directory: Path) -> None:
    for path in directory.glob(f"{len(manifest.manifests(directory)):08}.*"):
        path.unlink()


@pytest.mark.pci("10.3")
async def test_an_archive_is_held_against_the_log(trail: Trail, tmp_path: Path) -> None:
    """Its seals are those of the log. A segment that is missing from the end is found when the log knows of its seals
    from before the run that wrote the one before; what was sealed after the archive is a note."""
    await trail.write(*calls(3))
    for _ in range(3):
        await trail.seal()
        trail.time.now += 120_000
    for _ in range(2):
        await trail.write(*calls(12))
        await trail.seal()
        trail.time.now += 120_000
    await archive(trail, tmp_path, most=12).extend()
    known = [one.line for one in await trail.seals.checkpoints(since=1, most=100, within=5)]

    def held(*lines: bytes) -> Verdict:
        return ArchiveVerifier(directory=tmp_path, keyring=KEYRING, known=lines).verdict()

    assert held(*known).whole
    last = seal.read(known[-1])
    later = replace(last, number=last.number + 1, at=trail.time.now + 1)
    found = held(*known, KEYRING.signer.line(later.body()))
    assert found.whole
    assert "made later" in found.notes[-1]
    cut = replace(later, trimmed=replace(NOTHING, number=last.number + 1))
    assert [one.kind for one in held(*known, KEYRING.signer.line(cut.body())).findings] == [Kind.TRUNCATED]
    other = KEYRING.signer.line(replace(last, node="n2").body())
    assert [one.kind for one in held(*known[:-1], other).findings] == [Kind.FORK]
    assert held(THIEF.signer.line(later.body())).whole
    without_last(tmp_path)
    assert held().whole
    assert [one.kind for one in held(*known).findings] == [Kind.TRUNCATED]


@pytest.mark.pci("10.3")
async def test_a_last_segment_of_its_own_run_is_missed(trail: Trail, tmp_path: Path) -> None:
    """Nothing before it speaks of it. What the run said when it ended does, as a pin or as the entry that the log has;
    another archive's end says nothing of this one."""
    await filled(trail, tmp_path)
    found = archive(trail, tmp_path).stands()
    other = archive(trail, tmp_path / "other")
    await other.extend()

    def held(pin: str = "", reached: dict[str, int] = NONE) -> list[Kind]:
        verifier = ArchiveVerifier(directory=tmp_path, keyring=KEYRING, reached=reached, pin=pin)
        return [one.kind for one in verifier.verdict().findings]

    ends = {found.name: found.ends.number}
    pins = (found.hash, found.hash[:8], found.hashes[0])
    assert [held(), held(reached=ends), *map(held, pins)] == [[]] * 5
    without_last(tmp_path)
    assert [held(), held(found.hashes[0]), held(reached={other.stands().name: 9})] == [[]] * 3
    assert [held(reached=ends), held(found.hash), held(found.hash[:8])] == [[Kind.TRUNCATED]] * 3


async def test_a_store_without_seals_has_nothing_to_archive(trail: Trail, tmp_path: Path) -> None:
    """That is said, and is no success."""
    await trail.write(*calls(3))
    with pytest.raises(ArchiveBroken, match="no checkpoint is in the store"):
        await archive(trail, tmp_path).extend()
    assert manifest.manifests(tmp_path) == []
    await trail.seal()
    assert await archive(trail, tmp_path).extend() == 3
