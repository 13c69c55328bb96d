"""Proof of one answer: the entry that it speaks of stands where it says, its call's chain leads there, and a
checkpoint sealed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit import seal
from gateway.audit.archive import ArchiveVerifier
from gateway.audit.buckets import parsed
from gateway.audit.files import blocks, last_line, rebuilt_of, seals_of
from gateway.audit.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from gateway.audit.export import Hole, Seals
    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    bucket: int
    seq: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`entry` is what stands there, if anything."""

    proven: bool
    text: str
    entry: dict[str, Any] | None = None


class Prover:
    """Everything of the entry's bucket is verified, nothing of the others."""

    def __init__(self, place: Place, keyring: Keyring) -> None:
        self._place = place
        self._keyring = keyring

    def file(self, path: Path) -> Proof:
        """In an export. `OSError` when it cannot be read."""
        with path.open("rb") as file:
            last, length = last_line(file)
            seals, selection = seals_of(last)
            if not selection.everything:
                return Proof(proven=False, text="the export is a selection: whole buckets are needed")
            return self.judged((self._own(block) for block in blocks(file, length)), seals, rebuilt=rebuilt_of(last))

    def archive(self, path: Path) -> Proof:
        """In an archive, all of which is verified, and sealed. `OSError` when it cannot be read."""
        verifier, found = ArchiveVerifier(directory=path, keyring=self._keyring), b""
        for line in verifier.lines():
            found = found or self._line(line)
        verdict, ends = verifier.outcome, verifier.ends
        if not found and verdict.whole:
            return Proof(
                proven=False, text=f"{self._where} is not in this archive, which ends at checkpoint {ends.number}"
            )
        return self._proof(found, verdict, ends.heads, ends.number)

    async def needed(self, all_blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What of these blocks is of the bucket."""
        async for block in all_blocks:
            if own := self._own(block):
                yield own

    def _own(self, block: bytes) -> bytes:
        prefix = b'{"bucket":%d,' % self._place.bucket
        return b"".join(line for line in block.splitlines(keepends=True) if line.startswith(prefix))

    def judged(
        self, own: Iterable[bytes], seals: Seals, *, rebuilt: Mapping[int, tuple[Hole, ...]] | None = None
    ) -> Proof:
        verifier, found = Verifier(self._keyring, seals, rebuilt=rebuilt), b""
        for block in own:
            verifier.feed(block)
            found = found or self._line(block)
        number = seal.read(seals.newest).number if seals.newest is not None else 0
        return self._proof(found, verifier.close(), seals.heads if number else {}, number)

    @property
    def _where(self) -> str:
        return f"number {self._place.seq} of bucket {self._place.bucket}"

    def _line(self, block: bytes) -> bytes:
        prefix = b'{"bucket":%d,"seq":%d,' % (self._place.bucket, self._place.seq)
        return next((line for line in block.splitlines(keepends=True) if line.startswith(prefix)), b"")

    def _proof(self, line: bytes, verdict: Verdict, heads: Mapping[int, Head], number: int) -> Proof:
        """`heads` are those that the checkpoint of this number sealed."""
        place, where, found = self._place, self._where, parsed(line)
        if found is None:
            return Proof(proven=False, text=f"there is no {where}")
        entry = orjson.loads(line)
        wrong = [one for one in verdict.findings if one.bucket in {None, place.bucket}]
        wrong = wrong or list(verdict.findings if verdict.wrong > len(verdict.findings) else ())
        if found[3].decode() != place.link:
            return Proof(proven=False, text=f"{where} is another entry", entry=entry)
        if wrong:
            return Proof(proven=False, text=f"the trail is not whole there: {wrong[0].text()}", entry=entry)
        head = heads.get(place.bucket)
        if head is None or head.seq < place.seq:
            return Proof(proven=False, text=f"{where} is there, and not sealed yet", entry=entry)
        return Proof(proven=True, text=f"{where} is there, sealed by checkpoint {number} at the latest", entry=entry)
