"""Retention: what is old, archived and verified is taken away, and a checkpoint and an entry say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit import seal
from gateway.audit.archive import NOTHING, ArchiveVerifier
from gateway.audit.seal import Base
from gateway.audit.signed import line_hash
from gateway.trail.export import checkpoint_lines
from gateway.trail.floor import floor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.audit.entry import Entry
    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.store.seals import SealStore
    from gateway.trail.register import Register
    from gateway.trail.sealer import Sealer

STORE_SECONDS = 10.0


class Unverified(Exception):  # noqa: N818 -- reads as the fact it states
    """The archive is not whole: nothing is taken away."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("the archive is not whole")
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """Up to which checkpoint (0: nothing was old enough), and how many entries."""

    checkpoint: int
    entries: int


class Trimmer:
    """`describe` makes the entry, from a count and a checkpoint's number."""

    def __init__(
        self,
        store: SealStore,
        sealer: Sealer,
        register: Register,
        keyring: Keyring,
        describe: Callable[[int, int], Entry],
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._register = register
        self._keyring = keyring
        self._describe = describe

    async def trim(self, directory: Path, *, before: int) -> Trimmed:
        """Take away what was sealed before the time `before` (ms) and is in the archive.

        The checkpoint comes first: should the rest not happen, the trail may begin later and does not. Raises
        `Unverified`, and `StoreUnavailable`.
        """
        ends = self._archived(directory)
        base = await self._base(until=ends.number, before=before)
        if not base.number:
            return Trimmed(checkpoint=0, entries=0)
        await self._sealer.seal(trim=base)
        gone = 0
        for number, head in base.heads.items():
            gone += await self._store.trim(number, oldest=head.seq + 1, within=STORE_SECONDS)
        await self._store.trim_checkpoints(oldest=base.number, within=STORE_SECONDS)
        await self._register.write(self._describe(gone, base.number))
        return Trimmed(checkpoint=base.number, entries=gone)

    def _archived(self, directory: Path) -> Base:
        verifier = ArchiveVerifier(directory=directory, keyring=self._keyring)
        verdict = verifier.verdict()
        if not verdict.whole:
            raise Unverified(verdict)
        return verifier.ends

    async def _base(self, *, until: int, before: int) -> Base:
        """The newest checkpoint that is archived and old enough, with all heads; none of what was trimmed before."""
        base = found = await floor(self._store)
        async for line in checkpoint_lines(self._store, since=base.number + 1):
            one = seal.read(line)
            if one.number > until or one.at >= before:
                break
            heads = {**found.heads, **one.heads}
            found = Base(number=one.number, hash=line_hash(line), heads=heads)
        return found if found.number > base.number else NOTHING
