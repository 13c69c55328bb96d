"""The archive grows: segment after segment, from where it ends to the newest checkpoint.

A segment counts when its manifest is there, which is written last. Whatever an interrupted run left is written anew.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, replace
from hashlib import file_digest
from typing import TYPE_CHECKING

from gateway.audit import row, seal
from gateway.audit.archive import segments
from gateway.audit.findings import Findings, Kind
from gateway.audit.manifest import Manifest, entries_name, manifest_name, seals_name
from gateway.audit.seal import BUCKETS, Base, Head
from gateway.audit.signed import line_hash
from gateway.trail.export import LOST, checkpoint_lines
from gateway.trail.floor import floor as floor_of
from gateway.trail.rows import PAGE_SECONDS, pages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from gateway.audit.archive import Segments
    from gateway.audit.findings import Finding
    from gateway.audit.keyring import Keyring
    from gateway.store.seals import SealStore

SEGMENT_ENTRIES = 200_000
LEVEL = 6  # of gzip: 9 takes more than twice as long for a twenty-fifth less


class ArchiveBroken(Exception):  # noqa: N818 -- reads as the fact it states
    """The archive cannot be gone on with; `findings` say why."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(finding.text() for finding in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What goes into one segment."""

    begins: Base
    ends: Base
    floor: Base
    anew: tuple[int, ...]
    checkpoints: tuple[bytes, ...]


class Archive:
    """`ms` is the node's clock."""

    def __init__(
        self,
        directory: Path,
        store: SealStore,
        keyring: Keyring,
        *,
        ms: Callable[[], int],
        segment_entries: int = SEGMENT_ENTRIES,
    ) -> None:
        self._directory = directory
        self._store = store
        self._keyring = keyring
        self._ms = ms
        self._most = segment_entries
        self._begun = ms()

    async def extend(self) -> int:
        """Write what is missing; gives how many entries. Raises `ArchiveBroken` when what is there cannot be gone on
        with, or nothing is sealed, `StoreUnavailable`, and `OSError`."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._begun = self._ms()
        findings = Findings()
        have = segments(self._directory, self._keyring, findings)
        if findings.wrong:
            raise ArchiveBroken(tuple(findings.kept))
        number, previous, count = len(have.manifests), have.hash, 0
        async for part in self._parts(have.ends):
            number += 1
            one = await self._written(number, previous, part)
            count += one.entries
            line = self._keyring.signer.line(one.body())
            self._put(manifest_name(number), line + b"\n")
            previous = line_hash(line)
        return count

    def stands(self) -> Segments:
        """What there is of it, as far as it follows."""
        return segments(self._directory, self._keyring, Findings())

    # ── which ──

    async def _parts(self, ends: Base) -> AsyncIterator[_Part]:
        """Cut between checkpoints. What follows the end of the archive is not there when the store was put back."""
        floor = await floor_of(self._store)
        begins = ends if ends.number >= floor.number else floor
        if ends.number and ends.number < floor.number:
            raise ArchiveBroken(_gap(f"the trail was trimmed up to {floor.number}, the archive ends at {ends.number}"))
        part = _Part(begins=begins, ends=begins, floor=floor, anew=(), checkpoints=())
        fell = await self._fell(begins.number + 1)
        async for line in checkpoint_lines(self._store, since=begins.number + 1):
            part = self._with(part, line)
            if _size(part) >= self._most and part.ends.number >= fell:
                yield part
                part = _Part(begins=part.ends, ends=part.ends, floor=floor, anew=(), checkpoints=())
        await self._reached(part.ends)
        if part.checkpoints:
            yield part

    async def _fell(self, since: int) -> int:
        """The newest checkpoint that tells of a loss: before it there is no cut, for what it says is lost cannot be
        read any more."""
        told = [line async for line in checkpoint_lines(self._store, since=since) if LOST in line]
        return seal.read(told[-1]).number if told else 0

    def _with(self, part: _Part, line: bytes) -> _Part:
        checkpoint = seal.read(line)
        if (checkpoint.number, checkpoint.previous) != (part.ends.number + 1, part.ends.hash):
            raise ArchiveBroken(
                _gap(f"checkpoint {checkpoint.number} does not follow the archive's {part.ends.number}")
            )
        heads = {**part.ends.heads, **checkpoint.heads}
        ends = Base(number=checkpoint.number, hash=line_hash(line), heads=heads)
        anew = tuple(sorted({*part.anew, *checkpoint.lost}))
        return replace(part, ends=ends, anew=anew, checkpoints=(*part.checkpoints, line))

    async def _reached(self, ends: Base) -> None:
        newest = await self._store.newest(within=PAGE_SECONDS)
        if not newest.number and not ends.number:
            raise ArchiveBroken(_nothing())
        if newest.number < ends.number:
            raise ArchiveBroken(_gap(f"the archive has checkpoint {ends.number}, the store only {newest.number}"))

    # ── written ──

    async def _written(self, number: int, previous: str, part: _Part) -> Manifest:
        names = entries_name(number), seals_name(number)
        count = await self._entries(names[0], part)
        with gzip.open(self._directory / names[1], "wb") as file:
            file.writelines(line + b"\n" for line in part.checkpoints)
        return Manifest(
            number=number,
            previous=previous,
            at=self._begun,
            begins=part.begins,
            ends=part.ends,
            floor=part.floor,
            entries=count,
            files={name: self._digest(name) for name in names},
            key=self._keyring.signer.id,
            anew=part.anew,
        )

    async def _entries(self, name: str, part: _Part) -> int:
        count = 0
        with gzip.open(self._directory / name, "wb", compresslevel=LEVEL) as file:
            for number in range(BUCKETS):
                since, until = _range(part, number)
                async for page in pages(self._store, number, since=since, until=until):
                    file.write(b"".join(map(row.line, page)))
                    count += len(page)
        return count

    def _digest(self, name: str) -> str:
        """On disk before a manifest names it."""
        with (self._directory / name).open("rb") as file:
            os.fsync(file.fileno())
            return file_digest(file, "sha256").hexdigest()

    def _put(self, name: str, data: bytes) -> None:
        part = self._directory / f"{name}.part"
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._directory / name)
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _range(part: _Part, number: int) -> tuple[int, int]:
    begins = part.floor if number in part.anew else part.begins
    return begins.heads.get(number, Head()).seq + 1, part.ends.heads.get(number, Head()).seq


def _size(part: _Part) -> int:
    return sum(until - since + 1 for since, until in (_range(part, number) for number in range(BUCKETS)))


def _nothing() -> tuple[Finding, ...]:
    findings = Findings()
    findings.add(Kind.NO_END, "no checkpoint is in the store: only what a gateway has sealed is archived")
    return tuple(findings.kept)


def _gap(text: str) -> tuple[Finding, ...]:
    findings = Findings()
    findings.add(Kind.ROLLED_BACK, text)
    return tuple(findings.kept)
