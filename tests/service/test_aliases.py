"""One call under an extension and under its own id: what one redaction holds, no other one lets go or narrows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from workshop import CAN, at, attended, opened, until

from gateway.asks import Code, Failure
from gateway.backends.contract import Unconfirmed
from gateway.model import Action, CallKey, Fault, Parties, Where
from gateway.service import mute as muting
from gateway.service import sharing, standing
from gateway.store.contract import StoreAway, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workshop import Workshop

    from gateway.model import Target
    from gateway.store.contract import Change
    from gateway.store.redis import RedisStore

BY_ID, BY_NUMBER = at("a", "x"), Where(extension="88", backends=("a",))
WAYS = pytest.mark.parametrize(
    ("first", "second"), [(BY_ID, BY_NUMBER), (BY_NUMBER, BY_ID)], ids=["id-number", "number-id"]
)


@pytest.fixture
async def shop(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    """A recorder with the call `x` on extension 88; a store that a busy machine makes slow is waited for."""
    for owner in (muting, sharing, standing):
        monkeypatch.setattr(owner, "MUTE_STORE_SECONDS", 0.7)
    for hurried in (muting, standing):
        monkeypatch.setattr(hurried, "HURRIED_SECONDS", 0.7)
    async with opened(store, "a") as shop:
        _furnish(shop)
        yield shop


def _furnish(shop: Workshop) -> None:
    shop.recorders["a"].calls["x"] = Parties.NONE
    shop.recorders["a"].extensions["88"] = ["x"]


def _unmutes(shop: Workshop) -> list[Action]:
    return [command.action for command in shop.recorders["a"].commands if command.action is not Action.MUTE]


@WAYS
@pytest.mark.parametrize("force", [False, True])
async def test_an_unmute_spares_what_is_held_by_another_name(
    shop: Workshop, first: Where, second: Where, *, force: bool
) -> None:
    """Dropping either redaction leaves the recorder silent and the other one protected; the last one resumes."""
    await shop.service.mute(shop.ask("first").mute(where=first))
    await shop.service.mute(shop.ask("second").mute(where=second))
    done = await shop.service.unmute(shop.ask("first").unmute(force=force))
    assert done.document.desired == "unmuted"
    assert _unmutes(shop) == []
    assert await shop.protected("second")
    await shop.service.unmute(shop.ask("second").unmute())
    assert shop.recorders["a"].silent("x") is Parties.NONE


@WAYS
async def test_a_start_does_not_put_on_what_is_held_by_another_name(
    shop: Workshop, first: Where, second: Where
) -> None:
    """409, and nothing is sent."""
    await shop.service.mute(shop.ask("first").mute(where=first))
    with pytest.raises(Failure) as refused:
        await shop.service.control(shop.ask("second").control(action=Action.START, where=second))
    assert refused.value.code is Code.REDACTION_OPEN
    assert [view.error for view in refused.value.recorders] == ["held"]
    assert _unmutes(shop) == []


@WAYS
async def test_another_tenant_does_not_get_in_by_another_name(shop: Workshop, first: Where, second: Where) -> None:
    """Its PUT is 404 and leaves nothing behind; the holder's last word resumes."""
    await shop.service.mute(shop.ask("first").mute(where=first))
    stranger = shop.ask("theirs", client="other", tenant="globex")
    with pytest.raises(Failure) as refused:
        await shop.service.mute(stranger.mute(where=second))
    assert refused.value.code is Code.CALL_NOT_FOUND
    with pytest.raises(Failure):
        await shop.service.unmute(stranger.unmute())
    assert await shop.protected("first")
    await shop.service.unmute(shop.ask("first").unmute())
    assert shop.recorders["a"].silent("x") is Parties.NONE


@WAYS
async def test_a_mute_of_one_party_does_not_let_the_other_go(shop: Workshop, first: Where, second: Where) -> None:
    """The vendor's command sets who is silent: a mute of the caller never reaches a call that another redaction
    wants silent for both, not even when it has to be sent again."""
    await shop.service.mute(shop.ask("first").mute(where=first))
    answer = await shop.service.mute(shop.ask("second").mute(where=second, parties=Parties.CALLER))
    assert answer.document.protected
    assert {command.muted for command in shop.recorders["a"].commands} == {Parties.BOTH}
    assert await shop.protected("first")


