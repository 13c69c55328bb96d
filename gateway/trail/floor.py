"""Where the trail in the store begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit import seal
from gateway.audit.archive import NOTHING
from gateway.trail.rows import PAGE_SECONDS

if TYPE_CHECKING:
    from gateway.audit.seal import Base
    from gateway.store.seals import SealStore


async def floor(store: SealStore) -> Base:
    """What was trimmed last; nothing for a trail that begins at its first entry. `ValueError`: what the store says
    there is no checkpoint."""
    newest = await store.newest(within=PAGE_SECONDS)
    if not newest.trimmed:
        return NOTHING
    line = await store.checkpoint(newest.trimmed, within=PAGE_SECONDS)
    return (seal.read(line).trimmed if line is not None else None) or NOTHING
