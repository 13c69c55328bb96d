"""What is muted stays muted, what was begun is finished, and nothing in the background unmutes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from workshop import attended, until

from gateway import decide
from gateway.asks import Failure
from gateway.audit.entry import EntryType
from gateway.backends.contract import Unconfirmed
from gateway.decide import UnmuteAsked
from gateway.describe import Act
from gateway.model import Action, CallStatus, Fault, HoldKey, Parties, Where

if TYPE_CHECKING:
    from workshop import Workshop

    from gateway.backends.contract import Command
    from gateway.model import Redaction
    from gateway.store.redis import RedisStore


async def redaction(shop: Workshop) -> Redaction:
    stored = await shop.tools.ledger.load(shop.ask("x").key, within=5)
    assert stored is not None
    return stored.redaction


async def types(shop: Workshop) -> list[str]:
    entries = await shop.tools.ledger.entries(shop.ask("x").key, within=5)
    return [orjson.loads(entry.entry)["type"] for entry in entries]


async def protected_again(shop: Workshop) -> None:
    for _ in range(1_500):
        if await shop.protected("x"):
            return
        await asyncio.sleep(0.01)
    pytest.fail("never protected")


async def test_recording_resumed_behind_our_back_is_muted_again(store: RedisStore) -> None:
    """Drift: seen, counted, an entry, and silent again."""
    async with attended(store, "a", "b") as shop:
        await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].calls["x"] = Parties.NONE
        await until(lambda: shop.recorders["a"].silent("x") is Parties.BOTH, what="muted again")
        await protected_again(shop)
        assert shop.metrics.registry.get_sample_value("redaction_drift_total", {"backend": "a"}) == 1
        assert shop.metrics.registry.get_sample_value("redaction_drift_total", {"backend": "b"}) == 0
        found = await types(shop)
        assert found.count("drift.found") == 1
        assert found.index("mute.confirmed", found.index("drift.found")) > 0


async def test_a_mute_that_failed_is_tried_until_it_is_proven(store: RedisStore) -> None:
    """The client got its 504; the recorder comes back later and is muted without being asked again."""
    async with attended(store, "a") as shop:
        shop.recorders["a"].deaf = True
        with pytest.raises(Failure, match="recorder-unconfirmed"):
            await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].deaf = False
        await protected_again(shop)
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_exposures_are_counted_whoever_ended_them(store: RedisStore) -> None:
    """A mute that only the background brought about is begun once and took as long as it took, at each recorder; one
    that never is proven is begun all the same; a renewal is neither."""
    async with attended(store, "a") as shop:

        def sample(name: str, **labels: str) -> float:
            return shop.metrics.registry.get_sample_value(name, labels) or 0.0

        own = {"backend": "a", "vendor": shop.recorders["a"].vendor.value}
        shop.recorders["a"].deaf = True
        for _ in range(2):
            with pytest.raises(Failure, match="recorder-unconfirmed"):
                await shop.service.mute(shop.ask("x").mute())
        assert (sample("redaction_begun_total"), sample("redaction_exposure_seconds_count")) == (1, 0)
        assert sample("recorder_exposure_seconds_count", **own) == 0
        shop.recorders["a"].deaf = False
        await protected_again(shop)
        await until(lambda: sample("redaction_exposure_seconds_count") == 1, what="the exposure counted")
        exposed = (await redaction(shop)).exposure_ms
        assert exposed is not None
        assert sample("redaction_exposure_seconds_sum") == exposed / 1000
        assert 0 < sample("recorder_exposure_seconds_sum", **own) <= exposed / 1000
        assert sample("redaction_exposure_seconds_bucket", le="0.75") == 0
        await shop.service.mute(shop.ask("x").mute())
        assert sample("recorder_exposure_seconds_count", **own) == 1
        assert (sample("redaction_begun_total"), sample("redaction_exposure_seconds_count")) == (1, 1)


async def test_an_order_that_nobody_settled_is_abandoned(store: RedisStore) -> None:
    """A pod was killed between order and outcome: another one mutes again and says so."""
    async with attended(store, "a") as shop:
        await shop.service.mute(shop.ask("x").mute())
        await _order(shop)
        shop.recorders["a"].calls["x"] = Parties.NONE
        await until(lambda: shop.recorders["a"].silent("x") is Parties.BOTH, what="muted again")
        await protected_again(shop)
        assert "unmute.abandoned" in await types(shop)
        assert Action.UNMUTE not in {command.action for command in shop.recorders["a"].commands}


async def _order(shop: Workshop) -> None:
    """What is left of a pod that was killed right after it wrote its order down."""
    now = shop.clock.ms()
    event = UnmuteAsked(at=now, op="dead", hold=HoldKey(client="crm", name="default"), lands_before=now + 200)
    act = Act(op="dead", origin=shop.ask("x").origin)
    await shop.tools.record(
        shop.ask("x").key,
        act,
        "intended",
        lambda r: (decide.unmute(r, event)[0], None),
        lambda _: EntryType.UNMUTE_INTENDED,
        5.0,
    )


async def test_a_call_that_ends_ends_the_redaction(store: RedisStore) -> None:
    """No recorder has it any more: the redaction closes, and nobody looks after it."""
    async with attended(store, "a") as shop:
        await shop.service.mute(shop.ask("x").mute())
        del shop.recorders["a"].calls["x"]
        for _ in range(1_500):
            if not (await redaction(shop)).open:
                break
            await asyncio.sleep(0.01)
        assert (await types(shop))[-1] == "call.ended"
        answer = await shop.service.read(shop.ask("x").read())
        assert (answer.document.state, answer.document.desired) == ("ended", "unmuted")


async def test_the_next_call_is_muted_when_it_begins(store: RedisStore) -> None:
    """202 now, protected once the call is there."""
    async with attended(store, "a") as shop:
        where = Where(extension="8856", call_status=(CallStatus.NEXT,))
        assert (await shop.service.mute(shop.ask("ref").mute(where=where))).pending
        shop.recorders["a"].calls["8856"] = Parties.NONE
        await until(lambda: shop.recorders["a"].silent("8856") is Parties.BOTH, what="the next call muted")


async def test_what_waited_for_its_call_is_no_exposure(store: RedisStore) -> None:
    """When somebody calls says nothing of how fast a recorder is: neither begun nor exposed."""
    async with attended(store, "a") as shop:
        where = Where(extension="8856", call_status=(CallStatus.NEXT,))
        assert (await shop.service.mute(shop.ask("ref").mute(where=where))).pending
        shop.recorders["a"].calls["8856"] = Parties.NONE
        for _ in range(1_500):
            if (await shop.service.read(shop.ask("ref").read())).document.protected:
                break
            await asyncio.sleep(0.01)
        assert (await shop.service.read(shop.ask("ref").read())).document.protected
        for name in ("redaction_begun_total", "redaction_exposure_seconds_count"):
            assert shop.metrics.registry.get_sample_value(name) == 0


async def test_a_dated_hold_is_dropped_by_whoever_attends(store: RedisStore) -> None:
    """The holder's own order for a time is carried out without a request."""
    async with attended(store, "a") as shop:
        await shop.service.mute(shop.ask("x").mute(resume_after_seconds=1))
        await until(lambda: shop.recorders["a"].silent("x") is Parties.NONE, what="resumed on its date")


