"""One bucket while it is verified: its numbers, its digest, and the calls in it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.audit.findings import Kind
from gateway.audit.row import HEAD, bucket_of, subject
from gateway.audit.seal import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.audit.export import Hole
    from gateway.audit.findings import Findings
    from gateway.audit.keyring import ChainKey
    from gateway.audit.seal import Head

OVERLAP_MS = 24 * 3_600_000  # pods with the old key may go on for so long after the first with the new one
_ROTATED = b'"type":"key.rotated"'
_STARTS = 32  # hex digits of a link that tell it from all others


class Chains:
    """The links. `keys` are the newest first. `whole`: every entry of every call is there.

    Since when a key is in use is an entry itself, in the first bucket."""

    def __init__(self, keys: Sequence[ChainKey], findings: Findings, *, whole: bool) -> None:
        self.keys = keys
        self._since: dict[str, int] = {}
        self.unanchored = 0
        self._findings = findings
        self._whole = whole
        self._key = keys[0]
        self._heads: list[dict[bytes, bytes]] = [{} for _ in range(BUCKETS)]
        self._starts: list[set[bytes]] = [set() for _ in range(BUCKETS)]
        self._behind: dict[int, dict[bytes, bytes]] = {}

    def follows(self, bucket: int, seq: int, at: int, link: bytes, entry: bytes) -> None:
        about, heads = subject(entry), self._heads[bucket]
        if not about and _ROTATED in entry:
            self._rotated(entry, at)
        before = heads.get(about, b"")
        heads[about] = link
        if not before or self._key.link(before, entry) != link:
            self._look(bucket, seq, at, (before, link), entry)

    def _look(self, bucket: int, seq: int, at: int, links: tuple[bytes, bytes], entry: bytes) -> None:
        """It begins a call (again, when the state was not kept any longer), or is of another key's time."""
        before, link = links
        interrupted = not before and bucket in self._behind
        before = before or self._behind.get(bucket, {}).pop(subject(entry), b"")
        for key in (self._key, *self.keys):
            if before and key.link(before, entry) == link:
                return self._by(key, bucket, seq, at)
            if key.link(b"", entry) == link:
                self._begins(bucket, seq, link, subject(entry))
                return self._by(key, bucket, seq, at)
        if (before or self._whole) and not interrupted:
            self._findings.add(
                Kind.EDITED, "the entry, or the one before it, is not what was written", bucket=bucket, seq=seq
            )
        else:
            self.unanchored += 1
        return None

    def _begins(self, bucket: int, seq: int, link: bytes, about: bytes) -> None:
        starts, start = self._starts[bucket], link[:_STARTS]
        if start in starts:
            self._findings.add(Kind.REPLAYED, "the beginning of a call stands here again", bucket=bucket, seq=seq)
        if about and bucket_of(about) != bucket:
            self._findings.add(Kind.ORDER, "an entry of another bucket", bucket=bucket, seq=seq)
        starts.add(start)

    def _rotated(self, entry: bytes, at: int) -> None:
        for key in self.keys:
            if b'"key":"%b"' % key.id.encode() in entry:
                self._since.setdefault(key.id, at)

    def anew(self, bucket: int) -> None:
        """The bucket is read again from where it begins."""
        self._heads[bucket].clear()
        self._starts[bucket].clear()

    def interrupted(self, bucket: int) -> None:
        """Entries are missing from here on, and nobody can say of which calls: the next of each may follow one of
        them."""
        self._behind[bucket] = {**self._behind.get(bucket, {}), **self._heads[bucket]}
        self._heads[bucket] = {}

    def calls(self) -> int:
        """How many calls are remembered."""
        return sum(map(len, self._heads))

    def _by(self, key: ChainKey, bucket: int, seq: int, at: int) -> None:
        newer = self.keys[: self.keys.index(key)]
        replaced = min((self._since[one.id] for one in newer if one.id in self._since), default=at)
        if at > replaced + OVERLAP_MS:
            self._findings.add(Kind.OUTDATED_KEY, "written with a key that had been replaced", bucket=bucket, seq=seq)
        self._key = key


