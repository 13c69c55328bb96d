"""What a verification can find, and its outcome."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What is wrong. Where several things follow from one change, each is said."""

    UNREADABLE = "unreadable"  # a line that nothing of ours has written so
    EDITED = "edited"  # an entry or what came before it in its call is not what was written
    HOLE = "hole"  # numbers are missing
    ORDER = "order"  # a number comes twice, or after a later one
    REPLAYED = "replayed"  # the beginning of a call stands there a second time
    SEAL = "seal"  # entries, their numbers or times are not those that were sealed
    FORK = "fork"  # a checkpoint does not follow the one before it
    SIGNATURE = "signature"  # not signed, or by none of the keys
    TRUNCATED = "truncated"  # less is there than was sealed, or than the last line says
    ROLLED_BACK = "rolled back"  # the seals were begun anew, lost some of theirs, or a bucket lost sealed entries
    OUTDATED_KEY = "outdated key"  # written with a key that had been replaced long before
    NO_END = "no end"  # the signed last line is missing, or something follows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`seq` is the first bad number of the bucket, `line` the line of the export; None where there is none."""

    kind: Kind
    detail: str
    bucket: int | None = None
    seq: int | None = None
    line: int | None = None

    def text(self) -> str:
        bucket = None if self.bucket is None else f"bucket {self.bucket}"
        seq = None if self.seq is None else f"number {self.seq}"
        line = None if self.line is None else f"line {self.line}"
        where = ", ".join(part for part in (bucket, seq, line) if part)
        return f"{self.kind.value}: {self.detail}" + (f" ({where})" if where else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`findings` are the first ones, `wrong` counts all. `sealed` is how many entries a checkpoint covers;
    `unanchored` how many follow an entry that was not selected; `notes` says what is out of the ordinary and
    explained."""

    entries: int = 0
    checkpoints: int = 0
    sealed: int = 0
    unanchored: int = 0
    wrong: int = 0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.wrong


@dataclass(slots=True, kw_only=True)
class Findings:
    """Collects; the first `most` are kept."""

    most: int = 100
    wrong: int = 0
    kept: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, detail: str, *, bucket: int | None = None, seq: int | None = None) -> None:
        self.wrong += 1
        if len(self.kept) < self.most:
            self.kept.append(Finding(kind=kind, detail=detail, bucket=bucket, seq=seq))
