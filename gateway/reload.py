"""The configuration while the gateway runs: looked at every second, taken whole or not at all.

A change counts once two looks in a row saw the same bytes, so that a file is not read while it is being written,
nor a mounted directory while it is being swapped. A configuration that is wrong changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway import settings, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.settings import Settings

LOOK_SECONDS = 1.0


T = TypeVar("T")


class Watched(Generic[T]):
    """What `load` makes of `contents`, named bytes, whenever these have changed."""

    def __init__(self, contents: Callable[[], Iterable[tuple[str, bytes]]], load: Callable[[], T]) -> None:
        self._contents = contents
        self._load = load
        self._seen = self._digest()
        self._taken: str | None = self._seen

    async def changed(self) -> T | None:
        """What is new, once, when it is another than at the last time and nobody is writing it any more.

        Raises what `load` does, once for each mistaken change.
        """
        return await asyncio.to_thread(self._changed)

    def _changed(self) -> T | None:
        before, self._seen = self._seen, self._digest()
        if self._seen == self._taken or self._seen != before:
            return None
        self._taken = self._seen
        found = self._load()
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


class Configuration:
    """Where the settings of a process come from."""

    def __init__(self, path: Path | None, environ: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._environ = os.environ if environ is None else environ
        self._watched = Watched(self._contents, self.load)

    def load(self) -> Settings:
        """`ConfigurationError` names every mistake."""
        return settings.load(self._path, self._environ)

    async def changed(self) -> Settings | None:
        """The new settings, as `Watched` has it. Raises `ConfigurationError`."""
        return await self._watched.changed()

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        file = self._path or Path(self._environ.get(sources.FILE_VARIABLE) or sources.DEFAULT_FILE)
        yield "file", read(file)
        mounted = self._environ.get(sources.MOUNT_VARIABLE)
        for path in sorted(_files(Path(mounted))) if mounted else ():
            yield path.name, read(path)


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def read(path: Path) -> bytes:
    """What is in a file; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
