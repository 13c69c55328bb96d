"""No order that lets a party be recorded is given while nobody knows what the store has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lives import Life, life

from gateway.audit.chain import GENESIS, link
from gateway.metrics import Metrics
from gateway.model import CallKey, Order, OrderKind, Redaction
from gateway.store.contract import Change, Committed, StoreUnsettled
from gateway.store.watch import StoreWatch

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.store.redis import RedisStore

ORDER = Order(op="o", kind=OrderKind.RESUME, drops=(), lands_before=1)


def change(op: str, order: Order | None) -> Change:
    key = CallKey(tenant="acme", call_id=op)
    after = Redaction(key=key, revision=1, order=order)
    return Change(
        op=op, before=None, after=after, entry=b"{}", link=link(b"k", GENESIS, b"{}"), due_at=None, keep_ms=None
    )


async def test_an_order_waits_for_the_look_at_the_trail(store: RedisStore) -> None:
    """Only the order waits: mutes do not, and being told to wait says nothing against the store."""
    watch = StoreWatch(store, node="n", metrics=Metrics({}, version="0"))
    async with watch.watching():
        watch.verified = False
        with pytest.raises(StoreUnsettled):
            await watch.store.commit(change("op1", ORDER), within=5)
        assert not watch.doubted
        assert isinstance(await watch.store.commit(change("op2", None), within=5), Committed)
        watch.verified = True
        assert isinstance(await watch.store.commit(change("op1", ORDER), within=5), Committed)


async def test_the_look_begins_with_the_start_and_with_every_return(store: RedisStore, tmp_path: Path) -> None:
    """Nothing counts as known until the healer has looked through all buckets, also after it was called again."""
    async with life(store, tmp_path / "journal") as one:
        assert not _verified(one)
        await one.healer._heal()
        assert _verified(one)
        one.healer.wake()
        assert not _verified(one)
        await one.healer._heal()
        assert _verified(one)


def _verified(one: Life) -> bool:
    return one.healer._watch.verified
