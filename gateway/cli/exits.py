"""The exit codes, and what ends a command with one of them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FINE = 0
WRONG = 1
USAGE = 2
CONFIGURATION = 78


class Unwritable(Exception):  # noqa: N818 -- reads as the fact it states
    """Where a command should write nothing can be written; its text is for the one who asked for that place."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path}: cannot be written: {os.strerror(error.errno or 0)}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What fails in the block failed at this place."""
    try:
        yield
    except OSError as error:
        raise Unwritable(path, error) from None
