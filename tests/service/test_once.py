"""`Idempotency-Key`: run once, told as it is now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from workshop import opened

from gateway.asks import Code, Failure, Once
from gateway.backends.contract import NotSent
from gateway.model import Action, CallStatus, Fault, Parties, Where
from gateway.service.once import KEEP_MS
from gateway.store.contract import StoreUnavailable, Turn

if TYPE_CHECKING:
    from gateway.backends.contract import Command
    from gateway.store.redis import RedisStore

NAMED = Once(name="acme:crm:key-1", fingerprint="f1")


async def test_a_mute_is_run_once_and_told_as_it_is_now(store: RedisStore) -> None:
    """The second time nothing is sent; once the call is no longer protected, the replay is a conflict."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        ask = shop.ask("x", once=NAMED)
        first = await shop.service.mute(ask.mute())
        again = await shop.service.mute(ask.mute())
        assert (again.document.protected, again.document.version) == (True, first.document.version)
        assert len(recorder.commands) == 1
        await shop.service.unmute(shop.ask("x").unmute())
        with pytest.raises(Failure) as conflict:
            await shop.service.mute(ask.mute())
        assert (conflict.value.code, conflict.value.unprocessable) == (Code.IDEMPOTENCY_CONFLICT, False)
        assert conflict.value.document is not None
        assert not conflict.value.document.protected
        assert recorder.silent("x") is Parties.NONE


async def test_a_replayed_mute_is_not_done_by_what_another_client_holds(store: RedisStore) -> None:
    """The client muted both and has ended that; another one's hold keeps one party silent, so the call is protected.
    The replay is a conflict all the same, also once that hold is for both; not once its own is there again."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        ask = shop.ask("x", once=NAMED)
        await shop.service.mute(ask.mute())
        await shop.service.mute(shop.ask("x", client="desk").mute(parties=Parties.CALLER))
        await shop.service.unmute(shop.ask("x").unmute())
        assert recorder.silent("x") is Parties.CALLER
        for parties in (Parties.CALLER, Parties.BOTH):
            await shop.service.mute(shop.ask("x", client="desk").mute(parties=parties))
            with pytest.raises(Failure, match="idempotency-conflict") as conflict:
                await shop.service.mute(ask.mute())
            assert conflict.value.document is not None
            assert conflict.value.document.protected
        await shop.service.mute(shop.ask("x").mute(parties=Parties.CALLER))
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.mute(ask.mute())
        await shop.service.mute(shop.ask("x").mute())
        assert (await shop.service.mute(ask.mute())).document.protected


async def test_another_request_under_the_same_name_is_refused(store: RedisStore) -> None:
    """Same key, other body: nothing is run."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x", once=NAMED).mute())
        with pytest.raises(Failure) as conflict:
            await shop.service.unmute(shop.ask("x", once=Once(name=NAMED.name, fingerprint="f2")).unmute())
        assert conflict.value.unprocessable
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_an_operation_that_still_runs_is_not_run_again(store: RedisStore) -> None:
    """While the first one waits for the recorder the second is told so."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        recorder.gate.clear()
        first = asyncio.create_task(shop.service.mute(shop.ask("x", once=NAMED).mute()))
        await recorder.reached.wait()
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.mute(shop.ask("x", once=NAMED).mute())
        recorder.gate.set()
        assert (await first).document.protected
        assert len(recorder.commands) == 1


async def test_a_failed_operation_is_done_and_a_refused_one_is_not(store: RedisStore) -> None:
    """What may have been sent is never run again; what came to nothing leaves the name free."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        shop.recorders["a"].deaf = True
        ask = shop.ask("x", once=NAMED)
        with pytest.raises(Failure, match="recorder-unconfirmed"):
            await shop.service.mute(ask.mute())
        sent = len(shop.recorders["a"].commands)
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.mute(ask.mute())
        assert len(shop.recorders["a"].commands) == sent
        other = shop.ask("x", once=Once(name="acme:crm:key-2", fingerprint="f"))
        for _ in range(2):
            with pytest.raises(Failure, match="version-conflict"):
                await shop.service.mute(other.mute(if_match=(99,)))