async def test_a_mute_of_one_party_beside_a_held_call_leaves_nothing_on_record(shop: Workshop) -> None:
    """An extension with two calls, one of them held by its id: all are silent for both, and that is proven at once."""
    recorder = shop.recorders["a"]
    recorder.calls["z"] = Parties.NONE
    recorder.extensions["88"] = ["x", "z"]
    await shop.service.mute(shop.ask("first").mute(where=BY_ID, parties=Parties.CALLED))
    for _ in range(2):
        answer = await shop.service.mute(shop.ask("second").mute(where=BY_NUMBER, parties=Parties.CALLER))
        assert answer.document.protected
    assert (recorder.silent("x"), recorder.silent("z")) == (Parties.BOTH, Parties.BOTH)
    for place in ("call:z", "extension:88"):
        claims = await shop.store.claim(f"a:{place}", CallKey(tenant="acme", call_id="later"), within=5)
        assert claims.loose_until <= claims.at


async def test_more_calls_than_are_remembered_are_all_held(shop: Workshop) -> None:
    """An extension with forty calls, one of them held by its id as well: that one alone stays silent."""
    recorder, calls = shop.recorders["a"], [f"c{number:02}" for number in range(40)]
    recorder.calls |= dict.fromkeys(calls, Parties.NONE)
    recorder.extensions["88"] = calls
    await shop.service.mute(shop.ask("one").mute(where=at("a", "c00")))
    await shop.service.mute(shop.ask("all").mute(where=BY_NUMBER))
    await shop.service.unmute(shop.ask("all").unmute())
    assert recorder.silent("c00") is Parties.BOTH
    assert {recorder.silent(call) for call in calls[1:]} == {Parties.NONE}


async def test_a_mute_of_one_party_is_one_where_nobody_else_holds(shop: Workshop) -> None:
    """Alone, the other party is recorded, and nothing is left on record: the next one waits for nothing."""
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER, parties=Parties.CALLER))
    assert shop.recorders["a"].silent("x") is Parties.CALLER
    claims = await shop.store.claim("a:call:x", CallKey(tenant="acme", call_id="later"), within=5)
    assert claims.loose_until <= claims.at


async def test_a_mute_of_one_party_is_on_record_while_it_is_under_way(shop: Workshop) -> None:
    """Whoever wants both silent meanwhile proves it after that command can have landed."""
    recorder = shop.recorders["a"]
    recorder.gate.clear()
    narrow = asyncio.create_task(shop.service.mute(shop.ask("first").mute(where=BY_ID, parties=Parties.CALLER)))
    await recorder.reached.wait()
    wide = await shop.store.claim("a:call:x", CallKey(tenant="acme", call_id="wide"), within=5)
    assert wide.loose_until > wide.at
    recorder.gate.set()
    await narrow


