"""A redaction keeps the calls that its holds mean, whatever a later request says, granted or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from workshop import at, opened

from gateway.asks import Code, Failure
from gateway.backends.contract import Unconfirmed
from gateway.model import Action, CallKey, CallStatus, Fault, PartialTarget, Parties, Where
from gateway.routing import Route

if TYPE_CHECKING:
    from gateway.model import Target
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


async def test_the_present_call_is_meant_from_when_somebody_means_it(store: RedisStore) -> None:
    """Who waits for the next call leaves the present one out; the next request wants it silent, too: it is muted before
    that is answered, and was not protected meanwhile."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls |= {"now": Parties.NONE, "later": Parties.NONE}
        recorder.extensions["8856"] = ["now"]
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).pending
        assert recorder.silent("now") is Parties.NONE
        recorder.extensions["8856"] = ["now", "later"]
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).document.protected
        assert (recorder.silent("now"), recorder.silent("later")) == (Parties.NONE, Parties.BOTH)
        answer = await shop.service.mute(shop.ask("x").mute(where=Where(extension="8856"), hold="form"))
        assert answer.document.protected
        assert (recorder.silent("now"), recorder.silent("later")) == (Parties.BOTH, Parties.BOTH)


async def test_both_calls_are_waited_for_and_meant(store: RedisStore) -> None:
    """The next one is still to come when the present one is wanted silent."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["now"] = Parties.NONE
        recorder.extensions["8856"] = ["now"]
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).pending
        answer = await shop.service.mute(shop.ask("x").mute(where=Where(extension="8856"), hold="form"))
        assert answer.document.protected
        assert recorder.silent("now") is Parties.BOTH


async def test_who_cannot_say_which_calls_there_are_mutes_them_all(store: RedisStore) -> None:
    """The look at the present calls fails: silent is the safe side."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["now"] = Parties.NONE
        recorder.extensions["8856"] = ["now"]
        failures = iter([Unconfirmed(Fault.TIMEOUT)])

        async def fail_once(_: Target) -> None:
            if (error := next(failures, None)) is not None:
                raise error

        recorder.seen = fail_once
        assert (await shop.service.mute(shop.ask("x").mute(where=NEXT))).document.protected
        assert recorder.silent("now") is Parties.BOTH


@pytest.mark.parametrize("known", [True, False])
async def test_a_renewal_need_not_say_again_where_the_call_is(store: RedisStore, *, known: bool) -> None:
    """The extension chose the route: a renewal without it, here or at a gateway that has not heard of the call, keeps
    the recorders and adds none; a target that was named stays, too."""
    routes = (Route(extension="88*", backends=("a",)), Route(backends=("b",)))
    async with opened(store, "a", "b") as shop, opened(store, "a", "b") as elsewhere:
        for pod in (shop, elsewhere):
            pod.tools.settings = replace(pod.tools.settings, routes=routes)
            pod.recorders["a"].calls["now"] = Parties.NONE
            pod.recorders["a"].extensions["8856"] = ["now"]
        await shop.service.mute(shop.ask("x").mute(where=Where(extension="8856")))
        pod = shop if known else elsewhere
        renewed = (await pod.service.mute(pod.ask("x").mute())).document
        assert renewed.protected
        assert [view.backend for view in renewed.recorders] == ["a"]
        assert pod.recorders["b"].commands == []
        claims = await store.claim("b:call:x", CallKey(tenant="acme", call_id="probe"), within=5)
        assert claims.others == ()


async def test_a_target_said_later_keeps_the_route_of_the_extension(store: RedisStore) -> None:
    """It names one recorder's call: that one is on its route still, and the other is found by the extension as before.
    A command finds them, too."""
    async with opened(store, "a", "b") as shop:
        shop.tools.settings = replace(shop.tools.settings, routes=(Route(extension="88*", backends=("a", "b")),))
        for recorder in shop.recorders.values():
            recorder.calls["now"] = Parties.NONE
            recorder.extensions["8856"] = ["now"]
        await shop.service.mute(shop.ask("x").mute(where=Where(extension="8856")))
        named = Where(targets={"a": PartialTarget(call_id="now")})
        renewed = (await shop.service.mute(shop.ask("x").mute(where=named))).document
        assert (renewed.protected, [view.backend for view in renewed.recorders]) == (True, ["a", "b"])
        await shop.service.control(shop.ask("x").control(action=Action.KEEP, where=named))
        assert [recorder.commands[-1].action for recorder in shop.recorders.values()] == [Action.KEEP, Action.KEEP]
        assert shop.recorders["b"].commands[-1].target.extension == "8856"
        await shop.service.unmute(shop.ask("x").unmute())
        with pytest.raises(Failure, match="call-not-found"):
            await shop.service.mute(shop.ask("x").mute(where=named))


async def test_another_client_s_route_is_chosen_by_what_was_said_before(store: RedisStore) -> None:
    """A second client's recorders come to the call, found by the extension that the first one gave."""
    routes = (Route(client="crm", backends=("a",)), Route(client="desk", extension="88*", backends=("b",)))
    async with opened(store, "a", "b") as shop:
        shop.tools.settings = replace(shop.tools.settings, routes=routes)
        for recorder in shop.recorders.values():
            recorder.calls["now"] = Parties.NONE
            recorder.extensions["8856"] = ["now"]
        await shop.service.mute(shop.ask("x").mute(where=Where(extension="8856")))
        both = (await shop.service.mute(shop.ask("x", client="desk").mute())).document
        assert both.protected
        assert [view.backend for view in both.recorders] == ["a", "b"]


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