class Bucket:
    """`base` is where it begins; `points` are the digests that it must have at some numbers. `skipped` are
    the holes that it has and may have."""

    def __init__(self, number: int, findings: Findings, *, base: Head, points: Mapping[int, str], whole: bool) -> None:
        self.number = number
        self.seq = base.seq
        self.link = b""
        self.digest = base.digest.encode()
        self._findings = findings
        self._whole = whole
        self._points = sorted(points.items(), reverse=True)
        self._next = 0
        self._holes: dict[int, Hole] = {}
        self._interrupted: Callable[[], None] = _nobody
        self.skipped: list[Hole] = []
        self._anew: Head | None = None
        self._due()

    def takes(self, seq: int, link: bytes, line: bytes) -> None:
        if seq != self.seq + 1 and (self._whole or seq <= self.seq):
            self._misplaced(seq)
        self.seq, self.link = seq, link
        self.digest = sha256(self.digest + line).hexdigest().encode()
        if seq >= self._next > 0:
            self._reached(seq)

    def ended(self) -> None:
        """Nothing more comes: what was sealed beyond is missing."""
        self.passes()
        if self._points:
            seq = self._points[0][0]
            detail = f"sealed up to {seq}, and less is there"
            self._findings.add(Kind.TRUNCATED, detail, bucket=self.number, seq=self.seq + 1)

    def may_lack(self, holes: Iterable[Hole], interrupted: Callable[[], None]) -> None:
        """These holes are owned up to; `interrupted` is called at each."""
        self._holes = {one.first: one for one in holes}
        self._interrupted = interrupted

    def passes(self) -> None:
        """Where a hole begins that is owned up to, go on behind it."""
        hole = self._holes.pop(self.seq + 1, None)
        if hole is None:
            return
        self.skipped.append(hole)
        self._interrupted()
        self.seq, self.link, self._anew = hole.last, b"", hole.sealed
        resumes = hole.sealed.seq if hole.sealed is not None else hole.last + 1
        while self._points and self._points[-1][0] < resumes:
            self._points.pop()
        if hole.sealed is not None and not (self._points and self._points[-1][0] == resumes):
            self._points.append((resumes, hole.sealed.digest))
        self._next = self._points[-1][0] if self._points else 0
        if self._next == hole.last:
            self._reached(hole.last)

    def _misplaced(self, seq: int) -> None:
        self.passes()
        if seq == self.seq + 1:
            return
        if seq > self.seq:
            missing = seq - self.seq - 1
            self._findings.add(Kind.HOLE, f"{missing} missing", bucket=self.number, seq=self.seq + 1)
        else:
            self._findings.add(Kind.ORDER, f"comes after {self.seq}", bucket=self.number, seq=seq)

    def _reached(self, seq: int) -> None:
        while self._next and seq >= self._next:
            number, digest = self._points.pop()
            if self._anew is not None and self._anew.seq == number:
                self.digest, self._anew = self._anew.digest.encode(), None
            if seq != number or self.digest.decode() != digest:
                detail = "not what was sealed up to here"
                self._findings.add(Kind.SEAL, detail, bucket=self.number, seq=number)
            self._due()

    def _due(self) -> None:
        """Digests at or before the base are known to the checkpoint that the base comes from."""
        while self._points and self._points[-1][0] <= self.seq and self._next == 0:
            self._points.pop()
        self._next = self._points[-1][0] if self._points else 0


def _nobody() -> None:
    """No hole is owned up to."""


def parsed(line: bytes) -> tuple[int, int, int, bytes, bytes] | None:
    """Bucket, number, time, link and entry of a line with its newline; None for one that is not in form."""
    found = HEAD.match(line)
    if found is None or not line.endswith(b"}\n"):
        return None
    bucket, seq, at, link = found.groups()
    return int(bucket), int(seq), int(at), link, b"{" + line[found.end() : -1]