async def test_a_name_is_free_when_the_recorders_did_nothing(store: RedisStore) -> None:
    """No such call yet, or nobody there: the same request under the same name mutes once that has changed."""
    async with opened(store, "a") as shop:
        recorder, ask = shop.recorders["a"], shop.ask("x", once=NAMED)
        with pytest.raises(Failure, match="call-not-found"):
            await shop.service.mute(ask.mute())
        recorder.calls["x"] = Parties.NONE
        recorder.trip = unreached
        with pytest.raises(Failure, match="recorder-unavailable"):
            await shop.service.mute(ask.mute())
        recorder.trip = lambda _: None
        assert (await shop.service.mute(ask.mute())).document.protected
        assert (await shop.service.mute(ask.mute())).document.protected
        assert len(recorder.commands) == 3


async def test_a_command_that_one_recorder_obeyed_is_not_given_again(store: RedisStore) -> None:
    """One did it, the other was not there: the name is spent, and the replay does not say that it was done."""
    async with opened(store, "a", "b") as shop:
        for recorder in shop.recorders.values():
            recorder.calls["x"] = Parties.NONE
        shop.recorders["b"].trip = unreached
        ask = shop.ask("x", once=NAMED).control(action=Action.STOP)
        with pytest.raises(Failure, match="recorder-unavailable"):
            await shop.service.control(ask)
        shop.recorders["b"].trip = lambda _: None
        with pytest.raises(Failure, match="idempotency-conflict") as conflict:
            await shop.service.control(ask)
        assert "in vain" in conflict.value.detail
        assert len(shop.recorders["a"].commands) == 1


def unreached(_: Command) -> None:
    raise NotSent(Fault.CONNECTION_FAILED)


async def taken(store: RedisStore, *, left: Turn | None = None) -> None:
    """Another process has begun the operation, and is gone; or (left) has ended it."""
    await store.once(NAMED.name, NAMED.fingerprint, runs_ms=0, keep_ms=KEEP_MS, again=False, within=5)
    if left is not None:
        await store.once_over(NAMED.name, NAMED.fingerprint, left=left, within=5)


async def test_a_mute_that_was_interrupted_is_finished(store: RedisStore) -> None:
    """Its process died before it had begun anything: whoever asks again mutes, once."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await taken(store)
        for _ in range(2):
            assert (await shop.service.mute(shop.ask("x", once=NAMED).mute())).document.protected
        assert len(shop.recorders["a"].commands) == 1


async def test_an_order_that_was_interrupted_is_told_honestly(store: RedisStore) -> None:
    """What lets a party be recorded is not given again: done when the hold is gone, unknown when it is not. A command
    of which nothing remains to be seen is unknown."""
    async with opened(store, "a") as shop:
        recorder = shop.recorders["a"]
        recorder.calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        await taken(store)
        ask = shop.ask("x", once=NAMED)
        for command in (shop.service.unmute(ask.unmute()), shop.service.control(ask.control(action=Action.KEEP))):
            with pytest.raises(Failure, match="idempotency-conflict") as conflict:
                await command
            assert "not known" in conflict.value.detail
        assert recorder.silent("x") is Parties.BOTH
        await shop.service.unmute(shop.ask("x").unmute())
        assert (await shop.service.unmute(ask.unmute())).document.desired == "unmuted"
        assert [command.action for command in recorder.commands] == [Action.MUTE, Action.UNMUTE]


async def test_an_unmute_is_replayed_by_what_became_of_the_hold(store: RedisStore) -> None:
    """Gone is done; there again is a conflict."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        ask = shop.ask("x", once=NAMED).unmute()
        assert (await shop.service.unmute(ask)).document.desired == "unmuted"
        assert (await shop.service.unmute(ask)).document.desired == "unmuted"
        await shop.service.mute(shop.ask("x").mute())
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.unmute(ask)
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_a_command_is_replayed_by_the_state(store: RedisStore) -> None:
    """A one-shot command is sent once; a replay shows the document."""
    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x").mute())
        ask = shop.ask("x", once=NAMED).control(action=Action.KEEP)
        for _ in range(2):
            assert (await shop.service.control(ask)).document.call_id == "x"
        assert [command.action for command in shop.recorders["a"].commands] == [Action.MUTE, Action.KEEP]


