"""What is known of the trail from elsewhere: from the gateway's log, and from its journals."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit import export, seal
from gateway.audit.archive import Segments, segments
from gateway.audit.entry import EntryType
from gateway.audit.files import last_line
from gateway.audit.findings import Findings, Verdict
from gateway.audit.known import SKEW_MS
from gateway.audit.union import Union, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gateway.audit.keyring import Keyring
    from gateway.audit.note import Ack
    from gateway.audit.seal import Head

_ARCHIVED = EntryType.TRAIL_ARCHIVED.value


@dataclass(slots=True, kw_only=True)
class Witnesses:
    """`seals` are the checkpoints that the log has, `reached` by archive the newest checkpoint that it was said to
    have. `union` is what a journal knows to stand in the trail; `findings` and `notes` are about the journals."""

    seals: list[bytes] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    union: Union = field(default_factory=lambda: Union({}))
    findings: Findings = field(default_factory=Findings)
    notes: tuple[str, ...] = ()

    def read_log(self, path: Path) -> None:
        """`OSError` when it cannot be read; lines of another form are passed over."""
        with path.open("rb") as file:
            for line in file:
                if b'"seal.made"' in line or _ARCHIVED.encode() in line:
                    self._line(line)
        if not self.seals:
            self.notes = (*self.notes, "the log has no checkpoint: it is no gateway's log in JSON, or of another time")

    def _line(self, line: bytes) -> None:
        try:
            members = orjson.loads(line)
            if members["event"] == "seal.made":
                self.seals.append(base64.b64decode(members["seal"], validate=True))
            elif str(members["event"]).startswith("entry."):
                self._archived(orjson.loads(members["entry"]))
        except (ValueError, KeyError, TypeError, binascii.Error):
            return

    def _archived(self, entry: dict[str, Any]) -> None:
        if entry["type"] == _ARCHIVED:
            name, number = str(entry["archive"]), int(entry["checkpoint"])
            self.reached[name] = max(number, self.reached.get(name, 0))

    def read_journals(self, paths: Iterable[Path], keyring: Keyring) -> None:
        """`OSError` when one cannot be read."""
        found = read_all(paths, keyring)
        self.union, self.findings, self.notes = found.union(), found.findings, (*self.notes, *found.notes)

    def judged(self, verdict: Verdict, due: Callable[[Ack], bool]) -> Verdict:
        """Together with what the journals say: `due` is what has to be in this trail, as far as it reaches."""
        later = self.union.judge(self.findings, due=due)
        counted = (f"the journals know the place of {self.union.known} entries",) if self.union.known else ()
        beyond = (f"{later} of them are not of the time that this has",) if later else ()
        return replace(
            verdict,
            wrong=verdict.wrong + self.findings.wrong,
            findings=(*verdict.findings, *self.findings.kept),
            notes=(*verdict.notes, *self.notes, *counted, *beyond),
        )


# ── what has to be there ──


def due_in_file(path: Path) -> Callable[[Ack], bool]:
    """Up to the newest numbers that the export names, and what was taken before it was begun."""
    with path.open("rb") as file:
        last, _ = last_line(file)
    try:
        ended = export.read(last or b"")
        trimmed = seal.read(ended.seals.trimmed).trimmed if ended.seals.trimmed else None
    except ValueError:
        return lambda _: False  # it has no end, which is said
    begun, floor = (ended.begun or 0) - SKEW_MS, trimmed.heads if trimmed else {}
    newest = {number: seq for number, (seq, _) in ended.heads.items()}
    return lambda ack: _above(floor, ack) and (ack.seq <= newest.get(ack.bucket, 0) or 0 < ack.at < begun)


def due_in_archive(path: Path, keyring: Keyring) -> Callable[[Ack], bool]:
    """From the first checkpoint to the last."""
    found: Segments = segments(path, keyring, Findings())
    begins = found.manifests[0].begins.heads if found.manifests else {}
    ends = found.ends.heads
    return lambda ack: _above(begins, ack) and not _above(ends, ack)


def due_in_store(floor: Mapping[int, Head]) -> Callable[[Ack], bool]:
    """All that was not trimmed: the journals were read before the store."""
    return lambda ack: _above(floor, ack)


def _above(heads: Mapping[int, Head], ack: Ack) -> bool:
    return ack.bucket not in heads or ack.seq > heads[ack.bucket].seq
