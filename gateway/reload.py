"""The configuration while the gateway runs: looked at every second, taken whole or not at all.

A change counts once two looks in a row saw the same bytes, so that a file is not read while it is being written,
nor a mounted directory while it is being swapped. A configuration that is wrong changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import settings, sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.settings import Settings

LOOK_SECONDS = 1.0


class Configuration:
    """Where the settings of a process come from."""

    def __init__(self, path: Path | None, environ: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._environ = os.environ if environ is None else environ
        self._seen = self._digest()
        self._taken: str | None = self._seen

    def load(self) -> Settings:
        """`ConfigurationError` names every mistake."""
        return settings.load(self._path, self._environ)

    async def changed(self) -> Settings | None:
        """The new settings, once, when they are others than at the last time and nobody is writing them any more.

        Raises `ConfigurationError`, once for each mistaken change.
        """
        return await asyncio.to_thread(self._changed)

    def _changed(self) -> Settings | None:
        before, self._seen = self._seen, self._digest()
        if self._seen == self._taken or self._seen != before:
            return None
        self._taken = self._seen
        found = self.load()
        if self._digest() != self._seen:  # it changed under our eyes: the next look tells
            self._taken = None
            return None
        return found

    def _digest(self) -> str:
        """Of every byte that counts."""
        digest = hashlib.sha256()
        for name, content in self._contents():
            digest.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
        return digest.hexdigest()

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        file = self._path or Path(self._environ.get(sources.FILE_VARIABLE) or sources.DEFAULT_FILE)
        yield "file", _bytes(file)
        mounted = self._environ.get(sources.MOUNT_VARIABLE)
        for path in sorted(_files(Path(mounted))) if mounted else ():
            yield path.name, _bytes(path)


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
