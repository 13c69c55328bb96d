"""One entry of the trail: a closed set of fields, no free text, one canonical form.

The canonical form is JSON with sorted keys, no spaces, no absent members, UTF-8: what is hashed, stored and
exported are the same bytes. Sequence and store time are the store's to give and stand beside the entry.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson

from gateway.frozen import quick
from gateway.model import Action, Device, Evidence, Fault, OrderKind, RecorderState  # noqa: TC001 -- the schema is read from the annotations at run time

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = 1


class EntryType(enum.StrEnum):
    """What happened. ``*.intended`` is written before anything is sent, the rest after."""

    MUTE_INTENDED = "mute.intended"
    MUTE_CONFIRMED = "mute.confirmed"
    MUTE_FAILED = "mute.failed"
    MUTE_OVERTAKEN = "mute.overtaken"
    UNMUTE_INTENDED = "unmute.intended"
    UNMUTE_CONFIRMED = "unmute.confirmed"
    UNMUTE_FAILED = "unmute.failed"
    UNMUTE_OVERTAKEN = "unmute.overtaken"
    UNMUTE_UNCHANGED = "unmute.unchanged"
    UNMUTE_REVERTED = "unmute.reverted"
    UNMUTE_ABANDONED = "unmute.abandoned"
    RESUME_MISSED = "resume.missed"
    DRIFT_FOUND = "drift.found"
    CALL_ENDED = "call.ended"
    HOLD_DROPPED = "hold.dropped"
    STATE_REFRESHED = "state.refreshed"
    CONTROL_INTENDED = "control.intended"
    CONTROL_CONFIRMED = "control.confirmed"
    CONTROL_FAILED = "control.failed"
    TRAIL_READ = "trail.read"
    STATE_RESTORED = "state.restored"
    ACCESS_DENIED = "access.denied"
    REQUEST_REFUSED = "request.refused"
    CARD_FOUND = "card.found"
    GATEWAY_STARTED = "gateway.started"
    GATEWAY_STOPPED = "gateway.stopped"
    DEVICE_LOST = "device.lost"
    DEVICE_RECOVERED = "device.recovered"
    RECORDER_LOST = "recorder.lost"
    RECORDER_RECOVERED = "recorder.recovered"
    KEY_ADDED = "key.added"
    KEY_CHANGED = "key.changed"
    KEY_REMOVED = "key.removed"
    CLIENT_ADDED = "client.added"
    CLIENT_CHANGED = "client.changed"
    CLIENT_REMOVED = "client.removed"
    CONFIGURATION_CHANGED = "configuration.changed"
    CONFIGURATION_REFUSED = "configuration.refused"
    SEAL_STARTED = "seal.started"
    KEY_ROTATED = "key.rotated"
    TRAIL_EXPORTED = "trail.exported"
    TRAIL_ARCHIVED = "trail.archived"
    TRAIL_TRIMMED = "trail.trimmed"
    TRAIL_REBUILT = "trail.rebuilt"
    VERIFICATION_FAILED = "verification.failed"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderEntry:
    """One recorder's part: `parties` is who was seen silent (``none``, ``caller``, ``called``, ``both``)."""

    backend: str
    state: RecorderState
    parties: str | None = None
    evidence: Evidence | None = None
    error: Fault | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who did what to which call, when, from where, and what came of it.

    `node_ms` is the node's clock. `revision` and `version` are the redaction's after this step; `protected` and
    `exposure_ms` what was then true. `parties` is who is wanted silent. `healed`: the store got the entry only
    after an outage, from the journal; absent otherwise.

    An entry that is about no call has no `call_id`; `key` is then the id of a key, `count` how many entries it is
    about, `checkpoint` the number of a seal, `device` one of the trail's own, and `away_ms` for how long it, or the one
    recorder that is named, was away. `target` is the call that somebody wanted and may not have, `method` how it was
    asked for; `names` are the fields that held a card number, or the sections of the configuration that changed;
    `archive` is how the archive is called that reaches up to the checkpoint.
    """

    type: EntryType
    tenant: str
    call_id: str | None
    op: str
    node: str
    node_ms: int
    schema: int = SCHEMA
    client: str | None = None
    kid: str | None = None
    actor: str | None = None
    address: str | None = None
    request_id: str | None = None
    trigger: str | None = None
    reason: str | None = None
    action: Action | None = None
    order: OrderKind | None = None
    hold: str | None = None
    parties: str | None = None
    recorders: tuple[RecorderEntry, ...] = ()
    protected: bool | None = None
    exposure_ms: int | None = None
    revision: int | None = None
    version: int | None = None
    healed: bool | None = None
    key: str | None = None
    count: int | None = None
    checkpoint: int | None = None
    device: Device | None = None
    away_ms: int | None = None
    target: str | None = None
    method: str | None = None
    names: tuple[str, ...] = ()
    archive: str | None = None

    def canonical(self) -> bytes:
        """The bytes that are hashed, stored and exported."""
        members = _present(_NAMES, _values(self))
        if self.recorders:
            members["recorders"] = [_present(_RECORDER_NAMES, _recorder_values(one)) for one in self.recorders]
        else:
            del members["recorders"]
        if not self.names:
            del members["names"]
        return orjson.dumps(members)


def healed(entry: bytes) -> bytes:
    """The same entry, as one that comes late."""
    return orjson.dumps({**orjson.loads(entry), "healed": True}, option=orjson.OPT_SORT_KEYS)


def timely(entry: bytes) -> bytes:
    """The same entry, as it was before it came late."""
    return entry.replace(b'"healed":true,', b"", 1)


def _present(names: tuple[str, ...], values: tuple[object, ...]) -> dict[str, object]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


# Sorted once and for all: what is made in this order needs no sorting.
_NAMES = tuple(sorted(f.name for f in fields(Entry)))
_RECORDER_NAMES = tuple(sorted(f.name for f in fields(RecorderEntry)))
_values: Callable[[Entry], tuple[object, ...]] = attrgetter(*_NAMES)
_recorder_values: Callable[[RecorderEntry], tuple[object, ...]] = attrgetter(*_RECORDER_NAMES)