@pytest.mark.parametrize("trouble", ["store", "recorder"])
async def test_in_doubt_a_mute_of_one_party_is_one_of_both(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Nobody can tell who else holds the call: muted is the safe side."""

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    async def mumbles(_: Target) -> None:
        if not shop.recorders["a"].commands:
            raise Unconfirmed(Fault.BAD_ANSWER)

    if trouble == "store":
        monkeypatch.setattr(shop.store, "loosen", away)
    else:
        shop.recorders["a"].seen = mumbles
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER, parties=Parties.CALLER))
    assert shop.recorders["a"].silent("x") is Parties.BOTH


async def test_a_mute_waits_for_what_was_let_loose_by_another_name(shop: Workshop) -> None:
    """An unmute of the call's id on its way: evidence from before its end does not count for the extension."""
    lands = shop.clock.ms() + 400
    await shop.store.loosen("a:call:x", CallKey(tenant="acme", call_id="o"), lands_before=lands, over=(), within=5)
    answer = await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    assert answer.document.protected
    assert shop.clock.ms() >= lands
    assert len(shop.recorders["a"].commands) > 1


async def test_an_unmute_between_the_evidence_and_the_claim_is_found_out(shop: Workshop) -> None:
    """The extension was seen silent, the call was let go by its id, and only then was known which call it is: the
    mute is sent again before it is called protected."""
    recorder = shop.recorders["a"]
    await shop.service.mute(shop.ask("first").mute(where=BY_ID))

    async def let_go(target: Target) -> None:
        if target.extension == "88":
            recorder.seen = lambda _: asyncio.sleep(0)
            await shop.service.unmute(shop.ask("first").unmute())

    recorder.seen = let_go
    answer = await shop.service.mute(shop.ask("second").mute(where=BY_NUMBER))
    assert answer.document.protected
    assert _unmutes(shop) == [Action.UNMUTE]
    assert recorder.silent("x") is Parties.BOTH


async def test_a_recorder_that_goes_on_naming_calls_is_not_believed(shop: Workshop) -> None:
    """Every look names another call that somebody has just let go: not protected in this request."""
    recorder, other = shop.recorders["a"], CallKey(tenant="acme", call_id="other")

    async def loosen(call: str) -> None:
        lands = shop.clock.ms() - 1
        await shop.store.loosen(f"a:call:{call}", other, lands_before=lands, over=(), within=5)

    async def another(_: Target) -> None:
        call = f"y{len(recorder.calls)}"
        recorder.calls[call] = Parties.BOTH
        recorder.extensions["88"].append(call)
        await loosen(call)

    recorder.seen = another
    await loosen("x")
    with pytest.raises(Failure) as unproven:
        await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    assert unproven.value.code is Code.RECORDER_UNCONFIRMED


async def test_a_claim_that_cannot_be_made_for_a_named_call_is_not_protected(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is there for all but the claim of the call's own id: another one's unmute may be on its way."""
    claim = shop.store.claim

    async def picky(target: str, key: CallKey, *, within: float) -> object:
        if target == "a:call:x":
            raise StoreUnavailable("away")
        return await claim(target, key, within=within)

    monkeypatch.setattr(shop.store, "claim", picky)
    with pytest.raises(Failure) as unproven:
        await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    assert unproven.value.code is Code.RECORDER_UNCONFIRMED
    monkeypatch.setattr(shop.store, "claim", claim)


async def test_a_store_that_comes_back_during_a_mute_gets_the_claims(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent and the claims did not get through, the outcome did: before the answer the claims stand, too."""
    claim, commit = shop.store.claim, shop.store.commit
    back, refused = asyncio.Event(), asyncio.Event()

    async def shy(target: str, key: CallKey, *, within: float) -> object:
        if not back.is_set():
            raise StoreUnavailable("away")
        return await claim(target, key, within=within)

    async def slow(change: Change, *, within: float) -> object:
        if not refused.is_set():
            refused.set()
            raise StoreUnavailable("away")
        back.set()
        return await commit(change, within=within)

    monkeypatch.setattr(shop.store, "claim", shy)
    monkeypatch.setattr(shop.store, "commit", slow)
    answer = await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    assert (answer.document.protected, answer.document.durability) == (True, "stored")
    for name in ("a:call:x", "a:extension:88"):
        others = (await claim(name, CallKey(tenant="acme", call_id="other"), within=5)).others
        assert [one.key.call_id for one in others] == ["first"]


@pytest.mark.parametrize("outcome_stored", [False, True])
async def test_a_store_that_goes_away_during_a_mute_costs_no_proof(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, *, outcome_stored: bool
) -> None:
    """The intent is stored, then nobody can be asked who else means the call that the recorder names: where the store
    does not have the outcome either it is as without a store, and answered at once. Where it has, others may have been
    told that they may let go: not protected."""
    claim, commit, recorder = shop.store.claim, shop.store.commit, shop.recorders["a"]

    async def gone(target: str, key: CallKey, *, within: float) -> object:
        if recorder.reached.is_set():
            raise StoreAway("known to be away")
        return await claim(target, key, within=within)

    async def lost(change: Change, *, within: float) -> object:
        if recorder.reached.is_set() and not outcome_stored:
            raise StoreAway("known to be away")
        return await commit(change, within=within)

    monkeypatch.setattr(shop.store, "claim", gone)
    monkeypatch.setattr(shop.store, "commit", lost)
    work = shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    if outcome_stored:
        with pytest.raises(Failure) as refused:
            await work
        assert refused.value.code is Code.RECORDER_UNCONFIRMED
    else:
        document = (await work).document
        assert (document.protected, document.durability) == (True, "none")


async def test_the_end_of_a_redaction_releases_every_name(shop: Workshop) -> None:
    """Nobody meets a claim of the call's id after the extension's redaction is over."""
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    other = CallKey(tenant="acme", call_id="other")
    assert [claim.key.call_id for claim in (await shop.store.claim("a:call:x", other, within=5)).others] == ["first"]
    await shop.store.release("a:call:x", other, own="1", landed=None, within=5)
    (own,) = {(await shop.store.claim("a:call:x", other, within=5)).own}
    await shop.store.release("a:call:x", other, own=own, landed=None, within=5)
    await shop.service.unmute(shop.ask("first").unmute())
    for name in ("a:call:x", "a:extension:88"):
        assert (await shop.store.claim(name, other, within=5)).others == ()


async def test_a_renewed_mute_claims_what_it_does_not_say(shop: Workshop) -> None:
    """A PUT that says nothing of the extension renews the claims of the extension and of its call all the same."""
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    other = CallKey(tenant="acme", call_id="other")
    before = {name: (await shop.store.claim(name, other, within=5)).others for name in ("a:call:x", "a:extension:88")}
    await shop.service.mute(shop.ask("first").mute())
    for name, others in before.items():
        assert (await shop.store.claim(name, other, within=5)).others != others


@pytest.mark.parametrize("force", [False, True])
async def test_an_unmute_by_number_is_not_sent_while_nobody_can_tell_whose_calls_those_are(
    shop: Workshop, *, force: bool
) -> None:
    """503, nothing was sent, still protected; by force the recorder is left silent, with its error."""
    recorder = shop.recorders["a"]
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))

    async def mumbles(_: Target) -> None:
        raise Unconfirmed(Fault.BAD_ANSWER)

    recorder.seen = mumbles
    if force:
        done = await shop.service.unmute(shop.ask("first").unmute(force=True))
        assert [view.error for view in done.document.recorders] == ["connection-failed"]
    else:
        with pytest.raises(Failure) as refused:
            await shop.service.unmute(shop.ask("first").unmute())
        assert refused.value.code is Code.RECORDER_UNAVAILABLE
        assert refused.value.document is not None
        assert refused.value.document.protected
    assert _unmutes(shop) == []


