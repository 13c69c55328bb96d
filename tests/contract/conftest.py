"""One gateway and its vendors for each module of tests; every test leaves them as it found them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio
from workbench import Bench, benched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEMORY = next((place for place in ("/dev/shm",) if Path(place).is_dir()), None)  # noqa: S108 -- a directory of its own
"""Vendors are tested here, not the disk: its fsync takes longer than a mute waits for when all tests run at once."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_bench() -> AsyncIterator[Bench]:
    directory = Path(tempfile.mkdtemp(prefix="rgw-", dir=MEMORY))
    async with benched(directory) as bench:
        yield bench
    shutil.rmtree(directory, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="module")
async def bench(running_bench: Bench) -> AsyncIterator[Bench]:
    yield running_bench
    await running_bench.tidy()
