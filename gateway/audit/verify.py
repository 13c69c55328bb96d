"""Is an export what was written? Every link, every number, every seal, and the export's own end.

It finds what was edited, left out, put in, moved, cut or replaced by whoever lacks the keys, and names the first bad
number. It cannot find what was never written, what happened to entries after the newest checkpoint before anybody
looked (less than `seal_seconds` of them), nor a whole store put back to an earlier time together with its seals:
that shows against checkpoints kept elsewhere (`known`: from the log stream, or from an earlier export).
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from hashlib import sha256
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING

from gateway.audit import export, seal
from gateway.audit.beginnings import Beginnings
from gateway.audit.buckets import Bucket, Chains, parsed
from gateway.audit.findings import Findings, Kind, Verdict
from gateway.audit.known import Known, readable
from gateway.audit.losses import Losses
from gateway.audit.seal import BUCKETS, Head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gateway.audit.export import Ended, Hole, Seals, Selection
    from gateway.audit.keyring import Keyring
    from gateway.audit.seal import Checkpoint

_TOLD = 100  # holes


class Verifier:
    """`seals` are what the entries are held against, `selection` says which entries come. `known` are lines of
    checkpoints from elsewhere; those signed by no key of ours count for nothing. `rebuilt`: these holes are owned up
    to. `ended` is an export's last line: what was sealed after it binds only the numbers that it has."""

    def __init__(
        self,
        keyring: Keyring,
        seals: Seals,
        *,
        selection: Selection | None = None,
        known: Iterable[bytes] = (),
        rebuilt: Mapping[int, tuple[Hole, ...]] | None = None,
        ended: Ended | None = None,
        most: int = 100,
    ) -> None:
        self._keyring = keyring
        self._seals = seals
        self._whole = selection is None or selection.everything
        self._findings = Findings(most=most)
        self._checkpoints = [self._signed(line) for line in self._lines()]
        self._ended = ended
        self._known = Known.of(keyring, known, begun=ended.begun if ended is not None else None)
        self._entries = 0
        self._sealed = 0
        self._beginnings = Beginnings(self._findings)
        self._digest = sha256()
        anchored = self._whole and self._trimmed is None
        self._chains = Chains(keyring.chains, self._findings, whole=anchored)
        self._losses = Losses(one for one in self._checkpoints if one is not None)
        self._buckets = self._made()
        self._number = self._newest.number if self._newest is not None else 0
        self._sealed_system = seals.heads.get(0, Head())
        self._rebuilt = rebuilt
        for number, holes in (rebuilt or {}).items():
            self._buckets[number].may_lack(holes, partial(self._chains.interrupted, number))

    # ── what it is held against ──

    @property
    def _trimmed(self) -> Checkpoint | None:
        """The one after which the trail begins."""
        return next((one for one in self._checkpoints if one is not None and one.trimmed is not None), None)

    @property
    def _newest(self) -> Checkpoint | None:
        return self._checkpoints[0] if self._seals.newest is not None else None

    def _lines(self) -> list[bytes]:
        seals = self._seals
        return [line for line in (seals.newest, seals.trimmed, *seals.lost) if line is not None]

    def _signed(self, line: bytes) -> Checkpoint | None:
        found = readable(self._keyring, line)
        if found is None:
            self._findings.add(Kind.SIGNATURE, "a checkpoint is signed by none of the keys")
        return found

    def _made(self) -> list[Bucket]:
        trimmed = self._trimmed
        bases = trimmed.trimmed.heads if self._whole and trimmed is not None and trimmed.trimmed is not None else {}
        points = self._points() if self._whole else {}
        return [
            Bucket(
                number,
                self._findings,
                base=bases.get(number, Head()),
                points=points.get(number, {}),
                whole=self._whole,
            )
            for number in range(BUCKETS)
        ]

    def _points(self) -> dict[int, dict[int, str]]:
        """By bucket and number the digests that were sealed."""
        points: defaultdict[int, dict[int, str]] = defaultdict(dict)
        each = [self._sealed_heads(), *(one.heads for one in self._known.before), *map(self._had, self._known.later)]
        for number, head in chain.from_iterable(heads.items() for heads in each):
            if points[number].setdefault(head.seq, head.digest) != head.digest:
                self._findings.add(Kind.FORK, "two checkpoints contradict each other", bucket=number, seq=head.seq)
        return points

    def _had(self, later: Checkpoint) -> Mapping[int, Head]:
        heads = self._ended.heads if self._ended is not None else {}
        return {number: head for number, head in later.heads.items() if head.seq <= heads.get(number, (0, ""))[0]}

    def _sealed_heads(self) -> Mapping[int, Head]:
        newest, heads = self._newest, self._seals.heads
        if newest is not None and seal.root(heads) == newest.root:
            self._sealed = sum(head.seq for head in heads.values())
            return heads
        if heads or newest is not None:
            self._findings.add(Kind.SEAL, "the heads are not those that the newest checkpoint sealed")
        return {}

    # ── the entries ──

    def feed(self, data: bytes) -> None:
        """More of the export: whole lines, without the last one."""
        self._digest.update(data)
        if data and not data.endswith(b"\n"):
            self._findings.add(Kind.UNREADABLE, "a line without its end")
            data = data[: data.rfind(b"\n") + 1]
        for line in BytesIO(data):
            self._line(line)

    def feed_to(self, data: bytes, good: Callable[[bytes], None] | None) -> None:
        """As `feed`; `good` gets every line for which nothing was found."""
        if good is None:
            self.feed(data)
            return
        for line in self.feed_verified(data):
            good(line)

    def feed_verified(self, data: bytes) -> Iterator[bytes]:
        """As `feed`; gives every line for which nothing was found."""
        for line in data.splitlines(keepends=True):
            before = self._findings.wrong
            self.feed(line)
            if self._findings.wrong == before:
                yield line

    def _line(self, line: bytes) -> None:
        found = parsed(line)
        if found is None or found[0] >= BUCKETS:
            self._findings.add(Kind.UNREADABLE, f"not an entry (line {self._entries + 1})")
            return
        number, seq, at, link, entry = found
        self._entries += 1
        self._buckets[number].takes(seq, link, line)
        self._chains.follows(number, seq, at, link, entry)
        self._losses.saw(number, seq, entry)
        self._beginnings.saw(entry, at, seq, newest=self._number, head=self._sealed_system)

    # ── the end ──

    def ends(self, last: bytes | None) -> None:
        """Everything was fed, and this is the signed last line, without its newline; None when there is none."""
        try:
            ended = export.read(last or b"")
        except ValueError:
            self._findings.add(Kind.NO_END, "the signed last line is missing")
            return
        if not self._keyring.publics.signs(last or b"", ended.key):
            self._findings.add(Kind.SIGNATURE, "the last line is signed by none of the keys")
        if ended.digest != self._digest.hexdigest():
            self._findings.add(Kind.EDITED, "the lines are not those that the last line was signed for")
        if ended.entries != self._entries:
            self._findings.add(Kind.TRUNCATED, f"{self._entries} entries, and the last line says {ended.entries}")
        self.until(nodes_at=ended.at)
        self.reaches(ended.heads)

    def until(self, at: int = 0, *, nodes_at: int = 0) -> None:
        """The trail is looked at so late (ms), by the store's clock, and by that of whoever looks."""
        self._beginnings.until(at, nodes_at=nodes_at)

    def reaches(self, heads: Mapping[int, tuple[int, str]]) -> None:
        """Everything was fed, and these were the newest numbers and links in the store."""
        for bucket in self._buckets if self._whole else ():
            bucket.passes()
            seq, link = heads.get(bucket.number, (0, ""))
            same = (seq, link.encode()) == (bucket.seq, bucket.link)
            if not same and (seq > bucket.seq or bucket.link):
                detail = f"the newest number was {seq}"
                self._findings.add(Kind.TRUNCATED, detail, bucket=bucket.number, seq=bucket.seq + 1)

    def close(self) -> Verdict:
        """The outcome."""
        for bucket in self._buckets:
            bucket.ended()
        self._remembered()
        if self._whole and self._seals.newest is None and self._rebuilt is None:
            self._beginnings.unsealed()
        notes = self._losses.judge(self._findings) if self._whole else ()
        return Verdict(
            entries=self._entries,
            checkpoints=sum(one is not None for one in self._checkpoints) + len(self._known.all),
            sealed=min(self._sealed, self._entries),
            unanchored=self._chains.unanchored,
            wrong=self._findings.wrong,
            findings=tuple(self._findings.kept),
            notes=(*_trim_note(self._trimmed), *notes, *self._rebuilt_notes(), *self._known.note(self._number)),
        )

    def _rebuilt_notes(self) -> Iterator[str]:
        if self._rebuilt is None:
            return
        holes = [(bucket.number, hole) for bucket in self._buckets for hole in bucket.skipped]
        missing = sum(hole.last - hole.first + 1 for _, hole in holes)
        yield f"put together again from journal and log; {missing} entries are missing"
        for number, hole in holes[:_TOLD]:
            yield f"hole: nothing has the entries {hole.first} to {hole.last} of bucket {number}"
        if len(holes) > _TOLD:
            yield f"and {len(holes) - _TOLD} more holes"

    def _remembered(self) -> None:
        """The newest checkpoint that is known from elsewhere is not newer than the store's own."""
        newest = self._known.newest()
        have = self._number
        if newest > have:
            self._findings.add(Kind.ROLLED_BACK, f"there was a checkpoint {newest}, and the newest is {have}")


def _trim_note(trimmed: Checkpoint | None) -> tuple[str, ...]:
    if trimmed is None or trimmed.trimmed is None:
        return ()
    return (f"entries up to checkpoint {trimmed.trimmed.number} were taken away in order",)
