"""The segments of an archive: which entries and checkpoints are in each, signed, each naming the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.seal import Base, base_members, read_base

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KIND = "archive.manifest"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The entries after `begins` up to `ends`, and the checkpoints between. `anew`: buckets that had lost what was
    sealed; they stand here again from where the trail begins, which is at `floor`. `files` are the SHA-256 (hex)
    by name, `previous` the hash of the manifest before ("" for the first). `at` is when its run began, by the node's
    clock (ms)."""

    number: int
    previous: str
    at: int
    begins: Base
    ends: Base
    floor: Base
    entries: int
    files: Mapping[str, str]
    key: str
    anew: tuple[int, ...] = field(default=())

    def body(self) -> bytes:
        return orjson.dumps(
            {
                "type": KIND,
                "version": VERSION,
                "n": self.number,
                "previous": self.previous,
                "at": self.at,
                "begins": base_members(self.begins),
                "ends": base_members(self.ends),
                "floor": base_members(self.floor),
                "entries": self.entries,
                "files": dict(self.files),
                "key": self.key,
                "anew": list(self.anew),
            }
        )


def read(line: bytes) -> Manifest:
    """The manifest that the line holds; whether it is signed is another question. `ValueError`: none."""
    try:
        return _read(orjson.loads(line))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a manifest") from error


def _read(members: Mapping[str, Any]) -> Manifest:
    if members["type"] != KIND or members["version"] != VERSION:
        raise ValueError("not a manifest")
    return Manifest(
        number=int(members["n"]),
        previous=members["previous"],
        at=int(members["at"]),
        begins=read_base(members["begins"]),
        ends=read_base(members["ends"]),
        floor=read_base(members["floor"]),
        entries=int(members["entries"]),
        files={str(name): str(digest) for name, digest in members["files"].items()},
        key=members["key"],
        anew=tuple(int(number) for number in members["anew"]),
    )


def manifest_name(number: int) -> str:
    return f"{number:08}.manifest.json"


def entries_name(number: int) -> str:
    return f"{number:08}.entries.jsonl.gz"


def seals_name(number: int) -> str:
    return f"{number:08}.seals.jsonl.gz"


def manifests(directory: Path) -> list[Path]:
    """The manifests that are there, oldest first."""
    return sorted(directory.glob("????????.manifest.json"))
