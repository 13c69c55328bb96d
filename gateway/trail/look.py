"""Verify the trail where it stands: every entry and every checkpoint in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.audit.findings import Findings
from gateway.audit.sealchain import SealChain
from gateway.audit.verify import Verifier
from gateway.trail.export import Export, checkpoint_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring
    from gateway.store.seals import SealStore


async def verify_store(
    store: SealStore,
    keyring: Keyring,
    *,
    known: Iterable[bytes] = (),
    progress: Callable[[int], None] | None = None,
    good: Callable[[bytes], None] | None = None,
) -> Verdict:
    """`progress` is told how many bytes were read, `good` gets every line for which nothing was found. Raises
    `StoreUnavailable`."""
    export = await Export.begin(store)
    verifier = Verifier(keyring, export.seals, known=known)
    async for block in export.blocks():
        verifier.feed_to(block, good)
        if progress is not None:
            progress(len(block))
    verifier.reaches(export.heads)
    verdict = verifier.close()
    return _together(verdict, await _checkpoints(store, keyring, trimmed=export.seals.trimmed is not None))


async def _checkpoints(store: SealStore, keyring: Keyring, *, trimmed: bool) -> tuple[Findings, int]:
    findings = Findings()
    chain = SealChain(keyring, findings, hash_=None if trimmed else "")
    async for line in checkpoint_lines(store):
        chain.feed(line)
    return findings, chain.count


def _together(verdict: Verdict, seals: tuple[Findings, int]) -> Verdict:
    findings, count = seals
    return replace(
        verdict,
        checkpoints=count,
        wrong=verdict.wrong + findings.wrong,
        findings=(*verdict.findings, *findings.kept),
    )
