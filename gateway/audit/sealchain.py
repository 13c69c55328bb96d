"""Do the checkpoints follow each other, each signed, none missing, none twice?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit import seal
from gateway.audit.findings import Kind
from gateway.audit.seal import BEFORE_ALL, Head
from gateway.audit.signed import line_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.audit.findings import Findings
    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Checkpoint, Heads


class SealChain:
    """`number` and `hash` are of the checkpoint that the first one follows; None when that is not known."""

    def __init__(
        self, keyring: Keyring, findings: Findings, *, number: int = 0, hash_: str | None = BEFORE_ALL
    ) -> None:
        self.count = 0
        self.number = number
        self.hash = hash_
        self.heads: Heads = {}
        self._based = False
        self.keys: list[str] = []
        self._keyring = keyring
        self._findings = findings

    def feed(self, line: bytes) -> Checkpoint | None:
        """The checkpoint, when it is one of ours; the line has no newline."""
        try:
            found = seal.read(line)
        except ValueError:
            self._findings.add(Kind.UNREADABLE, f"not a checkpoint, after number {self.number}")
            return None
        self.count += 1
        self._follows(found, line)
        self._signed(found, line)
        self._roots(found)
        return found

    def _follows(self, found: Checkpoint, line: bytes) -> None:
        known = self.hash is not None
        if known and (found.number != self.number + 1 or found.previous != self.hash):
            self._findings.add(Kind.FORK, f"checkpoint {found.number} does not follow checkpoint {self.number}")
        self.number, self.hash = found.number, line_hash(line)

    def _signed(self, found: Checkpoint, line: bytes) -> None:
        """A pod with an old key cannot go on from a checkpoint with the new one: no key comes back."""
        if not self._keyring.publics.signs(line, found.key):
            self._findings.add(Kind.SIGNATURE, f"checkpoint {found.number} is signed by none of the keys")
        if found.key in self.keys[:-1]:
            self._findings.add(Kind.OUTDATED_KEY, f"checkpoint {found.number} is signed by a key that was replaced")
        if found.key not in self.keys:
            self.keys.append(found.key)

    def _roots(self, found: Checkpoint) -> None:
        """Where the chain is followed from its beginning, the heads add up to the root."""
        self.heads |= dict(found.heads)
        whole = self.count == found.number or self._based
        if whole and seal.root(self.heads) != found.root:
            self._findings.add(Kind.SEAL, f"the heads at checkpoint {found.number} are not those of its root")

    def based_on(self, heads: Mapping[int, Head]) -> None:
        """The heads of all buckets before the first checkpoint that comes."""
        self.heads, self._based = dict(heads), True
