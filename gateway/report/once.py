"""An archive tells a bucket that had lost what was sealed from its beginning again, and what the journal brought back
a second time, as late. Each entry counts once."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from gateway.audit import manifest
from gateway.audit.manifest import manifests
from gateway.audit.row import HEAD

if TYPE_CHECKING:
    from pathlib import Path

_LATE = b'"healed":true,'


class Once:
    """`buckets` are those that are told again: only of these the entries are remembered, in 16 bytes each."""

    def __init__(self, buckets: frozenset[int]) -> None:
        self._buckets = buckets
        self._seen: set[bytes] = set()

    def new(self, line: bytes) -> bool:
        head = HEAD.match(line)
        if head is None or int(head[1]) not in self._buckets:
            return True
        print_ = blake2b(line[head.end() :].replace(_LATE, b"", 1), digest_size=16).digest()
        if print_ in self._seen:
            return False
        self._seen.add(print_)
        return True


def told_again(directory: Path) -> frozenset[int]:
    """The buckets that the archive's manifests say are told anew."""
    found: set[int] = set()
    for path in manifests(directory):
        try:
            found.update(manifest.read(path.read_bytes()).anew)
        except ValueError:  # the verification says so
            continue
    return frozenset(found)
