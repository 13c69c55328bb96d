"""A DELETE that was refused has not happened, also where the store takes its step after all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from workshop import opened

from gateway import catchup
from gateway.asks import Failure, Once
from gateway.model import Action, Parties
from gateway.service import unmute
from gateway.service.dated import Dated
from gateway.store.contract import StoreUnavailable, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workshop import Workshop

    from gateway.model import Redaction
    from gateway.store.contract import Change, Committed, Stale
    from gateway.store.redis import RedisStore


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is muted again is proven in the background, which these tests do not wait for."""
    monkeypatch.setattr(unmute, "REVERT_SECONDS", 0.1)


@dataclass(kw_only=True)
class Doubt:
    """A real store that does not answer one step, and nothing after it where it is `away`: it takes the step `first`,
    before anything else, or last."""

    store: RedisStore
    step: str = "nothing yet"
    away: bool = False
    first: bool = False
    gone: bool = False
    late: list[Change] = field(default_factory=list)

    async def commit(self, change: Change, *, within: float) -> Committed | Stale:
        if change.op.endswith(self.step):
            self.gone = self.away
            self.step = "no other"
            self.late.append(change)
            if self.first:
                await self._take()
            raise StoreUnavailable("no answer")
        self._here()
        return await self.store.commit(change, within=within)

    async def last(self) -> None:
        if not self.first:
            await self._take()

    async def _take(self) -> None:
        for change in self.late:
            await self.store.commit(change, within=5)

    def _here(self) -> None:
        if self.gone:
            raise StoreUnavailable("away")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as the store has it
        self._here()
        return getattr(self.store, name)


def doubts(store: RedisStore, step: str) -> Iterator[tuple[str, Doubt, str]]:
    """Every way in which `step` may go, with the name of a call for each."""
    for away, first in itertools.product((False, True), repeat=2):
        yield f"x-{away}-{first}", Doubt(store=store, away=away, first=first), step


async def state(shop: Workshop, call: str) -> Redaction:
    stored = await shop.tools.ledger.load(shop.ask(call).key, within=5)
    assert stored is not None
    return stored.redaction


async def held(shop: Workshop, call: str, *holds: tuple[str, Parties]) -> Redaction:
    """The call is silent for these clients."""
    shop.recorders["a"].calls[call] = Parties.NONE
    for client, parties in holds:
        await shop.service.mute(shop.ask(call, client=client).mute(parties=parties))
    return await state(shop, call)


async def stands(shop: Workshop, doubt: Doubt, before: Redaction) -> None:
    """Once the store is there again and has taken what it was to take all is as `before`, proven anew."""
    call = before.key.call_id
    assert shop.recorders["a"].silent(call) is before.wanted
    doubt.gone = False
    shop.clock.move(3_000)
    await state(shop, call)
    await doubt.last()
    known = await shop.service.read(shop.ask(call).read(refresh=True))
    after = await state(shop, call)
    assert {hold.key for hold in after.holds} == {hold.key for hold in before.holds}
    assert (after.wanted, after.order, after.requested_at) == (before.wanted, None, before.requested_at)
    assert known.document.protected


HOLDS = {
    "resume": [("crm", Parties.BOTH)],
    "force": [("crm", Parties.BOTH), ("desk", Parties.BOTH)],
    "narrow": [("crm", Parties.CALLER), ("desk", Parties.CALLED)],
}


@pytest.mark.parametrize("case", HOLDS)
async def test_an_outcome_that_the_store_takes_late_lets_go_of_nobody(store: RedisStore, case: str) -> None:
    """503, and the recorder is muted again: so the holds stand, and the next DELETE puts the recording on."""
    for call, doubt, step in doubts(store, ".outcome"):
        async with opened(doubt, "a") as shop:
            before = await held(shop, call, *HOLDS[case])
            doubt.step = step
            force, left = case == "force", {"narrow": Parties.CALLED}.get(case, Parties.NONE)
            with pytest.raises(Failure, match="store-unavailable") as refused:
                await shop.service.unmute(shop.ask(call).unmute(force=force))
            assert refused.value.detail.startswith("It has not happened")
            assert left in {command.muted for command in shop.recorders["a"].commands}
            await stands(shop, doubt, before)
            await shop.service.unmute(shop.ask(call).unmute(force=force))
            assert shop.recorders["a"].silent(call) is left


