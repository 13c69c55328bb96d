"""Does an answer say what its entry says? Pure.

An answer names the newest entry of its call at that time, and can be newer: a step that nobody need hear of has no
entry. What a reader sees of call and recorders changes with the version alone, so that at the entry's version all of it
has to be the same; at a newer one the call and the exposure. An entry that came late may be older than the state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_RECORDER = ("state", "parties", "evidence", "error")
_BY_VERSION = ("exposure_ms", "parties", "desired", "recorders", "protected")
_MIXTURES = frozenset({"mixed", "unknown"})
_NOT_IN_ENTRIES = ("holds", "vendor", "observed_at", "requested_at", "updated_at", "durability")


@dataclass(slots=True, kw_only=True)
class Comparison:
    """`wrong` is what contradicts the entry, `same` what it says, too, `unsaid` what it cannot vouch for."""

    wrong: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)

    def equal(self, name: str, said: object, known: object) -> None:
        if said == known and isinstance(said, bool) == isinstance(known, bool):
            self.same.append(name)
        else:
            self.wrong.append(f"{name}: the answer says {_word(said)}, the entry {_word(known)}")


def compared(answer: Mapping[str, Any], entry: Mapping[str, Any]) -> Comparison:
    """What the answer does not say at all is not compared."""
    found = Comparison()
    if "call_id" in answer:
        found.equal("call_id", answer["call_id"], entry.get("call_id"))
    if _dated(found, answer, entry):
        for name in ("exposure_ms", "parties", "desired"):
            if name in answer:
                found.equal(name, answer[name], _known(entry, name))
        if "recorders" in answer:
            _recorders(found, answer["recorders"], entry)
        if "protected" in answer:
            _protected(found, answer["protected"], entry)
    _overall(found, answer)
    found.unsaid += [name for name in _NOT_IN_ENTRIES if name in answer or name in {"vendor", "observed_at"}]
    return found


def _word(value: object) -> str:
    return json.dumps(value)  # in ASCII: a file of somebody else's is shown


def _dated(found: Comparison, answer: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether the answer has the entry's version."""
    said, known = answer.get("version"), entry.get("version")
    if said == known and "healed" not in entry and type(said) is int:
        found.same.append("version")
        return True
    if known is None or "version" not in answer or "healed" in entry:
        found.unsaid += ["version", *_BY_VERSION]
    elif type(said) is not int or said < known:
        found.equal("version", said, known)
    else:
        found.unsaid.append(f"version {said}, which is newer than the entry's {known}")
        found.unsaid += [name for name in _BY_VERSION if name != "exposure_ms"]
        _ended_exposure(found, answer, entry)
    return False


def _ended_exposure(found: Comparison, answer: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """It stays what it was until the next redaction, which has an entry."""
    if "exposure_ms" in entry and "exposure_ms" in answer:
        found.equal("exposure_ms", answer["exposure_ms"], entry["exposure_ms"])
    else:
        found.unsaid.append("exposure_ms")


def _known(entry: Mapping[str, Any], name: str) -> object:
    wanted = None if entry.get("parties") == "none" else entry.get("parties")
    match name:
        case "parties":
            return wanted
        case "desired":
            return "muted" if wanted else "unmuted"
        case _:
            return entry.get(name)


# ── recorders ──


def _recorders(found: Comparison, said: object, entry: Mapping[str, Any]) -> None:
    """A one-shot command's answer shows whom the command was for, which may be another call's recorder."""
    known = {one["backend"]: one for one in entry.get("recorders", ())}
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        found.wrong.append("recorders: the answer has no list of them")
        return
    if not said and known and not entry.get("protected"):
        found.unsaid.append("recorders")  # the entry names those that have left
        return
    names = [str(one.get("backend")) for one in said]
    control = str(entry.get("type")).startswith("control.")
    commanded = {str(one.get("backend")) for one in said if control and one.get("outcome") is not None}
    found.equal("recorders", sorted({*names} - (commanded - known.keys())), sorted(known))
    for one in said:
        name = str(one.get("backend"))
        if name in commanded:
            found.unsaid.append(f"{name}, as the command left it")
        elif name in known:
            _recorder(found, name, one, known[name])


def _recorder(found: Comparison, name: str, said: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for field_ in _RECORDER:
        word = known.get(field_)
        found.equal(f"{name}.{field_}", said.get(field_), None if (field_, word) == ("parties", "none") else word)


def _overall(found: Comparison, answer: Mapping[str, Any]) -> None:
    """The answer's `state` is no entry's: it follows from the answer's recorders."""
    said = answer.get("recorders")
    if "state" not in answer or not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        return
    states = {str(one.get("state")) for one in said}
    allowed = states | (_MIXTURES if len(states) > 1 else {"unknown"})
    if answer["state"] not in allowed:
        found.wrong.append(f"state: {_word(answer['state'])} does not follow from the answer's recorders")


def _protected(found: Comparison, said: object, entry: Mapping[str, Any]) -> None:
    """Evidence grows old, and is found again, without a version. But nobody is protected who is not wanted silent, or
    while an order is under way, or at a recorder that was not proven."""
    known = entry.get("protected")
    proof = all(one["state"] == "ended" or (one["state"], one.get("error")) == ("muted", None) for one in _each(entry))
    possible = proof and entry.get("parties") != "none" and "order" not in entry
    if said is known or not isinstance(said, bool) or (said and not possible):
        found.equal("protected", said, known)
    else:
        found.unsaid.append(f"protected, which is {_word(said)} in the answer and was {_word(known)} in the entry")


def _each(entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(entry.get("recorders", ()))
