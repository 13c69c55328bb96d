"""Is an archive what was written? Every manifest, file, checkpoint and entry, from the first segment on."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from hashlib import file_digest
from typing import TYPE_CHECKING

from gateway.audit import manifest, seal
from gateway.audit.beginnings import Beginnings
from gateway.audit.buckets import Bucket, Chains, parsed
from gateway.audit.findings import Findings, Kind, Verdict
from gateway.audit.known import Known
from gateway.audit.losses import Losses
from gateway.audit.manifest import entries_name, manifests, seals_name
from gateway.audit.seal import BUCKETS, Base, Head
from gateway.audit.sealchain import SealChain
from gateway.audit.signed import line_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from gateway.audit.keyring import Keyring
    from gateway.audit.manifest import Manifest
    from gateway.audit.seal import Checkpoint

SYSTEM = 0  # the bucket of entries about no call
NOTHING = Base(number=0, hash="", heads={})
NAME_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The manifests of an archive that follow each other, and the hash of each."""

    manifests: tuple[Manifest, ...] = ()
    hashes: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Of the last one."""
        return self.hashes[-1] if self.hashes else ""

    @property
    def name(self) -> str:
        """How this archive is told from others: by its first manifest."""
        return self.hashes[0][:NAME_DIGITS] if self.hashes else ""

    @property
    def ends(self) -> Base:
        return self.manifests[-1].ends if self.manifests else NOTHING


def segments(directory: Path, keyring: Keyring, findings: Findings) -> Segments:
    """What the manifests say, as far as they follow each other; what is wrong with them goes to `findings`."""
    found: list[Manifest] = []
    hashes: list[str] = []
    previous, ends = "", None
    for number, path in enumerate(manifests(directory), 1):
        line = path.read_bytes().removesuffix(b"\n")
        try:
            one = manifest.read(line)
        except ValueError:
            findings.add(Kind.UNREADABLE, f"{path.name} is not a manifest")
            break
        if not keyring.publics.signs(line, one.key):
            findings.add(Kind.SIGNATURE, f"{path.name} is signed by none of the keys")
        if (one.number, one.previous) != (number, previous) or (ends is not None and one.begins != ends):
            findings.add(Kind.FORK, f"{path.name} does not follow the manifest before it")
        found.append(one)
        previous, ends = line_hash(line), one.ends
        hashes.append(previous)
    return Segments(manifests=tuple(found), hashes=tuple(hashes))


@dataclass(kw_only=True)
class ArchiveVerifier:
    """`progress` is told how many bytes of entries were read. `known` are lines of checkpoints from elsewhere; those
    signed by no key of ours count for nothing. `reached` is by archive the newest checkpoint that it is elsewhere said
    to have; `pin` the hash (or how it begins) of a manifest that this one has to have."""

    directory: Path
    keyring: Keyring
    known: Iterable[bytes] = ()
    reached: Mapping[str, int] = field(default_factory=dict)
    pin: str = ""
    progress: Callable[[int], None] | None = None
    findings: Findings = field(default_factory=Findings)
    entries: int = 0
    ends: Base = NOTHING

    def __post_init__(self) -> None:
        self._beginnings = Beginnings(self.findings)

    def verdict(self) -> Verdict:
        for _ in self.lines():
            pass
        return self.outcome

    def lines(self) -> Iterator[bytes]:
        """Every line of an entry for which nothing was found, with its newline; `outcome` is there at the end."""
        found = segments(self.directory, self.keyring, self.findings)
        self.ends = found.ends
        if not found.manifests:
            self.findings.add(Kind.NO_END, "there is no segment")
        known = Known.of(self.keyring, self.known, begun=found.manifests[-1].at if found.manifests else None)
        checkpoints = list(self._checkpoints(found.manifests, known))
        self._reaches(known)
        self._ends_where(found)
        chains = Chains(
            self.keyring.chains, self.findings, whole=bool(found.manifests) and not found.manifests[0].begins.number
        )
        losses = Losses(checkpoints)
        for one_of in found.manifests:
            yield from self._segment(one_of, chains, losses)
        notes = losses.judge(self.findings)
        self.outcome = Verdict(
            entries=self.entries,
            checkpoints=len(checkpoints),
            sealed=self.entries,
            unanchored=chains.unanchored,
            wrong=self.findings.wrong,
            findings=tuple(self.findings.kept),
            notes=(*notes, *known.note(self.ends.number)),
        )

    # ── checkpoints ──

    def _reaches(self, known: Known) -> None:
        """Up to what was sealed when the newest segment was begun, and what was trimmed since."""
        trimmed = max((one.trimmed.number for one in known.all if one.trimmed is not None), default=0)
        if known.newest() > self.ends.number:
            text = f"there was a checkpoint {known.newest()}, and the archive ends at {self.ends.number}"
            self.findings.add(Kind.TRUNCATED, text)
        elif trimmed > self.ends.number:
            text = f"it was archived up to checkpoint {trimmed}, and the archive ends at {self.ends.number}"
            self.findings.add(Kind.TRUNCATED, text)

    def _ends_where(self, found: Segments) -> None:
        """A segment at the end that was a run of its own leaves nothing behind in those before it."""
        said = self.reached.get(found.name, 0)
        if said > self.ends.number:
            text = f"it was archived up to checkpoint {said}, as is said elsewhere, and ends at {self.ends.number}"
            self.findings.add(Kind.TRUNCATED, text)
        if self.pin and not any(one.startswith(self.pin) for one in found.hashes):
            self.findings.add(Kind.TRUNCATED, f"the segment whose manifest has the hash {self.pin} is not there")

    def _checkpoints(self, found: Iterable[Manifest], known: Known) -> Iterator[Checkpoint]:
        chain: SealChain | None = None
        for one in found:
            if chain is None:
                chain = SealChain(self.keyring, self.findings, number=one.begins.number, hash_=one.begins.hash)
                chain.based_on(one.begins.heads)
            for line in self._read(one, seals_name(one.number)):
                data = line.removesuffix(b"\n")
                checkpoint = chain.feed(data)
                if known.lines.get(chain.number, data) != data:
                    self.findings.add(Kind.FORK, f"there is another checkpoint {chain.number}")
                if checkpoint is not None:
                    yield checkpoint
            same = (chain.number, chain.hash) == (one.ends.number, one.ends.hash)
            if not same or seal.root(chain.heads) != seal.root(one.ends.heads):
                self.findings.add(Kind.TRUNCATED, f"the checkpoints do not reach number {one.ends.number}")

    # ── entries ──

    def _segment(self, one: Manifest, chains: Chains, losses: Losses) -> Iterator[bytes]:
        buckets = [self._bucket(number, one) for number in range(BUCKETS)]
        for number in one.anew:
            chains.anew(number)
        if SYSTEM in one.anew:
            self._beginnings.anew()
        before = self.entries
        for line in self._read(one, entries_name(one.number)):
            wrong = self.findings.wrong
            self._line(line, one.ends, buckets, chains, losses)
            if self.findings.wrong == wrong:
                yield line
        for bucket in buckets:
            bucket.ended()
        if self.entries - before != one.entries:
            self.findings.add(Kind.TRUNCATED, f"{entries_name(one.number)} should have {one.entries} entries")

    def _bucket(self, number: int, one: Manifest) -> Bucket:
        base = (one.floor if number in one.anew else one.begins).heads.get(number, Head())
        ends = one.ends.heads.get(number, Head())
        return Bucket(number, self.findings, base=base, points={ends.seq: ends.digest}, whole=True)

    def _line(self, line: bytes, ends: Base, buckets: list[Bucket], chains: Chains, losses: Losses) -> None:
        if self.progress is not None:
            self.progress(len(line))
        found = parsed(line)
        self.entries += 1
        if found is None or found[0] >= BUCKETS:
            self.findings.add(Kind.UNREADABLE, f"not an entry (entry {self.entries} of the archive)")
            return
        number, seq, at, link, entry = found
        buckets[number].takes(seq, link, line)
        chains.follows(number, seq, at, link, entry)
        losses.saw(number, seq, entry)
        self._beginnings.saw(entry, at, seq, newest=ends.number, head=ends.heads.get(SYSTEM, Head()))

    # ── files ──

    def _read(self, one: Manifest, name: str) -> Iterator[bytes]:
        """The lines of a file that is the one the manifest names; of another one none."""
        path = self.directory / name
        try:
            with path.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
        except OSError:
            self.findings.add(Kind.HOLE, f"{name} is missing")
            return
        if digest != one.files.get(name):
            self.findings.add(Kind.EDITED, f"{name} is not the file that the manifest names")
            return
        try:
            with gzip.open(path, "rb") as lines:
                yield from lines
        except (OSError, EOFError, zlib.error):
            self.findings.add(Kind.UNREADABLE, f"{name} cannot be unpacked")
