"""What the trail says that is about no call: who was not let in, what was no request, which keys and clients came,
changed and went, when the process and what it depends on was there and was not.

Denials are anybody's to make: a few a second are written down one by one, of the rest the number, for each source,
reason and client. Those who have no good key share one measure; each client that has, each recorder and each device
has its own: nobody's denials hide another's.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gateway.audit.entry import Entry, EntryType, RecorderEntry
from gateway.audit.notice import GATEWAY, notice
from gateway.auth.keys import STRANGERS, Reason
from gateway.auth.tally import GROUPS, NO_TENANT, Lane
from gateway.beside import beside
from gateway.model import Fault, RecorderState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from gateway.asks import Code, Sought
    from gateway.auth.keys import Denied
    from gateway.model import Device, Principal

EVERY_SECONDS = 1.0


def slug(name: str | None) -> str | None:
    """The name of an exception as an entry can hold it: ``TimeoutError`` is ``timeout-error``."""
    return None if name is None else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()[:32]


class Register(Protocol):
    async def write(self, entry: Entry) -> bool:
        """Whether the entry is where it belongs already. Never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a new configuration changed about access; of the configuration itself, which sections."""

    type: EntryType
    tenant: str = NO_TENANT
    client: str | None = None
    kid: str | None = None
    sections: tuple[str, ...] = ()


class Notices:
    """`node` and `ms` are this process and its clock."""

    def __init__(self, register: Register, *, node: str, ms: Callable[[], int]) -> None:
        self._register = register
        self._node = node
        self._ms = ms
        self._lanes: defaultdict[Hashable, Lane] = defaultdict(Lane)
        self._throttled: Counter[str | None] = Counter()
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    # ── what anybody can bring about; costs nobody who asks any time ──

    def denied(self, denied: Denied, sought: Sought, *, address: str | None, request_id: str) -> None:
        """Somebody was not let in."""
        entry = self._entry(EntryType.ACCESS_DENIED, denied.tenant or NO_TENANT)
        said = replace(entry, client=denied.client, kid=denied.kid, address=address)
        said = replace(said, target=sought.call_id, method=sought.method, action=sought.action)
        known = None if denied.reason in STRANGERS else (denied.client, denied.reason)
        self._add(replace(said, request_id=request_id, reason=denied.reason.value), apart=known)

    def throttled(self, address: str | None) -> None:
        """Somebody nobody knows was told to wait, once more: only the number is of interest, and it must cost
        nothing."""
        known = address in self._throttled or len(self._throttled) < GROUPS
        self._throttled[address if known else None] += 1
        self._news.set()

    def refused(self, code: Code, *, address: str | None, request_id: str | None) -> None:
        """What never became a request."""
        entry = self._entry(EntryType.REQUEST_REFUSED, NO_TENANT)
        self._add(replace(entry, address=address, request_id=request_id, reason=code.value))

    def card_found(self, principal: Principal, *, names: tuple[str, ...], address: str | None, request_id: str) -> None:
        """A card number where none belongs; `names` are the fields."""
        entry = self._entry(EntryType.CARD_FOUND, principal.tenant)
        said = replace(entry, client=principal.client, kid=principal.kid, actor=principal.subject)
        self._add(replace(said, names=names, address=address, request_id=request_id), apart=principal.client)

    # ── what happens to this process ──

    def device(self, device: Device, *, up: bool, reason: str | None = None, away_ms: int | None = None) -> None:
        """One of the trail's devices was lost, or is there again."""
        entry = self._entry(EntryType.DEVICE_RECOVERED if up else EntryType.DEVICE_LOST, GATEWAY)
        self._add(replace(entry, device=device, reason=reason, away_ms=away_ms), apart=device)

    def recorder(self, backend: str, *, up: bool, away_ms: int | None = None) -> None:
        """A backend that nobody waits for any more, or again."""
        state = RecorderEntry(backend=backend, state=RecorderState.UNKNOWN, error=None if up else Fault.CIRCUIT_OPEN)
        entry = self._entry(EntryType.RECORDER_RECOVERED if up else EntryType.RECORDER_LOST, GATEWAY)
        self._add(replace(entry, recorders=(state,), away_ms=away_ms), apart=backend)

    async def process(self, kind: EntryType) -> None:
        """This process begins or ends."""
        await self._register.write(self._entry(kind, GATEWAY))

    def _add(self, entry: Entry, *, apart: Hashable = None) -> None:
        """`apart`: whose measure it takes from, of those that the configuration names; None for anybody's."""
        self._lanes[entry.type, apart].add(entry)
        self._news.set()

    async def changed(self, *changes: Change) -> None:
        for change in changes:
            entry = self._entry(change.type, change.tenant)
            await self._register.write(replace(entry, client=change.client, kid=change.kid, names=change.sections))

    def _entry(self, kind: EntryType, tenant: str) -> Entry:
        return notice(kind, tenant=tenant, node=self._node, ms=self._ms())

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write while the block runs; at its end what is left."""
        try:
            async with beside(self._write_on()):
                yield
        finally:
            await self._write()

    async def _write_on(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.shield(self._write())
            await asyncio.sleep(EVERY_SECONDS)

    async def _write(self) -> None:
        """One after the other: the end waits for what is under way."""
        async with self._turn:
            self._news.clear()
            lanes, self._lanes = self._lanes, defaultdict(Lane)
            throttled, self._throttled = self._throttled, Counter()
            for address, count in throttled.items():
                entry = self._entry(EntryType.ACCESS_DENIED, NO_TENANT)
                said = replace(entry, address=address, reason=Reason.THROTTLED.value)
                await self._register.write(replace(said, count=count) if count > 1 else said)
            for lane in lanes.values():
                for entry in lane.written():
                    await self._register.write(entry)