async def test_a_mute_of_a_call_to_come_stays_pending(store: RedisStore) -> None:
    """The replay of a 202 is a 202 while the call may still begin and the hold stands."""
    async with opened(store, "a") as shop:
        ask = shop.ask("x", once=NAMED).mute(where=Where(extension="8856", call_status=(CallStatus.NEXT,)))
        assert (await shop.service.mute(ask)).pending
        assert (await shop.service.mute(ask)).pending
        await shop.service.mute(replace(ask, hold="other", once=None))
        await shop.service.unmute(shop.ask("x").unmute())
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.mute(ask)


async def test_a_name_whose_redaction_is_gone_is_still_taken(store: RedisStore) -> None:
    """The state is kept shorter than the name: a replay then does not run the operation."""
    async with opened(store, "a") as shop:
        await taken(store, left=Turn.DONE)
        with pytest.raises(Failure, match="idempotency-conflict"):
            await shop.service.mute(shop.ask("x", once=NAMED).mute())
        assert not shop.recorders["a"].commands


async def test_without_the_store_a_mute_goes_on_and_an_unmute_does_not(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice muted is muted; an unmute that may have been run already is not run."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        for name in ("once", "once_over"):
            monkeypatch.setattr(store, name, away)
        assert (await shop.service.mute(shop.ask("x", once=NAMED).mute())).document.protected
        with pytest.raises(Failure, match="store-unavailable"):
            await shop.service.unmute(shop.ask("x", once=NAMED).unmute())
        assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_a_replay_that_cannot_be_read_says_so(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No state, no guess."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    async with opened(store, "a") as shop:
        shop.recorders["a"].calls["x"] = Parties.NONE
        await shop.service.mute(shop.ask("x", once=NAMED).mute())
        monkeypatch.setattr(shop.tools.ledger, "load", away)
        with pytest.raises(Failure, match="store-unavailable"):
            await shop.service.mute(shop.ask("x", once=NAMED).mute())


async def test_names_of_the_store(store: RedisStore) -> None:
    """New, running, done, other; freed only by whom it belongs to."""
    ask = {"keep_ms": 60_000, "again": False, "within": 5.0}
    assert await store.once("n", "f", runs_ms=60_000, **ask) is Turn.NEW  # type: ignore[arg-type]  # -- as above
    assert await store.once("n", "f", runs_ms=60_000, **ask) is Turn.RUNNING  # type: ignore[arg-type]  # -- as above
    assert await store.once("n", "g", runs_ms=60_000, **ask) is Turn.OTHER  # type: ignore[arg-type]  # -- as above
    await store.once_over("n", "g", left=Turn.NEW, within=5)
    for left in (Turn.DONE, Turn.FAILED, Turn.NEW):
        await store.once_over("n", "f", left=left, within=5)
        assert await store.once("n", "f", runs_ms=0, **ask) is left  # type: ignore[arg-type]  # -- as above
    assert await store.once("n", "f", runs_ms=60_000, **ask) is Turn.INTERRUPTED  # type: ignore[arg-type]  # -- as above
    ask["again"] = True
    assert await store.once("n", "f", runs_ms=60_000, **ask) is Turn.NEW  # type: ignore[arg-type]  # -- as above
    assert await store.once("n", "f", runs_ms=60_000, **ask) is Turn.RUNNING  # type: ignore[arg-type]  # -- as above