async def test_nothing_is_written_while_nothing_changes(store: RedisStore) -> None:
    """Proving again keeps the evidence young and the trail short."""
    async with attended(store, "a") as shop:
        await shop.service.mute(shop.ask("x").mute())
        first = await redaction(shop)
        for _ in range(1_500):
            now = await redaction(shop)
            if now.revision >= first.revision + 3:
                break
            await asyncio.sleep(0.01)
        assert now.version == first.version
        assert await types(shop) == ["mute.intended", "mute.confirmed"]


async def test_one_call_that_breaks_does_not_end_the_care_for_others(store: RedisStore) -> None:
    """Whatever an adapter trips over, the other calls are looked after."""

    def trip(command: Command) -> None:
        if command.target.call_id == "broken":
            raise Unconfirmed(Fault.TIMEOUT)

    async with attended(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["broken"] = Parties.NONE
        recorder.trip = trip
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("broken").mute())
        await shop.service.mute(shop.ask("x").mute())
        recorder.calls["x"] = Parties.NONE
        await until(lambda: recorder.silent("x") is Parties.BOTH, what="muted again beside a broken one")


async def test_the_gauges_tell_what_is_open(store: RedisStore) -> None:
    """Open redactions by state, and how old the oldest unprotected one is."""
    async with attended(store, "a") as shop:
        await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].calls["y"] = Parties.NONE
        shop.recorders["a"].trip = _only_x
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("y").mute())

        def sample(name: str, **labels: str) -> float:
            return shop.metrics.registry.get_sample_value(name, labels) or 0.0

        await until(lambda: sample("redaction_open", state="muted") == 1, what="one muted")
        await until(lambda: sample("redaction_oldest_unprotected_seconds") > 0, what="one unprotected")
        await until(lambda: sample("redaction_unprotected_seconds_total", backend="a") > 0, what="seconds counted")
        assert sample("redaction_oldest_open_seconds") > 0


def _only_x(command: Command) -> None:
    if command.target.call_id != "x":
        raise Unconfirmed(Fault.TIMEOUT)
