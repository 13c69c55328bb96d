"""The same sums once more, counted another way: all entries at hand at once, call by call, with nothing of the
report's own."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OUTCOMES = ("mute.confirmed", "mute.failed", "mute.overtaken")


@dataclass(kw_only=True)
class Sums:
    types: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)
    exposures: list[int] = field(default_factory=list)
    redactions: int = 0
    never_proven: int = 0
    wanted_ms: int = 0
    unproven_ms: int = 0
    drifts: int = 0
    forgotten: int = 0
    denied: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    cards: Counter[str] = field(default_factory=Counter)
    used: dict[str, int] = field(default_factory=dict)


def recounted(lines: Iterable[bytes], *, since: int, until: int, late_ms: int, forgotten_ms: int) -> Sums:
    entries = [dict(orjson.loads(line)) for line in lines]
    for entry in entries:
        entry["t"] = entry["node_ms"] if entry.get("healed") else entry["at"]
    newest = max((entry["t"] for entry in entries), default=0)
    calls: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    sums = Sums()
    for entry in entries:
        if since <= entry["t"] < until:
            sums.types[entry["type"]] += 1
            _many(sums, entry)
        if "call_id" in entry:
            calls[entry["tenant"], entry["call_id"]].append(entry)
            if "kid" in entry and entry["client"] != "gateway":
                sums.used[entry["kid"]] = max(sums.used.get(entry["kid"], 0), entry["t"])
    for call in calls.values():
        _mutes(sums, call, since, until, late_ms)
        for stretch in _stretches(call):
            _stretch(sums, stretch, since, until, newest, forgotten_ms)
    return sums


def _many(sums: Sums, entry: dict[str, Any]) -> None:
    """Entries that stand for as many as they say."""
    match entry["type"]:
        case "access.denied":
            sums.denied[entry["reason"]] += entry.get("count", 1)
        case "request.refused":
            sums.refused[entry["reason"]] += entry.get("count", 1)
        case "card.found":
            sums.cards[entry["client"]] += entry.get("count", 1)
        case _:
            pass


def _stretches(call: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """From the first entry with somebody to silence up to the first with nobody, that one included."""
    found: list[dict[str, Any]] = []
    for entry in call:
        held = entry.get("parties", "none") != "none"
        if found or held:
            found.append(entry)
        if found and not held:
            yield found
            found = []
    if found:
        yield found


def _mutes(sums: Sums, call: list[dict[str, Any]], since: int, until: int, late_ms: int) -> None:
    firsts = {id(first) for stretch in _stretches(call) if (first := _first_proof(stretch)) is not None}
    asked: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for entry in call:
        if entry.get("client", "gateway") != "gateway" and entry["type"].startswith("mute."):
            asked[entry["op"]][entry["type"]] = entry
    for steps in asked.values():
        begun = steps.get("mute.intended") or next(iter(steps.values()))
        if not since <= begun["t"] < until:
            continue
        told = next((steps[kind] for kind in OUTCOMES if kind in steps), None)
        word = "no outcome" if told is None else told["type"].removeprefix("mute.")
        if told is not None and id(told) in firsts and word == "confirmed" and told["exposure_ms"] > late_ms:
            word = "late"
        sums.outcomes[word] += 1
        sums.triggers[begun.get("trigger", "not said")] += 1


def _first_proof(stretch: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((entry for entry in stretch if entry.get("protected")), None)


def _stretch(sums: Sums, stretch: list[dict[str, Any]], since: int, until: int, newest: int, forgotten_ms: int) -> None:
    begin, last = stretch[0]["t"], stretch[-1]
    closed = last.get("parties", "none") == "none"
    end = last["t"] if closed else newest
    proof = _first_proof(stretch)
    if proof is not None and since <= proof["t"] < until:
        sums.exposures.append(proof["exposure_ms"])
    if since <= begin < until:
        sums.redactions += 1
        sums.never_proven += proof is None
    if end - begin >= forgotten_ms and begin + forgotten_ms < until and end >= since:
        sums.forgotten += 1
    sums.drifts += sum(one["type"] == "drift.found" and since <= one["t"] < until for one in stretch)
    ends = [*(one["t"] for one in stretch[1:]), *([] if closed else [newest])]
    for one, next_ in zip(stretch, ends, strict=False):
        if one["type"] != "unmute.intended":
            length = max(0, min(next_, until) - max(one["t"], since))
            sums.wanted_ms += length
            sums.unproven_ms += 0 if one.get("protected") else length
