"""What clients were told, held against what the recorders' tapes have and what the trail says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from gateway.audit.chain import GENESIS, link
from gateway.audit.row import subject
from gateway.model import Parties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.sandbox.tape import Tape
    from gateway.store.contract import TrailEntry

NS_A_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Somebody asked between `asked` and `answered` (ns since the epoch) and was told that the call is protected;
    `observed` is the age that the answer gave to what it had seen of one recorder."""

    recorder: str
    asked: int
    answered: int
    observed: int


def claims(document: Mapping[str, Any] | None, *, asked: int, answered: int) -> list[Claim]:
    """One for each recorder; none where the answer does not say that the call is protected."""
    if not document or not document.get("protected"):
        return []
    return [
        Claim(recorder=one["backend"], asked=asked, answered=answered, observed=_ns(one["observed_at"]))
        for one in document["recorders"]
    ]


def _ns(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000) * NS_A_MS


def false(claim: Claim, tape: Tape) -> bool:
    """Nobody can have seen silence since `observed`, or the recording was resumed after that and before it was
    asked; nobody but the gateways resumes here, so each resumption is one they know of."""
    begin = min(claim.observed, claim.asked)
    stretches = [(cut.muted != Parties.BOTH, cut.at) for cut in tape.cuts]
    heard = [audible for audible, at in stretches if at <= begin][-1:]
    heard += [audible for audible, at in stretches if begin < at <= claim.answered]
    before = [(audible, at) for audible, at in stretches if at <= claim.asked][-1:]
    resumed = any(audible and at > claim.observed + NS_A_MS for audible, at in before)
    return all(heard) or resumed


def gaps(entries: Iterable[TrailEntry]) -> list[str]:
    """Buckets whose numbers are not 1, 2, 3 …"""
    numbers: dict[int, list[int]] = {}
    for entry in entries:
        numbers.setdefault(entry.bucket, []).append(entry.seq)
    return [f"{number}: {seqs}" for number, seqs in numbers.items() if seqs != list(range(1, len(seqs) + 1))]


def torn(entries: Iterable[TrailEntry], key: bytes) -> list[str]:
    """Entries that do not follow from their call's one before, or, when they are about no call, from the one before
    of that kind in their bucket; `entries` in the order of each bucket's own."""
    heads: dict[tuple[int, bytes], str] = {}
    broken = []
    for entry in entries:
        about = entry.bucket, subject(entry.entry)
        heads[about] = link(key, heads.get(about, GENESIS), entry.entry)
        if entry.link != heads[about]:
            broken.append(f"{entry.bucket}/{entry.seq}")
    return broken


def types(entries: Iterable[TrailEntry]) -> Counter[str]:
    """How often each thing happened."""
    return Counter(orjson.loads(entry.entry)["type"] for entry in entries)
