"""The trail put together again from what is left of it, with its holes.

What a number's entry was is settled by the links: of several that are said to have stood there, the one that follows.
What was not found is a hole. Entries that no store is known to have taken come last, under new numbers, as late ones.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from gateway.audit import row, seal
from gateway.audit.entry import healed, timely
from gateway.audit.export import Ended, Hole, Seals
from gateway.audit.findings import Finding, Kind
from gateway.audit.leavings import Placed, Sealed, Spoiled, Unplaced
from gateway.audit.seal import BUCKETS, Head
from gateway.audit.sealed import Sealings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from gateway.audit.entry import Entry
    from gateway.audit.keyring import Keyring
    from gateway.audit.leavings import Leaving


LOG_ALONE = "log-alone"  # the reason of the entry that counts what no key vouches for


@dataclass(slots=True, kw_only=True)
class _End:
    """How far a bucket has been put together: the newest number and link, and the newest link of each call."""

    seq: int
    link: bytes = b""
    calls: dict[bytes, bytes] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)

    def lacks(self, last: int, heads: Iterable[Head]) -> None:
        """Up to this number."""
        if last > self.seq:
            sealed = next((head for head in heads if head.seq >= last), None)
            self.holes.append(Hole(first=self.seq + 1, last=last, sealed=sealed))
            self.seq, self.link = last, b""


class Rebuild:
    """`shelf` is an empty directory for what memory has no room for. What happened from `until` (ms, by the store's
    clock) on counts for nothing: it is of the store that came after."""

    def __init__(self, keyring: Keyring, shelf: Path, *, until: int | None = None) -> None:
        self._keyring = keyring
        self._until = until
        self._sealings = Sealings(keyring=keyring, until=until)
        self._files = [(shelf / str(number)).open("w+b") for number in range(BUCKETS)]
        self._unplaced: dict[bytes, tuple[bytes, bool]] = {}
        self._spoiled: Counter[str] = Counter()
        self.unvouched = 0
        self._ends: list[_End] = []
        self._seals = Seals()

    # ── what is left ──

    def take(self, leavings: Iterable[Leaving]) -> None:
        for one in leavings:
            match one:
                case Placed():
                    self._keep(one)
                case Unplaced():
                    name = sha256(timely(one.entry)).digest()
                    keyed = one.keyed or self._unplaced.get(name, (b"", False))[1]
                    self._unplaced[name] = one.entry, keyed
                case Spoiled():
                    self._spoiled[one.text] += one.lines
                case Sealed():
                    self._sealings.take(one.line)

    def _keep(self, one: Placed) -> None:
        if one.bucket in range(BUCKETS) and (self._until is None or one.at < self._until):
            entries = [entry.decode() for entry in one.entries]
            self._files[one.bucket].write(orjson.dumps([one.seq, one.at, one.link, entries]) + b"\n")

    # ── what it makes ──

    @property
    def missing(self) -> int:
        """How many entries."""
        return sum(hole.last - hole.first + 1 for end in self._ends for hole in end.holes)

    @property
    def findings(self) -> tuple[Finding, ...]:
        spoiled = (Finding(kind=Kind.UNREADABLE, detail=f"{n} {text}") for text, n in self._spoiled.items())
        return (*self._sealings.findings.kept, *spoiled)

    def lines(self, describe: Callable[[int], Entry], ms: Callable[[], int]) -> Iterator[bytes]:
        """Every entry as it is exported; last those of `describe`, which is told a number: how many
        the log alone says, where there are any, and how many are missing."""
        self._seals = self._sealings.closed()
        trimmed = seal.read(self._seals.trimmed).trimmed if self._seals.trimmed else None
        for number in range(BUCKETS):
            base = trimmed.heads.get(number, Head()) if trimmed else Head()
            self._ends.append(_End(seq=base.seq))
            yield from self._bucket(number)
        self.unvouched = sum(not keyed for _, keyed in self._unplaced.values())
        for entry, _ in self._unplaced.values():
            yield self._late(healed(entry), ms())
        if self.unvouched:
            yield self._late(replace(describe(self.unvouched), reason=LOG_ALONE).canonical(), ms())
        yield self._late(describe(self.missing).canonical(), ms())

    def ended(self, *, entries: int, digest: str, at: int) -> bytes:
        """The signed last line."""
        ended = Ended(
            at=at,
            entries=entries,
            digest=digest,
            heads={number: (end.seq, end.link.decode()) for number, end in enumerate(self._ends)},
            key=self._keyring.signer.id,
            seals=self._seals,
            rebuilt={number: tuple(end.holes) for number, end in enumerate(self._ends) if end.holes},
        )
        return self._keyring.signer.line(ended.body()) + b"\n"

    def _bucket(self, number: int) -> Iterator[bytes]:
        end, heads = self._ends[number], self._sealings.heads[number]
        places = self._places(number)
        for seq in sorted(seq for seq in places if seq > end.seq):
            found = self._found(end, places[seq])
            if found is not None:
                end.lacks(seq - 1, heads)
                at, link, entry = found
                end.seq, end.link, end.calls[row.subject(entry)] = seq, link, link
                self._unplaced.pop(sha256(timely(entry)).digest(), None)
                yield row.written(number, seq, at, link, entry)
        end.lacks(max([*places, *(head.seq for head in heads)], default=0), heads)

    def _places(self, number: int) -> dict[int, dict[bytes, tuple[int, set[bytes]]]]:
        """By number and link: when, and what it may have been."""
        places: defaultdict[int, dict[bytes, tuple[int, set[bytes]]]] = defaultdict(dict)
        with self._files[number] as file:
            file.seek(0)
            for data in file:
                seq, at, text, entries = orjson.loads(data)
                link = text.encode()
                before, known = places[seq].get(link, (0, set()))
                places[seq][link] = max(before, at), known.union(entry.encode() for entry in entries)
        return places

    def _found(self, end: _End, links: dict[bytes, tuple[int, set[bytes]]]) -> tuple[int, bytes, bytes] | None:
        """The newest that follows from what came before; one that cannot be told to follow only where there is a hole
        behind, or nothing else."""
        newest = sorted(links.items(), key=lambda one: one[1][0], reverse=True)
        each = [(at, link, entry) for link, (at, entries) in newest if at for entry in sorted(entries)]
        each += [(at, link, entry) for link, (at, known) in newest if not known for entry, _ in self._unplaced.values()]
        following = (one for one in each if self._follows(end.calls.get(row.subject(one[2]), b""), one[1], one[2]))
        return next(following, each[0] if each and newest[0][1][1] else None)

    def _follows(self, before: bytes, link: bytes, entry: bytes) -> bool:
        return any(link in {key.link(before, entry), key.link(b"", entry)} for key in self._keyring.chains)

    def _late(self, entry: bytes, at: int) -> bytes:
        about = row.subject(entry)
        number = row.bucket_of(about)
        end = self._ends[number]
        link = self._keyring.chain.link(end.calls.get(about, b""), entry)
        end.seq, end.link, end.calls[about] = end.seq + 1, link, link
        return row.written(number, end.seq, at, link, entry)