async def test_a_dated_order_that_the_store_takes_late_lets_go_of_nobody(store: RedisStore) -> None:
    """As by hand; its date is used up."""
    for call, doubt, step in doubts(store, ".outcome"):
        async with opened(doubt, "a") as shop:
            shop.recorders["a"].calls[call] = Parties.NONE
            await shop.service.mute(shop.ask(call).mute(resume_after_seconds=5))
            before = await state(shop, call)
            shop.clock.move(5_000)
            doubt.step = step
            await Dated(shop.tools).carry_out(before)
            await stands(shop, doubt, before)
            await Dated(shop.tools).carry_out(await state(shop, call))
            assert await shop.protected(call)


async def test_a_hold_that_only_had_to_be_dropped_stands(store: RedisStore) -> None:
    """Two clients hold the call. One is told 503: when the other one lets go the call stays silent."""
    for call, doubt, step in doubts(store, ".intended"):
        async with opened(doubt, "a") as shop:
            before = await held(shop, call, ("crm", Parties.BOTH), ("desk", Parties.BOTH))
            doubt.step = step
            with pytest.raises(Failure, match="store-unavailable") as refused:
                await shop.service.unmute(shop.ask(call).unmute())
            assert "the hold stands" in refused.value.detail
            await stands(shop, doubt, before)
            await shop.service.unmute(shop.ask(call, client="desk").unmute())
            assert shop.recorders["a"].silent(call) is Parties.BOTH
            await shop.service.unmute(shop.ask(call).unmute())
            assert shop.recorders["a"].silent(call) is Parties.NONE


async def test_the_name_of_an_unmute_that_was_called_off_is_free(store: RedisStore) -> None:
    """Asked for again under its name it is done, not told as done."""
    for call, doubt, step in doubts(store, ".outcome"):
        async with opened(doubt, "a") as shop:
            before = await held(shop, call, ("crm", Parties.BOTH))
            doubt.step = step
            ask = shop.ask(call, once=Once(name=f"acme:crm:{call}", fingerprint="f")).unmute()
            with pytest.raises(Failure, match="store-unavailable"):
                await shop.service.unmute(ask)
            await stands(shop, doubt, before)
            if doubt.away:  # nobody could say so: the name ends by itself, and what is told then is true
                await store.once_over(ask.once.name, "f", left=Turn.DONE, within=5)  # type: ignore[union-attr]  # given
                with pytest.raises(Failure, match="idempotency-conflict"):
                    await shop.service.unmute(ask)
                continue
            await shop.service.unmute(ask)
            assert shop.recorders["a"].silent(call) is Parties.NONE


async def test_another_gateway_that_found_no_hold_let_nobody_go(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asked it again, before the store had heard that the hold stands: the call is silent, and is not left
    so without a hold."""
    doubt = Doubt(store=store, away=True, first=True)
    async with opened(doubt, "a") as shop, opened(store, "a") as other:
        before = await held(shop, "x", ("crm", Parties.BOTH))
        doubt.step = ".outcome"
        with pytest.raises(Failure, match="store-unavailable"):
            await shop.service.unmute(shop.ask("x").unmute())
        monkeypatch.setattr(catchup, "SKEW_MS", 0)
        await other.service.unmute(other.ask("x").unmute())
        await stands(shop, doubt, before)


async def test_a_command_that_was_sent_is_not_called_not_given(store: RedisStore) -> None:
    """A start whose outcome cannot be written is unconfirmed, and is not sent again under its name."""
    doubt = Doubt(store=store)
    async with opened(doubt, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.BOTH
        doubt.step = ".outcome"
        ask = shop.ask("x", once=Once(name="acme:crm:start", fingerprint="f")).control(action=Action.START)
        with pytest.raises(Failure, match="recorder-unconfirmed") as told:
            await shop.service.control(ask)
        assert told.value.detail.startswith("It was sent")
        assert [view.outcome for view in told.value.recorders] == ["done"]
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.control(ask)
        assert [command.action for command in recorder.commands] == [Action.START]
