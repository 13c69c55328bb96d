"""keep, discard, start, stop: the answer, what is remembered and what the recorder does are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from workshop import POLICY, opened

from gateway.asks import Failure, Once
from gateway.backends.contract import NotSent, Refused
from gateway.model import (
    Action,
    CallKey,
    CallStatus,
    Evidence,
    Fault,
    Hold,
    HoldKey,
    Observation,
    PartialTarget,
    Parties,
    Recorder,
    Redaction,
    Result,
    Target,
    Vendor,
    Where,
)
from gateway.service.claims import SKEW_MS
from gateway.service.oneshot import Given, news, remembered

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from workshop import Workshop

    from gateway.backends.contract import Command
    from gateway.store.redis import RedisStore
    from gateway.view import Document

NAMED = Once(name="acme:crm:key-1", fingerprint="f1")
ELSEWHERE = Where(targets={"a": PartialTarget(call_id="y")})


def _states(document: Document) -> tuple[str, list[str]]:
    return document.state, [view.state for view in document.recorders]


async def _closed(shop: Workshop) -> None:
    for recorder in shop.recorders.values():
        recorder.calls["x"] = Parties.NONE
    await shop.service.mute(shop.ask("x").mute())
    await shop.service.unmute(shop.ask("x").unmute())


async def _read(shop: Workshop) -> Document:
    return (await shop.service.read(shop.ask("x").read())).document


async def test_after_stop_and_start_a_closed_redaction_says_what_they_left(store: RedisStore) -> None:
    """In the answer and in every later one, of all recorders and of each; nothing is protected by it."""
    async with opened(store, "a", "b") as shop:
        await _closed(shop)
        for action, state in ((Action.STOP, "muted"), (Action.START, "unmuted"), (Action.STOP, "muted")):
            answer = (await shop.service.control(shop.ask("x").control(action=action))).document
            for document in (answer, await _read(shop)):
                assert _states(document) == (state, [state, state])
                assert (document.desired, document.protected) == ("unmuted", False)


async def test_a_command_to_one_recorder_leaves_the_other_in_the_answer(store: RedisStore) -> None:
    """One of two has stopped: mixed, both are shown, and only that one has an outcome."""
    async with opened(store, "a", "b") as shop:
        await _closed(shop)
        ask = shop.ask("x").control(action=Action.STOP, where=Where(backends=("b",)))
        answer = (await shop.service.control(ask)).document
        assert _states(answer) == ("mixed", ["unmuted", "muted"])
        assert [view.outcome for view in answer.recorders] == [None, "done"]
        assert _states(await _read(shop)) == _states(answer)


async def test_a_stop_under_a_redaction_proves_its_silence_again(store: RedisStore) -> None:
    """Somebody else has put the recording on: what the stop was seen to do is remembered, and protects."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.read(shop.ask("x").read(refresh=True))
        assert not await shop.protected("x")
        shop.clock.move(2 * SKEW_MS)  # what was seen right after the claim was made proves nothing
        answer = (await shop.service.control(shop.ask("x").control(action=Action.STOP))).document
        for document in (answer, await _read(shop)):
            assert _states(document) == ("muted", ["muted"])
            assert document.protected


async def test_a_stop_proves_no_more_than_a_look(store: RedisStore, redis: Redis) -> None:
    """It was seen before the claim stood, which the store had lost meanwhile: somebody else's command may still land,
    as this gateway's clock has it."""
    async with opened(store, "a") as shop:
        shop.clock.move(-60_000)
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        assert await shop.protected("x")
        shop.recorders["a"].calls["x"] = Parties.NONE
        shop.clock.move(1)
        answer = (await shop.service.control(shop.ask("x").control(action=Action.STOP))).document
        assert answer.protected  # nothing new was seen
        await redis.delete(*await redis.keys("*target*"))
        shop.recorders["a"].calls["x"] = Parties.NONE
        shop.recorders["a"].deaf = True
        with pytest.raises(Failure):
            await shop.service.control(shop.ask("x").control(action=Action.STOP))
        shop.recorders["a"].deaf = False
        answer = (await shop.service.control(shop.ask("x").control(action=Action.STOP))).document
        for document in (answer, await _read(shop)):
            assert _states(document) == ("muted", ["muted"])
            assert not document.protected


