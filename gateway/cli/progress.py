"""How far it is, on a terminal."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from types import TracebackType

_WIDTH = 40
_STEP = 2**22


class Progress(AbstractContextManager["Progress"]):
    """`total` bytes, 0 when nobody knows. Nothing is shown where nobody watches."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total = total
        self._done = 0
        self._shown = -_STEP
        self._watched = self._stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watched:
            self._stream.write("\r\x1b[K")

    def more(self, count: int) -> None:
        self._done += count
        if self._watched and self._done - self._shown >= _STEP:
            self._shown = self._done
            self._stream.write(f"\r{self._text()}")
            self._stream.flush()

    def _text(self) -> str:
        if not self._total:
            return f"{self._done / 2**20:.0f} MiB"
        share = min(1.0, self._done / self._total)
        return f"[{'#' * int(share * _WIDTH):<{_WIDTH}}] {share:4.0%}"
