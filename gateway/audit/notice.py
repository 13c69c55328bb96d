"""Entries that are about no call: who made them, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit.entry import Entry
from gateway.clock import new_id

if TYPE_CHECKING:
    from gateway.audit.entry import EntryType

GATEWAY = "gateway"  # whose entries those are that are no tenant's


def notice(kind: EntryType, *, node: str, ms: int, tenant: str = GATEWAY) -> Entry:
    """What `node` has to say at `ms`, its own clock."""
    return Entry(type=kind, tenant=tenant, call_id=None, op=new_id(), node=node, node_ms=ms)