async def test_a_stop_in_vain_is_remembered_as_what_was_seen(store: RedisStore) -> None:
    """The recorder said yes and records: the redaction is not called protected any more."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        recorder.calls["x"], recorder.deaf = Parties.NONE, True
        with pytest.raises(Failure) as failed:
            await shop.service.control(shop.ask("x").control(action=Action.STOP))
        assert failed.value.document is not None
        for document in (failed.value.document, await _read(shop)):
            assert _states(document) == ("unmuted", ["unmuted"])
            assert not document.protected


@pytest.mark.parametrize("no", [NotSent(Fault.CONNECTION_FAILED), Refused()], ids=["unsent", "refused"])
async def test_a_stop_that_was_not_taken_unmakes_no_silence(store: RedisStore, no: Exception) -> None:
    """The call was proven silent and still is."""

    def trip(command: Command) -> None:
        if command.action is Action.STOP:
            raise no

    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        shop.recorders["a"].trip = trip
        if isinstance(no, NotSent):
            with pytest.raises(Failure):
                await shop.service.control(shop.ask("x").control(action=Action.STOP))
        else:  # seen to be so already
            await shop.service.control(shop.ask("x").control(action=Action.STOP))
        assert await shop.protected("x")


async def test_without_a_redaction_the_state_is_that_of_the_recorders(store: RedisStore) -> None:
    """Nothing is remembered of a call that was never muted: the answer is about those that were asked."""
    async with opened(store, "a", "b") as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        for action, state in ((Action.STOP, "muted"), (Action.START, "unmuted"), (Action.STOP, "muted")):
            answer = (await shop.service.control(shop.ask("x").control(action=action))).document
            assert _states(answer) == (state, [state, state])
        with pytest.raises(Failure, match="call-not-found"):
            await _read(shop)


@pytest.mark.parametrize("action", [Action.START, Action.STOP])
async def test_what_another_call_did_is_not_remembered_of_this_one(store: RedisStore, action: Action) -> None:
    """The command names another call of the recorder: the answer shows that one, the redaction is as it was."""
    async with opened(store, "a") as shop:
        await _closed(shop)
        if action is Action.START:
            await shop.service.control(shop.ask("x").control(action=Action.STOP))
        before = _states(await _read(shop))
        shop.recorders["a"].calls["y"] = Parties.NONE if action is Action.STOP else Parties.BOTH
        answer = (await shop.service.control(shop.ask("x").control(action=action, where=ELSEWHERE))).document
        assert _states(answer) != before
        assert _states(await _read(shop)) == before


async def test_another_calls_silence_protects_nobody(store: RedisStore) -> None:
    """The redaction's own call is being recorded; another one was stopped under its path."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls = {"x": Parties.NONE, "y": Parties.NONE}
        await shop.service.mute(shop.ask("x").mute())
        recorder.calls["x"] = Parties.NONE
        await shop.service.read(shop.ask("x").read(refresh=True))
        shop.clock.move(2 * SKEW_MS)
        answer = await shop.service.control(shop.ask("x").control(action=Action.STOP, where=ELSEWHERE))
        assert not answer.document.protected
        assert not await shop.protected("x")


@pytest.mark.parametrize("muted_before", [True, False], ids=["closed", "never-muted"])
@pytest.mark.parametrize(
    ("action", "outcome"),
    [(Action.KEEP, "accepted"), (Action.DISCARD, "accepted"), (Action.START, "done"), (Action.STOP, "done")],
)
async def test_a_replay_says_what_came_of_the_command(
    store: RedisStore, action: Action, outcome: str, *, muted_before: bool
) -> None:
    """As the first answer did, beside the state as it is now; it is sent once."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        if muted_before:
            await _closed(shop)
        sent = len(shop.recorders["a"].commands)
        ask = shop.ask("x", once=NAMED).control(action=action)
        for _ in range(2):
            (view,) = (await shop.service.control(ask)).document.recorders
            assert (view.action, view.outcome) == (action.value, outcome)
        assert len(shop.recorders["a"].commands) == sent + 1


@pytest.mark.parametrize(("status", "taken"), [(CallStatus.ONGOING, True), (CallStatus.NEXT, False)])
def test_what_is_seen_while_the_next_call_is_awaited_is_no_news(status: CallStatus, *, taken: bool) -> None:
    """It is of a call that is there already."""
    recorder = Recorder(
        backend="a", vendor=Vendor.VERBA, target=Target(extension="8856", call_status=(status,)), asked_at=1
    )
    hold = Hold(key=HoldKey(client="crm", name="default"), parties=Parties.BOTH, actor=None, resume_at=None)
    redaction = Redaction(key=CallKey(tenant="acme", call_id="x"), holds=(hold,), recorders=(recorder,))
    seen = Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=5)
    given = Given(action=Action.STOP, recorders=(recorder,), results={"a": Result(seen=seen)}, at_revision=0)
    assert bool(news(redaction, given)) == taken
    after = remembered(redaction, given, op="o", at=6, policy=POLICY)
    assert (after.recorders[0].seen == seen) == taken
