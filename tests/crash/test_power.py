"""Power lost under the store, under the journal, at random moments: 50 cuts each, 200 with ``SOAK=1``.

What survives is what had been synced, or a little more: `powerless` sees every sync of the server, and the journal's
own are seen where it calls them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from powerless import Disk
from servers import FIT, Server, free_ports, until
from steps import call_in, change, opened

from gateway.audit.journal import Journal
from gateway.audit.note import Note
from gateway.metrics import Metrics
from gateway.store.contract import Committed, Stored, StoreUnavailable
from gateway.store.embedded import binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.model import CallKey
    from gateway.store.redis import RedisStore

CUTS = 200 if os.environ.get("SOAK") else 50
WRITERS = 4
TRACER = Path(__file__).with_name("powerless.py")

# ── the store ──


@dataclass(kw_only=True)
class TracedServer(Server):
    """Runs under the tracer; `pid` is the server's own."""

    log: Path
    pid: int = 0

    async def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), **self.options}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(TRACER), str(self.log), str(binary()), *words, stdout=asyncio.subprocess.DEVNULL
        )
        await until(self.answers)
        self.pid = (await self.info("server"))["process_id"]

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            os.kill(self.pid, 9)
            await self.process.wait()
        await self.client.connection_pool.disconnect()


@asynccontextmanager
async def traced(directory: Path, fsync: str) -> AsyncIterator[tuple[TracedServer, Disk]]:
    (port,) = free_ports(1)
    options = {**FIT, "appendfsync": fsync}
    server = TracedServer(port=port, directory=directory / "data", options=options, log=directory / "synced")
    try:
        yield server, Disk(directory=server.directory, log=server.log)
    finally:
        await server.end()


@dataclass(kw_only=True)
class Acknowledged:
    """What the store said yes to: number and link of each entry, by bucket; and what it had lost of it."""

    entries: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    lost: int = 0
    holes: list[str] = field(default_factory=list)
    unsafe: int = 0

    @property
    def count(self) -> int:
        return sum(len(some) for some in self.entries.values())

    async def check(self, store: RedisStore) -> None:
        """What is lost is counted once."""
        for number, some in self.entries.items():
            page = await store.trail(number, since=0, most=1_000_000, within=10)
            there = {(entry.seq, entry.link) for entry in page.entries}
            self.lost += len([one for one in some if one not in there])
            self.entries[number] = [one for one in some if one in there]
            if [entry.seq for entry in page.entries] != list(range(1, len(page.entries) + 1)):
                self.holes.append(f"{number}: {page}")

    async def write(self, store: RedisStore, number: int, mark: str) -> None:
        """Step after step of one call, until the store is gone."""
        key = call_in(number)
        with suppress(StoreUnavailable):
            before = await store.load(key, within=5)
            for at in itertools.count():
                before = await self._one(store, key, number, f"{mark}-{at}", before)

    async def _one(self, store: RedisStore, key: CallKey, number: int, op: str, before: Stored | None) -> Stored:
        step = change(key, op, before)
        done = await store.commit(step, within=5)
        assert isinstance(done, Committed), done
        self.entries.setdefault(number, []).append((done.seq, done.link))
        return Stored(redaction=step.after, head=done.link, seq=done.seq)


async def cut_at_random(directory: Path, fsync: str, cuts: int, longest: float) -> Acknowledged:
    acknowledged = Acknowledged()
    async with traced(directory, fsync) as (server, disk):
        for mark in range(cuts):
            disk.power_on()
            await server.start()
            async with opened(f"redis://127.0.0.1:{server.port}", strict=fsync == "always") as store:
                await acknowledged.check(store)
                writing = [
                    asyncio.create_task(acknowledged.write(store, number, f"{mark}")) for number in range(WRITERS)
                ]
                await asyncio.sleep(random.uniform(0.0, longest))  # noqa: S311 -- a moment
                await server.kill()
                acknowledged.unsafe += disk.power_lost(random.choice((_safe, _more)))  # noqa: S311 -- of two
                await asyncio.gather(*writing)
        disk.power_on()
        await server.start()
        async with opened(f"redis://127.0.0.1:{server.port}", strict=False) as store:
            await acknowledged.check(store)
    return acknowledged


def _safe(safe: int, _: int) -> int:
    return safe


def _more(safe: int, size: int) -> int:
    """A disk may have written what nobody asked it to."""
    return random.randint(safe, size)  # noqa: S311 -- as far as it came


@pytest.fixture
async def may_trace(tmp_path: Path) -> None:
    """Where the machine forbids to trace one's own child, nothing can be shown here."""
    words = (str(TRACER), str(tmp_path / "tried"), "/bin/true")
    tried = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.DEVNULL)
    if await tried.wait() and not os.environ.get("CI"):
        pytest.skip("this machine forbids to trace one's own child (ptrace)")


