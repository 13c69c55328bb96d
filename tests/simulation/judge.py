"""Holds everything that happens against the promises of the design. Nothing in here helps the product."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pod import HMAC_KEY, POLICY
from vault import REMEMBERED
from virtual import EPOCH_MS

from gateway.audit.chain import GENESIS, link
from gateway.audit.entry import healed
from gateway.audit.note import Note
from gateway.evidence import protected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client import Asking
    from deck import Deck, Moment
    from pod import Pod
    from vault import Vault

    from gateway.model import CallKey, Redaction
    from gateway.store.contract import Change
    from gateway.view import Document

SLACK_SECONDS = 0.5  # clocks differ, answers travel


@dataclass(slots=True, kw_only=True)
class OrderSeen:
    """An order that was written down. `lost` when a failover has taken it back."""

    key: CallKey
    at: float
    drops: tuple[tuple[str, str], ...]
    lost: bool = False


@dataclass(slots=True, kw_only=True)
class Account:
    """What one holder of one call may rely on. `under_way` are its requests; `muddled` when they overlapped;
    `local` when the store did not hear of the last one: who let go meanwhile knew nothing of it."""

    owed: bool = False
    let_go: bool = False
    under_way: int = 0
    muddled: bool = False
    local: bool = False


@dataclass(kw_only=True)
class Judge:
    vault: Vault
    decks: Sequence[Deck]
    calls: dict[CallKey, str]
    pods: Sequence[Pod] = ()
    breaches: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    orders: dict[str, OrderSeen] = field(default_factory=dict)
    accounts: defaultdict[tuple[CallKey, str, str], Account] = field(default_factory=lambda: defaultdict(Account))
    steps: defaultdict[CallKey, list[str]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: list[bytes] = field(default_factory=list)
    answers: int = 0
    unmutes: int = 0
    failed_over: bool = False

    def say(self, text: str) -> None:
        self.log.append(f"{now():8.3f}  {text}")

    def breach(self, text: str) -> None:
        self.say(f"BREACH {text}")
        self.breaches.append(text)

    # ── what the store and the recorders do ──

    def committed(self, change: Change) -> None:
        order, key = change.after.order, change.after.key
        if order is not None and change.op.startswith(order.op):
            drops = tuple((hold.client, hold.name) for hold in order.drops)
            self.orders[order.op] = OrderSeen(key=key, at=now(), drops=drops)
        self._check_once(change)
        self._check_holds(change)
        kind = json.loads(change.entry)["type"] if change.entry else "-"
        was_open = change.before is not None and change.before.redaction.open
        if kind == "unmute.abandoned" and was_open and not change.after.open:
            self.breach("an abandoned order dropped a hold")
        self.say(f"store {_name(key)} r{change.after.revision} {kind} {_shown(change.after)}")
        self._check_state(change.after, f"store says {_name(key)} is protected")

    def _check_holds(self, change: Change) -> None:
        """An unmute drops a hold only by the order that stands."""
        held = change.before.redaction if change.before else None
        ordered = held.order.op if held and held.order else None
        lost = {hold.key for hold in held.holds} - {hold.key for hold in change.after.holds} if held else set()
        op, _, step = change.op.partition(".")
        if lost and step == "outcome" and op in self.orders and op != ordered:
            self.breach("an order that was overtaken dropped a hold")

    def _check_once(self, change: Change) -> None:
        """The store remembers so many operations of a call; what is tried again later than that it cannot know."""
        steps = self.steps[change.after.key]
        if change.op in steps[-REMEMBERED:] and not self.failed_over:
            self.breach("I5 one step was taken twice")
        steps.append(change.op)

    def _check_state(self, state: Redaction, what: str) -> None:
        if not protected(state, now=_ms(), policy=POLICY):
            return
        call = self.calls[state.key]
        for deck in self.decks:
            self._check_silent(deck, call, what)
            for flying, order in deck.flying.values():
                if flying == call and call not in deck.ended and not self._lost(order):
                    self.breach(f"I1 {what}, an unmute can still land at {deck.name}")

    def _check_silent(self, deck: Deck, call: str, what: str) -> None:
        moment = deck.now(call)
        if call in deck.ended or moment.muted or _excused(moment) or self._lost(moment.cause):
            return
        self.breach(f"I1 {what}, {deck.name} records (by {moment.cause or 'nobody'})")

    def sent(self, deck: str, call: str, op: str) -> None:
        """I2, I8: every unmute has an order that was written down before, of a holder who gave it."""
        self.unmutes += 1
        order = self.orders.get(op)
        self.say(f"unmute sent to {deck} {call} by {op[:6]}")
        if order is None:
            self.breach("I2 an unmute without a durable order")
            return
        for client, name in order.drops:
            if not self.accounts[order.key, client, name].let_go:
                self.breach("I8 an unmute that the holder did not order")

    def loosened(self, deck: str, call: str, op: str) -> None:
        """An unmute took effect: nobody may call this call protected."""
        self.say(f"unmute landed at {deck} {call} by {op[:6]}")
        for key, row in self.vault.data.rows.items():
            mine = self.calls.get(key) == call and row.state is not None
            if mine and row.state and protected(row.state, now=_ms(), policy=POLICY) and not self._lost(op):
                self.breach(f"I1 {_name(key)} is protected and an unmute lands at {deck}")

    def _lost(self, op: str) -> bool:
        return op in self.orders and self.orders[op].lost

    def rolled_back(self, since: float) -> None:
        self.failed_over = True
        self.say("store fails over, and forgets")
        for order in self.orders.values():
            order.lost = order.lost or order.at >= since

    # ── what clients are told ──

    def answered(self, asking: Asking, document: Document, key: CallKey, told: float) -> None:
        """`told` is when the pod heard last that somebody of the call was let go."""
        self.answers += 1
        self._acknowledge(document)
        if not document.protected:
            return
        stored = document.durability == "stored"
        call = self.calls[key]
        for deck in self.decks:
            moment = deck.now(call)
            order = self.orders.get(moment.cause)
            unheard = not stored and not (order and order.at <= told < asking.as_of)
            newer = order is not None and (order.at > asking.as_of or order.lost or unheard)
            if call in deck.ended or moment.muted or newer or _excused(moment):
                continue
            self.breach(f"I1 {_name(key)} is told protected, {deck.name} records (by {moment.cause})")

    def resumed(self, key: CallKey, document: Document, began: float) -> None:
        """A 2xx on the last DELETE means that it has happened, unless it says itself that all stays silent for
        somebody else who came at the same time."""
        call = self.calls[key]
        row = self.vault.data.rows.get(key)
        rows = self.vault.data.rows.values()
        shared = any(r.state and r.state.open and self.calls[r.state.key] == call for r in rows)
        shared = shared or self._held_unheard(key, call)
        sent = any(order.key == key and order.at >= began for order in self.orders.values())
        if "muted" in {document.desired, document.state} or row is None or row.state is None or shared or not sent:
            return
        for deck in self.decks:
            moment = deck.now(call)
            if call not in deck.ended and moment.muted and moment.at < began and not self._shares(key, call, began):
                self.breach(f"a 2xx on DELETE, {deck.name} is still silent")

    def _held_unheard(self, key: CallKey, call: str) -> bool:
        """A pod holds the call by another redaction of which the store has only the claim so far."""
        held = (other for pod in self.pods if pod.tools for other, _ in pod.tools.ledger.local.open())
        return any(other != key and self.calls[other] == call for other in held)

    def _shares(self, key: CallKey, call: str, began: float) -> bool:
        """Another redaction of the call was open when this one ended."""
        states = [row.state for row in self.vault.data.rows.values() if row.state and row.state.key != key]
        closed = [state.closed_at or 0 for state in states if self.calls[state.key] == call]
        return any(at >= EPOCH_MS + 1000 * (began - SLACK_SECONDS) for at in closed)

    def _acknowledge(self, document: Document) -> None:
        audit = document.audit
        if audit is None:
            return
        for entry in self.vault.data.trails.get(audit.bucket, ()):
            if entry.seq == audit.seq and entry.link == audit.hash:
                self.acknowledged.append(entry.entry)

    # ── at the end ──

    def in_order(self) -> bool:
        return all(self._kept(row.state) for row in self.vault.data.rows.values() if row.state and row.state.open)

    def _kept(self, state: Redaction) -> bool:
        """It is silent and proven, or its call is over and that will be found out."""
        if not self._alive(state.key):
            return True
        silent = all(deck.now(self.calls[state.key]).muted for deck in self.decks)
        return silent and protected(state, now=_ms(), policy=POLICY)

    def close(self, pods: Sequence[Pod]) -> None:
        """All has been well for long enough: everything must be in order now."""
        self._check_trail()
        self._check_acknowledged(pods)
        for key, row in self.vault.data.rows.items():
            if row.state is not None and row.state.open and not self._kept(row.state):
                self.breach(f"I6 {_name(key)} is open and not silent: {_shown(row.state)}")
        for (key, client, name), account in self.accounts.items():
            if account.owed and not account.muddled:
                self._check_owed(key, client, name, account)

    def _alive(self, key: CallKey) -> bool:
        return all(self.calls[key] not in deck.ended for deck in self.decks)

    def _check_owed(self, key: CallKey, client: str, name: str, account: Account) -> None:
        row = self.vault.data.rows.get(key)
        holds = row.state.holds if row and row.state else ()
        let_go = any(order.key == key and (client, name) in order.drops for order in self.orders.values())
        if account.local and let_go:
            return
        if self._alive(key) and not any((h.key.client, h.key.name) == (client, name) for h in holds):
            self.breach(f"a hold was lost: {_name(key)} {client}/{name}")

    def _check_trail(self) -> None:
        heads: dict[object, str] = {}
        for trail in self.vault.data.trails.values():
            if [entry.seq for entry in trail] != list(range(1, len(trail) + 1)):
                self.breach("I4 a hole in the trail")
            for entry in trail:
                told = json.loads(entry.entry)
                call = (told["tenant"], told["call_id"])
                if link(HMAC_KEY, heads.get(call, GENESIS), entry.entry) != entry.link:
                    self.breach("I4 a broken chain")
                heads[call] = entry.link

    def _check_acknowledged(self, pods: Sequence[Pod]) -> None:
        have = {entry.entry for trail in self.vault.data.trails.values() for entry in trail}
        noted = {line.entry for pod in pods for line in pod.disk.lines if isinstance(line, Note)}
        for entry in self.acknowledged:
            kept = entry in have or healed(entry) in have or (self.failed_over and entry in noted)
            if not kept:
                self.breach(f"I3 an acknowledged step is nowhere: {json.loads(entry)['type']}")


def now() -> float:
    return asyncio.get_running_loop().time()


def _ms() -> int:
    return EPOCH_MS + int(1000 * now())


def _excused(moment: Moment) -> bool:
    """Somebody else resumed it, not longer ago than evidence lives."""
    age = now() - moment.at
    return moment.cause == "others" and moment.at > 0 and age <= POLICY.evidence_ms / 1000 + SLACK_SECONDS


def _name(key: CallKey) -> str:
    return f"{key.tenant}/{key.call_id}"


def _shown(state: Redaction) -> str:
    holds = ",".join(hold.key.name for hold in state.holds) or "nobody"
    seen = " ".join(f"{r.backend}:{r.fault or (r.seen and int(r.seen.muted))}" for r in state.recorders)
    sure = "protected" if protected(state, now=_ms(), policy=POLICY) else "not proven"
    return f"[{holds}] {seen} {sure}{' order' if state.order else ''}"
