"""How a long trail behaves: `python tests/audit/million.py [ENTRIES [DIR]]` writes so many entries into a real store,
then measures export, verification, archive and what the store takes for each. One process, one core for each step. With
DIR the store stays there, and the next run measures it without writing it anew."""

from __future__ import annotations

import asyncio
import io
import logging
import resource
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from redis.asyncio import Redis
from trails import KEYRING, Trail

from gateway import logs
from gateway.audit.archive import ArchiveVerifier
from gateway.audit.files import verify_file
from gateway.model import CallKey
from gateway.store.contract import StoreUnavailable
from gateway.store.embedded import EmbeddedServer
from gateway.store.redis import RedisStore
from gateway.trail.archive import Archive
from gateway.trail.export import Export

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 1_000_000
WRITERS = 64
A_CALL = 8  # entries
SEALED_EVERY = 5_000


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    seconds, own = time.perf_counter() - began, time.process_time() - used
    said(f"{what:<10} {seconds:8.1f} s, {own:.1f} s of this process' own  {count / seconds:10.0f} entries/s")


def said(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def write(trail: Trail, count: int) -> None:
    """By many at once, each its own calls; sealed meanwhile."""

    async def one(number: int) -> None:
        for call in range(count // WRITERS // A_CALL):
            key = CallKey(tenant="acme", call_id=f"call-{number}-{call}")
            with suppress(StoreUnavailable):  # a disk that stalls costs this call its other entries
                for _ in range(A_CALL):
                    await trail.write(key.call_id)
            trail.known.pop(key, None)

    async def seal() -> None:
        while True:
            at = trail.steps
            while trail.steps - at < SEALED_EVERY:  # noqa: ASYNC110 -- a count is no event
                await asyncio.sleep(0.01)
            with suppress(StoreUnavailable):
                await trail.seal()

    sealing = asyncio.create_task(seal())
    await asyncio.gather(*(one(number) for number in range(WRITERS)))
    sealing.cancel()
    await asyncio.wait({sealing})
    await trail.seal()


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


async def stored_bytes(redis: Redis, directory: Path, count: int) -> None:
    info = await redis.info("memory")
    on_disk = await asyncio.to_thread(size, directory)
    streams = [await redis.memory_usage(f"{{b{number}}}:audit", samples=0) or 0 for number in range(64)]
    own = sum(streams) / count
    said(f"memory     {info['used_memory'] / count:8.0f} bytes/entry in all, {own:.0f} of them the trail")
    said(f"disk       {on_disk / count:8.0f} bytes/entry")


async def run(directory: Path, count: int) -> None:
    written = any((directory / "s").glob("*"))
    server = EmbeddedServer(directory / "s")
    await server.start()
    store = RedisStore(server.url, strict=True)
    await store.open()
    trail = Trail(store=store)
    if not written:
        with timed("write", count):
            await write(trail, count)
    async with Redis.from_url(server.url) as redis:
        await stored_bytes(redis, directory / "s", count)
    file = directory / "trail.jsonl"
    with timed("export", count), file.open("wb") as out:
        export = await Export.begin(trail.seals)
        async for block in export.signed(KEYRING, trail.time.ms):
            out.write(block)
    said(f"           {file.stat().st_size / count:8.0f} bytes/entry")
    with timed("verify", count):
        assert verify_file(file, KEYRING).whole
    with timed("archive", count):
        await Archive(directory / "a", trail.seals, KEYRING, ms=trail.time.ms).extend()
    said(f"           {size(directory / 'a') / count:8.0f} bytes/entry")
    with timed("verify it", count):
        assert ArchiveVerifier(directory=directory / "a", keyring=KEYRING).verdict().whole
    said(f"peak       {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MiB of this process")
    await store.close()
    await server.stop()


if __name__ == "__main__":
    logs.configure(production=True, stream=io.StringIO())
    logging.getLogger().setLevel(logging.ERROR)
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else ENTRIES
    with tempfile.TemporaryDirectory(prefix="rgw-") as home:
        if len(sys.argv) > 2:
            Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
            (Path(home) / "s").symlink_to(Path(sys.argv[2]).absolute())
        asyncio.run(run(Path(home), entries))
