"""Trails told at random, line by line as they are exported, chained and sealed: everything that the report counts,
in a shape that the service writes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import orjson

from gateway.audit import row
from gateway.audit.chain import link
from gateway.audit.entry import Entry, EntryType, RecorderEntry, healed
from gateway.model import Action, CallKey, Device, Evidence, Fault, RecorderState
from gateway.store.contract import TrailEntry, bucket

BEGIN = 1_790_000_000_000
KEY = bytes(range(32))
BACKENDS = ("verba_eu", "pbx")
FAULTS = (Fault.TIMEOUT, Fault.CONNECTION_FAILED, Fault.SERVER_ERROR, Fault.REFUSED, Fault.NOT_PROVEN)
CLIENTS = (("crm", "k1crm000", "acme"), ("ivr", "k2ivr000", "acme"), ("desk", "k3desk00", "beta"))


@dataclass(kw_only=True)
class Tale:
    """`rows` by bucket, as the store has them; `at` is the store's clock."""

    random: Random
    at: int = BEGIN
    rows: dict[int, list[TrailEntry]] = field(default_factory=dict)
    links: dict[object, str] = field(default_factory=dict)
    ops: int = 0

    def op(self) -> str:
        self.ops += 1
        return f"op-{self.ops:x}"

    def put(self, entry: Entry, *, late_ms: int = 0) -> None:
        """One more entry, `late_ms` after it happened."""
        self.at += self.random.randint(1, 40)
        entry = replace(entry, node_ms=self.at)
        data = healed(entry.canonical()) if late_ms else entry.canonical()
        self.raw(data, at=self.at + late_ms, call=(entry.tenant, entry.call_id) if entry.call_id else None)

    def raw(self, data: bytes, *, at: int, call: tuple[str, str] | None) -> None:
        number = bucket(CallKey(tenant=call[0], call_id=call[1])) if call else 0
        rows = self.rows.setdefault(number, [])
        self.links[call] = link(KEY, self.links.get(call, ""), data)
        rows.append(TrailEntry(bucket=number, seq=len(rows) + 1, at=at, link=self.links[call], entry=data))

    def lines(self) -> list[bytes]:
        return [row.line(one) for number in sorted(self.rows) for one in self.rows[number]]

    # ── what happens ──

    def call(self, call_id: str) -> None:
        """One call from its first mute to its end, or not."""
        client, kid, tenant = self.random.choice(CLIENTS)
        late_ms = self.random.choice((0, 0, 0, 0, 90_000))
        base = Entry(
            type=EntryType.MUTE_INTENDED,
            tenant=tenant,
            call_id=call_id,
            op=self.op(),
            node=f"gw-{self.random.randint(1, 2)}",
            node_ms=0,
            client=client,
            kid=kid,
            actor=self.random.choice((None, "agent-17", "agent-18")),
            address="10.0.0.7",
            request_id=f"req-{self.ops:08x}",
            trigger=self.random.choice((None, "automated", "automated", "manual")),
            reason="card-entry",
            action=Action.MUTE,
            hold="default",
            parties="both",
            recorders=recorders(RecorderState.UNKNOWN),
        )
        self.put(base, late_ms=late_ms)
        if self.random.random() < 0.03:
            return
        proven = self.random.random() < 0.8
        self.at += self.random.choice((30, 90, 200, 700, 3_000))
        exposure = self.random.choice((30, 60, 80, 120, 140, 300, 900, 2_400, 4_000))
        self._outcome(base, late_ms, exposure if proven else None)
        ours = replace(base, op=self.op(), client="gateway", kid=None, actor=None, request_id=None, action=None)
        ours = replace(ours, address=None, trigger=None, reason=None, hold=None)
        if not proven and self.random.random() < 0.6:
            self.at += 2_000
            proven, exposure = True, 6_000
            self.put(_proven(replace(ours, type=EntryType.MUTE_CONFIRMED), exposure))
        if proven and self.random.random() < 0.15:
            self._drift(ours, exposure)
        self.at += self.random.choice((4_000, 20_000, 20_000, 1_200_000))
        self._end(base, ours)

    def _outcome(self, base: Entry, late_ms: int, exposure: int | None) -> None:
        if exposure is not None:
            self.put(_proven(replace(base, type=EntryType.MUTE_CONFIRMED), exposure), late_ms=late_ms)
            return
        parts = recorders(RecorderState.UNKNOWN, self.random.choice(FAULTS))
        self.put(replace(base, type=EntryType.MUTE_FAILED, recorders=parts, protected=False), late_ms=late_ms)

    def _drift(self, ours: Entry, exposure: int) -> None:
        self.at += 1_000
        parts = recorders(RecorderState.UNMUTED)[:1] + recorders(RecorderState.MUTED)[1:]
        self.put(replace(ours, type=EntryType.DRIFT_FOUND, recorders=parts, protected=False, exposure_ms=exposure))
        if self.random.random() < 0.9:
            self.at += 300
            self.put(_proven(replace(ours, type=EntryType.MUTE_CONFIRMED), exposure))

    def _end(self, base: Entry, ours: Entry) -> None:
        way = self.random.random()
        if way < 0.7:
            order = replace(base, op=self.op(), action=Action.UNMUTE, trigger=None, reason=None)
            self.put(replace(order, type=EntryType.UNMUTE_INTENDED, protected=False))
            done = replace(order, type=EntryType.UNMUTE_CONFIRMED, parties="none", protected=False)
            self.put(replace(done, recorders=recorders(RecorderState.UNMUTED)))
        elif way < 0.9:
            gone = recorders(RecorderState.ENDED, Fault.NO_SUCH_CALL)
            self.put(replace(ours, type=EntryType.CALL_ENDED, parties="none", recorders=gone, protected=False))

    def system(self, kind: EntryType, **members: Any) -> None:  # noqa: ANN401 -- any member of an entry
        base = Entry(type=kind, tenant="gateway", call_id=None, op=self.op(), node="gw-1", node_ms=0)
        self.put(replace(base, **members))

    def systems(self) -> None:
        self.system(EntryType.SEAL_STARTED, checkpoint=1)
        self.system(EntryType.CONFIGURATION_CHANGED, names=("clients", "routes"))
        self.system(EntryType.TRAIL_EXPORTED, client="operator", actor="root")
        self.system(EntryType.KEY_ADDED, client="crm", kid="k1crm000")
        for _ in range(self.random.randint(0, 4)):
            count = self.random.choice((None, 40))
            reason = self.random.choice(("bad-crc", "unknown-kid", "forbidden", "throttled"))
            address = self.random.choice(("10.1.2.3", "2001:db8::7"))
            self.system(EntryType.ACCESS_DENIED, reason=reason, address=address, count=count, request_id="req-denied")
        self.system(EntryType.CONFIGURATION_REFUSED)
        self.at += 60_000
        self.system(EntryType.CONFIGURATION_CHANGED)
        if self.random.random() < 0.3:
            self.system(EntryType.VERIFICATION_FAILED, count=2, checkpoint=4)
        for _ in range(self.random.randint(0, 3)):
            count, reason = self.random.choice((None, 30)), self.random.choice(("invalid-request", "rate-limited"))
            self.system(EntryType.REQUEST_REFUSED, reason=reason, address="10.1.2.3", count=count)
        if self.random.random() < 0.5:
            self.system(EntryType.CARD_FOUND, client="crm", kid="k1crm000", count=self.random.choice((None, 12)))
        self.lost_and_found()

    def lost_and_found(self) -> None:
        self.system(EntryType.DEVICE_LOST, device=Device.JOURNAL, reason="timeout-error")
        away = RecorderEntry(backend="pbx", state=RecorderState.UNKNOWN, error=Fault.CIRCUIT_OPEN)
        self.system(EntryType.RECORDER_LOST, recorders=(away,))
        self.at += 90_000
        self.system(EntryType.DEVICE_RECOVERED, device=Device.JOURNAL, away_ms=90_000)
        self.system(EntryType.RECORDER_RECOVERED, recorders=(replace(away, error=None),), away_ms=90_000)


def recorders(state: RecorderState, error: Fault | None = None) -> tuple[RecorderEntry, ...]:
    """The first one fails, if any does."""
    seen = {RecorderState.MUTED: "both", RecorderState.UNMUTED: "none"}.get(state)
    evidence = Evidence.READBACK if seen else None
    return tuple(
        RecorderEntry(backend=name, state=state, parties=seen, evidence=evidence, error=error) for name in BACKENDS
    )


def _proven(entry: Entry, exposure: int) -> Entry:
    return replace(entry, protected=True, exposure_ms=exposure, recorders=recorders(RecorderState.MUTED))


def dice(seed: int) -> Random:
    return Random(seed)  # noqa: S311 -- the same tale every time


def some_tale(random: Random, calls: int | None = None) -> Tale:
    tale = Tale(random=random)
    tale.systems()
    for number in range(random.randint(0, 40) if calls is None else calls):
        tale.call(f"call-{number % 30}" if calls is None else f"call-{number}")
        tale.at += random.choice((10, 1_000, 100_000))
    return tale


def members(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(line)
    return found