@pytest.mark.usefixtures("may_trace")
@pytest.mark.parametrize("cuts", [CUTS])
async def test_a_store_that_loses_power_has_all_it_acknowledged(tmp_path: Path, cuts: int) -> None:
    """With `appendfsync always`, as it is demanded: cut to what was synced, the store has every step to which it said
    yes, under its number and link, without holes, and goes on."""
    came_to = await cut_at_random(tmp_path, "always", cuts, 0.2)
    sys.stdout.write(f"{cuts} cuts, always: {came_to.count} acknowledged, {came_to.lost} lost\n")
    assert came_to.count > cuts
    assert came_to.lost == 0
    assert came_to.holes == []


@pytest.mark.usefixtures("may_trace")
async def test_a_store_that_syncs_every_second_loses_what_it_acknowledged(tmp_path: Path) -> None:
    """The same with `everysec` loses steps: the cut is able to lose what was not synced."""
    came_to = await cut_at_random(tmp_path, "everysec", 4, 1.5)
    sys.stdout.write(f"4 cuts, everysec: {came_to.count + came_to.lost} acknowledged, {came_to.lost} lost\n")
    assert came_to.unsafe > 0
    assert came_to.lost > 0


# ── the journal ──


@dataclass(kw_only=True)
class JournalDisk:
    """The journal's directory: what was synced of each file, and which names were, by the calls that it makes."""

    directory: Path
    safe: dict[Path, int] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)

    def synced(self, fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path == self.directory:
            self.named |= set(path.iterdir())
        else:
            self.safe[path] = os.fstat(fd).st_size

    def survivors(self, into: Path) -> None:
        """What a disk has after the power was lost now: named files, as far as they were synced."""
        into.mkdir()
        for path in self.named & set(self.safe):
            if path.exists():
                (into / path.name).write_bytes(path.read_bytes()[: self.safe[path]])


@pytest.fixture
def journal_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JournalDisk]:
    """Every sync is done, and then known to be. A busy machine is not a hanging disk."""
    monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 10.0)
    disk = JournalDisk(directory=tmp_path / "journal")
    for name in ("fsync", "fdatasync"):
        really = getattr(os, name)

        def watched(fd: int, really: Any = really) -> None:  # noqa: ANN401 -- the system's call
            really(fd)
            disk.synced(fd)

        monkeypatch.setattr(os, name, watched)
    yield disk
    shutil.rmtree(disk.directory, ignore_errors=True)


def note(op: str) -> Note:
    return Note(
        op=op,
        tenant="acme",
        call_id=op,
        bucket=1,
        at=1,
        needed=False,
        open=True,
        held=(("crm", "default"),),
        entry=b'{"op":"' + op.encode() + b'"}',
        state=b"{}",
    )


async def keep_writing(journal: Journal, acknowledged: set[str], mark: str) -> None:
    number = 0
    while True:
        number += 1
        op = f"{mark}-{number}"
        if await journal.write(note(op)):
            acknowledged.add(op)
        await asyncio.sleep(0)


@asynccontextmanager
async def at_work(directory: Path) -> AsyncIterator[tuple[Journal, set[str]]]:
    """A journal with its files rotated every few entries; gives what it had before, too."""
    journal = Journal(directory, key=b"k", ms=lambda: 1, metrics=Metrics({}, version="0"), segment_bytes=4_096)
    recalled = await journal.open()
    try:
        yield journal, {one.op for one in recalled.notes}
    finally:
        await journal.close()


@pytest.mark.parametrize("cuts", [CUTS])
async def test_a_journal_that_loses_power_has_all_it_acknowledged(
    tmp_path: Path, journal_disk: JournalDisk, cuts: int
) -> None:
    """Cut to what was synced, under names that were synced: every entry that was said to be on disk is recalled by
    the next start, and the journal goes on."""
    acknowledged: set[str] = set()
    async with at_work(journal_disk.directory) as (journal, _):
        writing = [asyncio.create_task(keep_writing(journal, acknowledged, f"w{n}")) for n in range(WRITERS)]
        for cut in range(cuts):
            await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 -- a moment
            sure, left = set(acknowledged), tmp_path / f"cut-{cut}"
            journal_disk.survivors(left)
            async with at_work(left) as (next_one, recalled):
                assert sure <= recalled, sorted(sure - recalled)
                assert await next_one.write(note("another"))
        for task in writing:
            task.cancel()
        await asyncio.wait(writing)
    sys.stdout.write(f"{cuts} cuts of the journal: {len(acknowledged)} acknowledged, 0 lost\n")
    assert len(acknowledged) > cuts
