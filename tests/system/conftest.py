"""One process that starts all commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import processes
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="session")
def forking() -> Iterator[None]:
    with processes.forking():
        yield
