"""One process on a real store and real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.store.redis import RedisStore


from lives import Life, life


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not a hanging disk."""
    monkeypatch.setattr("gateway.audit.journal.JOURNAL_SECONDS", 10.0)


@pytest.fixture
async def one(store: RedisStore, tmp_path: Path) -> AsyncIterator[Life]:
    async with life(store, tmp_path) as one:
        yield one
