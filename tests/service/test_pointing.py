"""A redaction keeps the calls that its holds mean, whatever a later request says, granted or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from workshop import at, opened

from gateway.asks import Code, Failure
from gateway.model import CallStatus, Parties, Where

if TYPE_CHECKING:
    from gateway.store.redis import RedisStore

NEXT = Where(extension="8856", call_status=(CallStatus.NEXT,))


async def test_a_request_that_points_to_another_call_is_refused(store: RedisStore) -> None:
    """Nothing is sent, the hold stands, and the call that it means stays silent; pointing to the same one is fine."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls |= {"x": Parties.NONE, "y": Parties.NONE}
        await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))
        sent = len(recorder.commands)
        with pytest.raises(Failure) as refused:
            await shop.service.mute(shop.ask("first").mute(where=at("a", "y"), hold="form"))
        assert refused.value.code is Code.REDACTION_OPEN
        assert refused.value.document is not None
        assert refused.value.document.protected
        assert (len(recorder.commands), recorder.silent("y")) == (sent, Parties.NONE)
        assert (await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))).document.protected


async def test_a_request_that_found_no_call_may_be_put_right(store: RedisStore) -> None:
    """The first one named a call that is not there: the second one is granted."""
    async with opened(store, "a", "b") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        shop.recorders["b"].calls["y"] = Parties.NONE
        with pytest.raises(Failure):
            await shop.service.mute(shop.ask("y").mute(where=at("a", "typo")))
        assert (await shop.service.mute(shop.ask("y").mute(where=at("a", "x")))).document.protected


async def test_a_refused_renewal_leaves_the_hold_as_it_was(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asked for a recorder more, which another tenant holds: 404, and what was protected is."""
    monkeypatch.setattr("gateway.service.claims.AT_ONCE_MS", 0)
    async with opened(store, "a", "b") as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x", client="other", tenant="globex").mute(where=Where(backends=("b",))))
        await shop.service.mute(shop.ask("x").mute(where=Where(backends=("a",))))
        with pytest.raises(Failure) as refused:
            await shop.service.mute(shop.ask("x").mute())
        assert refused.value.code is Code.CALL_NOT_FOUND
        known = (await shop.service.read(shop.ask("x").read())).document
        assert (known.desired, [view.backend for view in known.recorders]) == ("muted", ["a"])
        assert [hold.hold for hold in known.holds] == ["default"]
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_the_next_call_is_an_ongoing_one_once_it_is_there(store: RedisStore) -> None:
    """From its first proof on every command means it and no later one."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).pending
        recorder.calls["later"] = Parties.NONE
        recorder.extensions["8856"] = ["later"]
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).document.protected
        await shop.service.unmute(shop.ask("x").unmute())
        assert recorder.commands[-1].target.call_status == (CallStatus.ONGOING,)
        assert recorder.silent("later") is Parties.NONE


async def test_recorders_that_do_not_record_the_call_are_named(store: RedisStore) -> None:
    """One that is configured but not on the call's route is a fault of the request, not left out of it."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        with pytest.raises(Failure) as refused:
            await shop.service.mute(shop.ask("x").mute(where=Where(backends=("a", "b"))))
        assert refused.value.code is Code.INVALID_REQUEST
        assert [fault.field for fault in refused.value.faults] == ["backends.1"]
        assert shop.recorders["a"].commands == []


async def test_what_recorders_do_after_the_end_can_be_asked(store: RedisStore) -> None:
    """`refresh` on a closed redaction shows what is, and follows nothing from it."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        await shop.service.unmute(shop.ask("x").unmute())
        recorder.calls["x"] = Parties.BOTH
        known = (await shop.service.read(shop.ask("x").read(refresh=True))).document
        assert (known.desired, known.state, known.protected) == ("unmuted", "muted", False)


async def test_an_order_that_was_given_twice_at_once_is_carried_out_for_both(store: RedisStore) -> None:
    """A client that repeats itself while the first one waits for the recorder: both are told that it has happened."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        recorder.gate.clear()
        recorder.reached.clear()
        first = asyncio.create_task(shop.service.unmute(shop.ask("x").unmute()))
        await recorder.reached.wait()
        second = asyncio.create_task(shop.service.unmute(shop.ask("x").unmute()))
        await asyncio.sleep(0.05)
        recorder.gate.set()
        answers = await asyncio.gather(first, second)
        assert [answer.document.desired for answer in answers] == ["unmuted", "unmuted"]
