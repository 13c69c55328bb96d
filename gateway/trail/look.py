"""Verify the trail where it stands: every entry and every checkpoint in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.audit.findings import Finding, Findings, Kind, Verdict
from gateway.audit.sealchain import SealChain
from gateway.audit.verify import Verifier
from gateway.store.seals import SYSTEM, Unreadable
from gateway.trail.export import Export, checkpoint_rows
from gateway.trail.rows import BESIDE, PAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.audit.keyring import Keyring
    from gateway.store.seals import SealStore


async def verify_store(
    store: SealStore,
    keyring: Keyring,
    *,
    known: Iterable[bytes] = (),
    progress: Callable[[int], None] | None = None,
    good: Callable[[bytes], None] | None = None,
    now: int = 0,
) -> Verdict:
    """`progress` is told how many bytes were read, `good` gets every line for which nothing was found. `now` is the
    clock (ms) of whoever looks. Raises `StoreUnavailable`."""
    try:
        return await _verified(store, keyring, known, progress, good, now)
    except Unreadable as error:
        finding = Finding(kind=Kind.UNREADABLE, detail=str(error), bucket=error.bucket)
        return Verdict(wrong=1, findings=(finding,))


async def _verified(
    store: SealStore,
    keyring: Keyring,
    known: Iterable[bytes],
    progress: Callable[[int], None] | None,
    good: Callable[[bytes], None] | None,
    now: int,
) -> Verdict:
    export = await Export.begin(store)
    verifier = Verifier(keyring, export.seals, known=known)
    async for block in export.blocks():
        verifier.feed_to(block, good)
        if progress is not None:
            progress(len(block))
    verifier.reaches(export.heads)
    verifier.until(await store.now(SYSTEM, within=PAGE_SECONDS), nodes_at=now)
    verdict = verifier.close()
    findings, count = await _checkpoints(store, keyring)
    for number, seq in export.beside:
        findings.add(Kind.EDITED, BESIDE, bucket=number, seq=seq)
    for number, newest in export.numbers.items():
        await _beyond(store, number, newest, findings)
    return _together(verdict, (findings, count))


async def _beyond(store: SealStore, number: int, newest: int, findings: Findings) -> None:
    """No entry stands under a number that was not given yet; one that comes while it is read is given by the second
    look."""
    for _ in range(2):
        page = await store.rows(number, since=newest + 1, most=1, within=PAGE_SECONDS)
        if not page.entries or page.entries[0].seq <= page.newest:
            return
    seq = page.entries[0].seq
    findings.add(Kind.ORDER, "an entry under a number that was never given", bucket=number, seq=seq)


async def _checkpoints(store: SealStore, keyring: Keyring) -> tuple[Findings, int]:
    """That they follow each other, and that the store's word on the newest is true of them."""
    findings, before = Findings(), await store.newest(within=PAGE_SECONDS)
    chain = SealChain(keyring, findings, hash_=None if before.trimmed else "")
    hashes, trimmed = {0: ""}, 0
    async for one in checkpoint_rows(store):
        found = chain.feed(one.line)
        if one.beside:
            findings.add(Kind.EDITED, f"something stands beside checkpoint {one.number}")
        hashes[chain.number] = chain.hash or ""
        trimmed = chain.number if found and found.trimmed and chain.number <= before.number else trimmed
    after = await store.newest(within=PAGE_SECONDS)
    if chain.number > after.number or hashes.get(before.number) != before.hash:
        text = f"the newest checkpoint is said to be {before.number}, and {chain.number} is there"
        findings.add(Kind.ROLLED_BACK, text)
    if trimmed != before.trimmed:
        text = f"the trail is said to begin after checkpoint {before.trimmed}, and it is {trimmed}"
        findings.add(Kind.SEAL, text)
    return findings, chain.count


def _together(verdict: Verdict, seals: tuple[Findings, int]) -> Verdict:
    findings, count = seals
    return replace(
        verdict,
        checkpoints=count,
        wrong=verdict.wrong + findings.wrong,
        findings=(*verdict.findings, *findings.kept),
    )
