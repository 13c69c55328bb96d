"""The checkpoints that are left: which of them count, and what they say of each bucket."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.audit import seal
from gateway.audit.export import Seals
from gateway.audit.findings import Findings, Kind

if TYPE_CHECKING:
    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Checkpoint, Head, Heads


@dataclass(kw_only=True)
class Sealings:
    """`heads` are by bucket all that were sealed and still stand, the oldest first."""

    keyring: Keyring
    until: int | None = None
    findings: Findings = field(default_factory=Findings)
    heads: defaultdict[int, list[Head]] = field(default_factory=lambda: defaultdict(list))
    _lines: dict[int, bytes] = field(default_factory=dict)

    def take(self, line: bytes) -> None:
        """Those that no key of ours signed count for nothing; of two with one number the first does."""
        try:
            found = seal.read(line)
        except ValueError:
            return
        if not self.keyring.publics.signs(line, found.key) or (self.until is not None and found.at >= self.until):
            return
        if self._lines.setdefault(found.number, line) != line:
            self.findings.add(
                Kind.FORK, f"there are two checkpoints {found.number}; say until when the store was there"
            )

    def closed(self) -> Seals:
        """What the rebuilt trail is held against: the newest checkpoint of which all heads are known."""
        newest = trimmed = None
        heads: Heads = {}
        known: Heads = {}
        lost: list[bytes] = []
        for _, line in sorted(self._lines.items()):
            one = seal.read(line)
            known |= dict(one.heads)
            self._stands(one)
            lost += [line] if one.lost else []
            trimmed = line if one.trimmed is not None else trimmed
            if seal.root(known) == one.root:
                newest, heads = line, dict(known)
        return Seals(newest=newest, heads=heads, trimmed=trimmed, lost=tuple(lost))

    def _stands(self, one: Checkpoint) -> None:
        for number, lost in one.lost.items():
            self.heads[number] = [head for head in self.heads[number] if head.seq <= lost.kept]
        for number, head in one.heads.items():
            self.heads[number].append(head)
