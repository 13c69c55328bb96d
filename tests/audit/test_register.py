"""Entries about no call that the store could not take wait for it, as many as there is room for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
from structlog.testing import capture_logs
from trails import Trail, some_entry

from gateway.model import CallKey
from gateway.store.contract import StoreUnavailable

if TYPE_CHECKING:
    import pytest

    from gateway.store.redis import RedisStore
    from gateway.store.seals import Appended

WITHIN = 5.0
ENTRY = replace(some_entry(CallKey(tenant="gateway", call_id=""), "o0", 1), call_id=None)


async def test_what_comes_while_others_are_written_pushes_out_no_other(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for three. While the oldest is on its way to the store a fourth comes, and takes its place: all
    four get there, once. Before that there was one too many, and it was said."""
    monkeypatch.setattr("gateway.trail.register.WAITING", 3)
    trail = Trail(store=store)
    real, away = trail.seals.append, True

    async def shaky(before: str, entry: bytes, link: str, *, within: float) -> Appended:
        nonlocal away
        if away:
            raise StoreUnavailable("away")
        if b'"o1"' in entry:
            away = True
            assert not await trail.register.write(replace(ENTRY, op="o4"))
            away = False
        return await real(before, entry, link, within=within)

    monkeypatch.setattr(trail.seals, "append", shaky)
    with capture_logs() as said:
        for n in range(4):
            assert not await trail.register.write(replace(ENTRY, op=f"o{n}"))
    assert [line["event"] for line in said].count("entry.dropped") == 1  # the oldest of four
    away = False
    await trail.register.flush()
    page = await trail.seals.rows(0, since=0, most=10, within=WITHIN)
    assert [orjson.loads(one.entry)["op"] for one in page.entries] == ["o1", "o2", "o3", "o4"]