async def test_a_start_by_number_is_not_sent_while_nobody_can_tell_whose_calls_those_are(shop: Workshop) -> None:
    """As an unmute: nothing is sent."""

    async def mumbles(_: Target) -> None:
        raise Unconfirmed(Fault.BAD_ANSWER)

    shop.recorders["a"].seen = mumbles
    with pytest.raises(Failure) as refused:
        await shop.service.control(shop.ask("first").control(action=Action.START, where=BY_NUMBER))
    assert refused.value.code is Code.RECORDER_UNAVAILABLE
    assert shop.recorders["a"].commands == []


async def test_where_no_ids_are_told_two_names_are_two_calls(shop: Workshop) -> None:
    """The limit that the README names: who cannot tell which calls an extension has cannot be guarded."""
    shop.recorders["a"].capabilities = replace(CAN, tells_calls=False)
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    await shop.service.mute(shop.ask("second").mute(where=BY_ID))
    await shop.service.unmute(shop.ask("second").unmute())
    assert shop.recorders["a"].silent("x") is Parties.NONE


async def test_a_later_call_of_the_number_is_held_too(store: RedisStore) -> None:
    """A call that comes to the extension later is claimed when it is first seen: its own redaction's end, and a
    start, leave it silent."""
    async with attended(store, "a") as shop:
        _furnish(shop)
        recorder = shop.recorders["a"]
        await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
        recorder.calls["y"] = Parties.NONE
        recorder.extensions["88"].append("y")
        await until(lambda: recorder.silent("y") is Parties.BOTH, what="the later call is silent")
        await shop.service.mute(shop.ask("second").mute(where=at("a", "y")))
        await shop.service.unmute(shop.ask("second").unmute())
        with pytest.raises(Failure):
            await shop.service.control(shop.ask("third").control(action=Action.START, where=at("a", "y")))
        assert _unmutes(shop) == []


async def test_a_refreshed_look_claims_a_later_call(shop: Workshop) -> None:
    """GET with `refresh` may be the first to see it."""
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    shop.recorders["a"].calls["y"] = Parties.BOTH
    shop.recorders["a"].extensions["88"].append("y")
    await shop.service.read(shop.ask("first").read(refresh=True))
    claims = await shop.store.claim("a:call:y", CallKey(tenant="acme", call_id="other"), within=5)
    assert [claim.key.call_id for claim in claims.others] == ["first"]


async def test_an_earlier_call_of_another_tenant_does_not_end_a_redaction(shop: Workshop) -> None:
    """A call that another tenant holds comes to a number that was muted before: the redaction stands, and neither
    tenant's unmute reaches the other's call."""
    await shop.service.mute(shop.ask("first").mute(where=BY_NUMBER))
    shop.recorders["a"].calls["y"] = Parties.NONE
    stranger = shop.ask("theirs", client="other", tenant="globex")
    await shop.service.mute(stranger.mute(where=at("a", "y")))
    shop.recorders["a"].extensions["88"].append("y")
    assert (await shop.service.mute(shop.ask("first").mute())).document.protected
    await shop.service.unmute(shop.ask("first").unmute())
    assert shop.recorders["a"].silent("y") is Parties.BOTH
    await shop.service.unmute(stranger.unmute())
    assert shop.recorders["a"].silent("y") is Parties.NONE


async def test_a_refreshed_look_right_after_a_mute_proves_it_as_well(shop: Workshop) -> None:
    """Nothing has happened in between: what a mute has just called protected is so for whoever asks again at once."""
    muted = (await shop.service.mute(shop.ask("first").mute(where=at("a", "x")))).document
    refreshed = (await shop.service.read(shop.ask("first").read(refresh=True))).document
    assert (muted.protected, refreshed.protected) == (True, True)
