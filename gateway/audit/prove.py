"""Proof of one answer: the entry that it speaks of stands where it says, its call's chain leads there, and a
checkpoint sealed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit import seal
from gateway.audit.buckets import parsed
from gateway.audit.files import blocks, last_line, rebuilt_of, seals_of
from gateway.audit.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from gateway.audit.export import Hole, Seals
    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring


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
        return self._proof(found, verifier.close(), seals)

    def _line(self, block: bytes) -> bytes:
        prefix = b'{"bucket":%d,"seq":%d,' % (self._place.bucket, self._place.seq)
        return next((line for line in block.splitlines(keepends=True) if line.startswith(prefix)), b"")

    def _proof(self, line: bytes, verdict: Verdict, seals: Seals) -> Proof:
        place = self._place
        where = f"number {place.seq} of bucket {place.bucket}"
        found = parsed(line)
        if found is None:
            return Proof(proven=False, text=f"there is no {where}")
        entry = orjson.loads(line)
        wrong = [one for one in verdict.findings if one.bucket in {None, place.bucket}]
        if found[3].decode() != place.link:
            return Proof(proven=False, text=f"{where} is another entry", entry=entry)
        if wrong:
            return Proof(proven=False, text=f"the trail is not whole there: {wrong[0].text()}", entry=entry)
        return self._sealed(where, entry, seals)

    def _sealed(self, where: str, entry: dict[str, Any], seals: Seals) -> Proof:
        head = seals.heads.get(self._place.bucket)
        if seals.newest is None or head is None or head.seq < self._place.seq:
            return Proof(proven=False, text=f"{where} is there, and not sealed yet", entry=entry)
        number = seal.read(seals.newest).number
        return Proof(proven=True, text=f"{where} is there, sealed by checkpoint {number} at the latest", entry=entry)
