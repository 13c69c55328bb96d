"""Recorders and the lines to them: what is sent, what counts as proof, who waits and who does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from stage import ABLE, CALL, LIVE, MUTED, OTHER_CALL, Actor, recorder, soon, staged, times

from gateway import circuit, line, recorders
from gateway.backends.contract import (
    BackendError,
    Command,
    NoSuchCall,
    NotSent,
    Receipt,
    Refused,
    Seen,
    Unconfirmed,
)
from gateway.circuit import FAILURES
from gateway.model import Action, CallStatus, Evidence, Fault, Observation, Parties, Result, Target

TIMEOUT, UNREACHED = Unconfirmed(Fault.TIMEOUT), NotSent(Fault.CONNECTION_FAILED)
NOW = 1_000_000
ACCEPTING = replace(ABLE, evidence=frozenset({Evidence.ACCEPTED}))
ANSWERING = replace(ABLE, evidence=frozenset({Evidence.ANSWER}))
SELDOM = replace(ABLE, read_interval_seconds=5.0)


def clock() -> int:
    return NOW


def seen(muted: Parties, *, at: int = NOW, evidence: Evidence = Evidence.READBACK) -> Observation:
    return Observation(muted=muted, evidence=evidence, at=at)


@pytest.fixture
def actor() -> Actor:
    return Actor()


async def mute(actor: Actor, *, not_before: int = 0, deadline: float | None = None, background: bool = False) -> Result:
    stage = staged(actor, ms=clock)
    return await stage.recorders.mute(
        recorder(), Parties.BOTH, not_before=not_before, deadline=deadline or soon(), background=background
    )


# Proof


async def test_a_mute_is_proven_by_looking(actor: Actor) -> None:
    """Accepted is not muted: the answer to the question is what counts."""
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert actor.looks == [False]


async def test_it_looks_until_it_is_so(actor: Actor) -> None:
    """A recorder that is slow to do what it accepted is asked again, not told again."""
    actor.sights = [LIVE, TIMEOUT, LIVE]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert (len(actor.commands), len(actor.looks)) == (1, 4)


async def test_what_is_never_so_is_not_proven(actor: Actor) -> None:
    """At the deadline the last sighting is reported with the reason."""
    actor.sights = [LIVE] * 100
    assert await mute(actor, deadline=soon(0.2)) == Result(seen=seen(Parties.NONE), fault=Fault.NOT_PROVEN)


@pytest.mark.parametrize("error", [UNREACHED, NotSent(Fault.BUSY), Refused(Fault.UNAUTHENTICATED)])
async def test_a_command_that_was_accepted_may_yet_land(actor: Actor, error: BackendError) -> None:
    """Whatever goes wrong with the reading afterwards, nobody knows: it is not "nothing was sent" or "a no"."""
    actor.sights = [error] * 100
    assert await mute(actor, deadline=soon(0.2)) == Result(fault=Fault.NOT_PROVEN)


async def test_why_nobody_knows_is_said(actor: Actor) -> None:
    """A reading that is unconfirmed in itself names its reason."""
    actor.sights = [Unconfirmed(Fault.RATE_LIMITED)] * 100
    assert await mute(actor, deadline=soon(0.2)) == Result(fault=Fault.RATE_LIMITED)


async def test_a_call_that_is_gone_ends_it(actor: Actor) -> None:
    """At the command or at the look, and nothing is sent or asked after that."""
    actor.replies = [NoSuchCall()]
    assert await mute(actor) == Result(fault=Fault.NO_SUCH_CALL)
    actor.sights = [NoSuchCall()]
    assert await mute(actor) == Result(fault=Fault.NO_SUCH_CALL)
    assert (len(actor.commands), len(actor.looks)) == (2, 1)


async def test_the_answer_itself_can_prove(actor: Actor) -> None:
    """An answer that carries the state is evidence when it shows silence, otherwise the recorder is asked."""
    actor.replies = [Receipt(seen=MUTED), Receipt(seen=LIVE)]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert actor.looks == []
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert actor.looks == [False]


async def test_an_answer_is_all_that_some_give(actor: Actor) -> None:
    """Who cannot be asked proves by the answer or not at all."""
    actor.capabilities = ANSWERING
    actor.replies = [Receipt(seen=MUTED), Receipt(seen=LIVE), Receipt()]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert await mute(actor) == Result(seen=seen(Parties.NONE), fault=Fault.NOT_PROVEN)
    assert await mute(actor) == Result(fault=Fault.NOT_PROVEN)


async def test_a_bare_yes_counts_by_the_operators_word_only(actor: Actor) -> None:
    """Then it is as good as its word, and says so."""
    actor.capabilities = ACCEPTING
    assert await mute(actor) == Result(seen=seen(Parties.BOTH, evidence=Evidence.ACCEPTED))
    stage = staged(actor, ms=clock)
    stop = Command(action=Action.STOP, target=CALL)
    stopped = await stage.recorders.control(recorder(), stop, deadline=soon())
    assert stopped == Result(seen=seen(Parties.BOTH, evidence=Evidence.ACCEPTED))


async def test_evidence_outranks_a_no(actor: Actor) -> None:
    """A no that says "already so" is the command's and a yes to the wish; any other stands, with what was seen."""
    actor.replies, actor.sights = [Refused()], [MUTED]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    actor.replies, actor.sights = [Refused()], [LIVE]
    assert await mute(actor) == Result(seen=seen(Parties.NONE), fault=Fault.REFUSED)
    actor.replies, actor.sights = [Refused()], [TIMEOUT]
    assert await mute(actor) == Result(fault=Fault.REFUSED)


async def test_a_no_that_no_state_contradicts(actor: Actor) -> None:
    """Bad credentials are not looked after; nor is any no of a recorder that cannot be asked."""
    actor.replies = [Refused(Fault.UNAUTHENTICATED)]
    assert await mute(actor) == Result(fault=Fault.UNAUTHENTICATED)
    actor.capabilities, actor.replies = ACCEPTING, [Refused()]
    assert await mute(actor) == Result(fault=Fault.REFUSED)
    assert actor.looks == []


async def test_a_lost_answer_is_looked_after(actor: Actor) -> None:
    """What is seen then is taken: done, or gone; where nothing can be seen, the fault stands."""
    actor.replies, actor.sights = [TIMEOUT], [MUTED]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH), lost=True)
    actor.replies, actor.sights = [TIMEOUT], [NoSuchCall()]
    assert await mute(actor) == Result(fault=Fault.NO_SUCH_CALL, lost=True)
    actor.replies, actor.sights = [TIMEOUT], [UNREACHED]
    assert await mute(actor) == Result(fault=Fault.TIMEOUT, lost=True)
    actor.capabilities, actor.replies = ACCEPTING, [TIMEOUT]
    assert await mute(actor) == Result(fault=Fault.TIMEOUT, lost=True)
    assert len(actor.commands) == 4


async def test_a_mute_that_was_lost_is_sent_again(actor: Actor) -> None:
    """Seen not to have happened, it is sent once more, where that does no harm and while there is time."""
    actor.replies, actor.sights = [TIMEOUT], [LIVE]
    assert await mute(actor) == Result(seen=seen(Parties.BOTH))
    assert len(actor.commands) == 2
    actor.capabilities = replace(ABLE, repeatable=frozenset())
    actor.replies, actor.sights = [TIMEOUT], [LIVE]
    assert await mute(actor) == Result(seen=seen(Parties.NONE), fault=Fault.TIMEOUT, lost=True)
    assert len(actor.commands) == 3


async def test_no_second_mute_after_the_deadline(actor: Actor) -> None:
    """The time of the request is all that there is."""
    actor.replies, actor.sights = [TIMEOUT], [LIVE]
    assert await mute(actor, deadline=soon(-1)) == Result(seen=seen(Parties.NONE), fault=Fault.TIMEOUT, lost=True)
    assert len(actor.commands) == 1


async def test_the_background_begins_nothing_whose_time_is_over(actor: Actor) -> None:
    """Who comes too late has sent nothing, and knows no more than before."""
    recorders, late = staged(actor, ms=clock).recorders, soon(-1)
    muted = await recorders.mute(recorder(), Parties.BOTH, not_before=0, deadline=late, background=True)
    assert muted == Result(fault=Fault.BUSY)
    assert await recorders.look(recorder(), deadline=late, background=True) == Result()
    assert (actor.commands, actor.looks) == ([], [])


async def test_an_order_of_ours_that_can_still_land_is_waited_for(actor: Actor) -> None:
    """Muted again after it can have landed, as long as the request lives; else what was found first is reported."""
    assert await mute(actor, not_before=NOW + 50) == Result(seen=seen(Parties.BOTH))
    assert len(actor.commands) == 2
    await mute(actor, not_before=NOW + 60_000)
    assert len(actor.commands) == 3


async def test_in_the_background_nothing_is_waited_for(actor: Actor) -> None:
    """Until then the call may have been let go by somebody: whoever comes again knows."""
    assert await mute(actor, not_before=NOW + 50, background=True) == Result(seen=seen(Parties.BOTH))
    assert len(actor.commands) == 1


async def test_a_call_to_come_is_asked_for_once(actor: Actor) -> None:
    """There is nothing to wait for within the request."""
    actor.sights = [LIVE] * 5
    stage = staged(actor, ms=clock)
    coming = recorder(Target(extension="1", call_status=(CallStatus.NEXT,)))
    result = await stage.recorders.mute(coming, Parties.BOTH, not_before=0, deadline=soon())
    assert result == Result(seen=seen(Parties.NONE), fault=Fault.NOT_PROVEN)
    assert len(actor.looks) == 1


async def test_where_reads_must_be_far_apart_there_is_a_first_and_a_last(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request's own read goes at once; what it still shows of the past is no proof, so one more comes late."""
    monkeypatch.setattr(recorders, "LAST_READ_SECONDS", 0.15)
    actor.capabilities, actor.sights = SELDOM, [LIVE]
    assert await mute(actor, deadline=soon(0.2)) == Result(seen=seen(Parties.BOTH))
    assert len(actor.looks) == 2
    actor.sights = [LIVE] * 5
    await mute(actor, deadline=soon(0.2))
    assert len(actor.looks) == 4


# Letting go, and the one-shot commands


@pytest.mark.parametrize("error", [TIMEOUT, UNREACHED, Refused(), Unconfirmed(Fault.CONNECTION_LOST)])
async def test_an_unmute_is_sent_once(actor: Actor, error: BackendError) -> None:
    """Whatever comes back, it is never sent again."""
    actor.replies, actor.sights = [error], [MUTED] * 100
    stage = staged(actor, ms=clock)
    result = await stage.recorders.let_go(recorder(), Parties.NONE, deadline=soon(0.2))
    assert result.fault is error.fault
    assert actor.sent(Action.UNMUTE) == 1
    assert len(actor.commands) == 1


async def test_letting_go_is_proven_too(actor: Actor) -> None:
    """Recording again, or only the rest silent, is what has to be seen."""
    stage = staged(actor, ms=clock)
    assert await stage.recorders.let_go(recorder(), Parties.NONE, deadline=soon()) == Result(seen=seen(Parties.NONE))
    narrowed = await stage.recorders.let_go(recorder(), Parties.CALLER, deadline=soon())
    assert narrowed == Result(seen=seen(Parties.CALLER))
    assert [(c.action, c.muted) for c in actor.commands] == [
        (Action.UNMUTE, Parties.NONE),
        (Action.MUTE, Parties.CALLER),
    ]


async def test_one_shot_commands(actor: Actor) -> None:
    """Start and stop are proven, keep is as good as its yes, and a fault is reported."""
    stage = staged(actor, ms=clock)

    async def control(action: Action) -> Result:
        return await stage.recorders.control(recorder(), Command(action=action, target=CALL), deadline=soon(0.2))

    assert await control(Action.START) == Result(seen=seen(Parties.NONE))
    actor.sights = [MUTED]
    assert await control(Action.STOP) == Result(seen=seen(Parties.BOTH))
    assert await control(Action.KEEP) == Result()
    actor.replies = [Refused(Fault.UNSUPPORTED)]
    assert await control(Action.DISCARD) == Result(fault=Fault.UNSUPPORTED)
    assert len(actor.commands) == 4


async def test_no_operation_outlives_its_deadline(actor: Actor) -> None:
    """A backend that hangs is left at the deadline, which goes down to it as it is."""
    actor.gate.clear()
    stage, deadline = staged(actor, ms=clock), soon(0.1)
    async with asyncio.timeout(2):  # far beyond the deadline, and the backend would hang for ever
        assert (await stage.recorders.let_go(recorder(), Parties.NONE, deadline=deadline)).fault is Fault.TIMEOUT
        assert (await stage.recorders.look(recorder(), deadline=deadline)).fault is Fault.TIMEOUT
    assert set(actor.deadlines) == {deadline}
    assert actor.at_once == 0


async def test_an_adapter_that_trips_is_nobody_knows(actor: Actor) -> None:
    """A mistake of ours never passes for an answer, and is counted as a bad one."""
    actor.capabilities, actor.replies = ACCEPTING, [KeyError("x")]
    stage = staged(actor)
    result = await stage.recorders.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon())
    assert result == Result(fault=Fault.BAD_ANSWER, lost=True)
    labels = {"backend": "desk", "vendor": "verba", "action": "mute", "outcome": "bad-answer"}
    assert stage.metrics.registry.get_sample_value("backend_requests_total", labels) == 1


# Looking


async def test_a_look_says_what_is(actor: Actor) -> None:
    """The state, or what went wrong; who cannot be asked leaves things as they were."""
    stage, known = staged(actor, ms=clock), seen(Parties.CALLER, at=5)
    actor.sights = [MUTED, TIMEOUT]
    assert await stage.recorders.look(recorder(), deadline=soon()) == Result(seen=seen(Parties.BOTH))
    assert await stage.recorders.look(recorder(seen=known), deadline=soon()) == Result(fault=Fault.TIMEOUT)
    actor.capabilities = ACCEPTING
    looked = await stage.recorders.look(recorder(seen=known, fault=Fault.BUSY), deadline=soon())
    assert looked == Result(seen=known, fault=Fault.BUSY)


async def test_the_background_looks_as_such(actor: Actor) -> None:
    """The backend is told that a shared answer will do, and what that shows is as old as it was asked for."""
    stage = staged(actor, ms=clock)
    actor.sights = [replace(MUTED, age_seconds=1.2341)]
    looked = await stage.recorders.look(recorder(), deadline=soon(), background=True)
    assert looked == Result(seen=seen(Parties.BOTH, at=NOW - 1235))
    assert actor.looks == [True]


async def test_a_turn_that_has_not_come_changes_nothing(actor: Actor) -> None:
    """Where the background may not ask yet, what was known stays as old as it is."""
    stage, known = staged(actor, ms=clock), seen(Parties.BOTH, at=NOW - 7000)
    actor.sights = [NotSent(Fault.BUSY), TIMEOUT]
    looked = await stage.recorders.look(recorder(seen=known), deadline=soon(), background=True)
    assert looked == Result(seen=known)
    looked = await stage.recorders.look(recorder(seen=known), deadline=soon(), background=True)
    assert looked == Result(fault=Fault.TIMEOUT)


@pytest.mark.parametrize(
    ("age", "since", "known_at", "ends"),
    [
        (0.0, NOW, NOW, True),
        (2.0, 0, None, True),
        (2.0, NOW - 3000, NOW - 3000, True),
        (2.0, NOW - 2500, None, False),
        (2.0, 0, NOW - 2500, False),
        (2.0, NOW - 1000, NOW - 9000, False),
    ],
)
async def test_no_such_call_counts_only_when_it_is_news(
    actor: Actor, age: float, since: int, known_at: int | None, *, ends: bool
) -> None:
    """A shared answer from before the call was last known, or about then, does not end a redaction: the call may
    have begun after it."""
    stage = staged(actor, ms=clock)
    actor.sights = [NoSuchCall(age_seconds=age)]
    known = recorder(seen=seen(Parties.BOTH, at=known_at) if known_at else None)
    looked = await stage.recorders.look(known, deadline=soon(), background=True, since=since)
    assert looked == (Result(fault=Fault.NO_SUCH_CALL) if ends else Result(seen=known.seen))


async def test_in_the_background_only_what_came_after_the_command_proves(actor: Actor) -> None:
    """A shared answer that is older than the command is not its evidence, and no second one is waited for."""
    actor.capabilities, actor.sights = SELDOM, [replace(MUTED, age_seconds=0.5)]
    assert await mute(actor, background=True) == Result(seen=seen(Parties.BOTH, at=NOW - 500), fault=Fault.NOT_PROVEN)
    actor.sights = [NoSuchCall(age_seconds=0.5)]
    assert await mute(actor, background=True) == Result(fault=Fault.NOT_PROVEN)
    actor.sights = [MUTED]
    assert await mute(actor, background=True) == Result(seen=seen(Parties.BOTH))
    assert actor.looks == [True, True, True]


# The circuit


async def opened(actor: Actor, *, connections: int = 20) -> recorders.Recorders:
    """The recorders, after so many failures that nobody waits any more."""
    stage = staged(actor, connections=connections)
    actor.sights = [*times(FAILURES, TIMEOUT)]
    for _ in range(FAILURES):
        await stage.recorders.look(recorder(), deadline=soon())
    assert stage.metric("backend_circuit_open") == 1
    actor.looks.clear()
    return stage.recorders


async def test_an_open_circuit_ends_the_waiting_not_the_trying(actor: Actor) -> None:
    """A request's mute is answered at once, and sent all the same; when it goes through, the circuit closes."""
    known, told = await opened(actor), []
    known.tell(lambda *said: told.append(said))
    actor.gate.clear()
    result = await known.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon())
    assert result == Result(fault=Fault.UNAWAITED)
    assert actor.sent(Action.MUTE) == 1
    actor.gate.set()
    result = Result(fault=Fault.CIRCUIT_OPEN)
    while result.fault is Fault.CIRCUIT_OPEN:
        await asyncio.sleep(0)
        result = await known.look(recorder(), deadline=soon())
    assert result.seen is not None
    assert result.seen.muted is Parties.BOTH
    ((name, up, away_ms),) = told
    assert (name, up, away_ms >= 0) == ("desk", True, True)


async def test_mutes_that_nobody_waits_for_are_merged(actor: Actor) -> None:
    """Many requests for one call send one command; another call's is its own; an end with failure is silent."""
    known = await opened(actor)
    actor.gate.clear()
    actor.replies = [TIMEOUT]
    for _ in range(3):
        await known.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon())
    await known.mute(recorder(OTHER_CALL), Parties.BOTH, not_before=0, deadline=soon())
    await asyncio.sleep(0)
    assert [command.target for command in actor.commands] == [CALL, OTHER_CALL]
    actor.gate.set()
    await known.close()
    assert actor.closed
    assert actor.at_once == 0


async def test_closing_is_for_all_backends(actor: Actor) -> None:
    """At the end every backend is closed, at once where nothing is under way."""
    await staged(actor).recorders.close()
    assert actor.closed


async def test_nothing_else_is_sent_while_it_is_open(actor: Actor) -> None:
    """Neither an unmute, narrowing or one-shot command nor a question."""
    known = await opened(actor)
    refused = Result(fault=Fault.CIRCUIT_OPEN)
    assert await known.let_go(recorder(), Parties.NONE, deadline=soon()) == refused
    assert await known.let_go(recorder(), Parties.CALLER, deadline=soon()) == refused
    start = Command(action=Action.START, target=CALL)
    assert await known.control(recorder(), start, deadline=soon()) == refused
    assert await known.look(recorder(), deadline=soon()) == refused
    assert (actor.commands, actor.looks) == ([], [])


async def test_an_unmute_waits_for_the_mute_that_nobody_waited_for(actor: Actor) -> None:
    """Or it would land first and leave the recorder silent for good; where the time is too short, it is not sent."""
    known = await opened(actor)
    actor.gate.clear()
    await known.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon())
    await known.mute(recorder(OTHER_CALL), Parties.BOTH, not_before=0, deadline=soon())
    known._lines["desk"].circuit.succeeded()
    assert await known.let_go(recorder(), Parties.NONE, deadline=soon(0.05)) == Result(fault=Fault.BUSY)
    assert actor.sent(Action.UNMUTE) == 0
    letting_go = asyncio.create_task(known.let_go(recorder(), Parties.NONE, deadline=soon()))
    await asyncio.sleep(0)
    actor.gate.set()
    assert (await letting_go).fault is None
    assert actor.commands[-1].action is Action.UNMUTE
    assert actor.muted is Parties.NONE


async def test_the_background_tries_the_way_one_at_a_time(actor: Actor) -> None:
    """One mute goes out, the others and all looks leave things as they are, saying why once."""
    known = await opened(actor)
    assert known.wanting_probe() == {"desk"}
    actor.gate.clear()
    trying = asyncio.create_task(known.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon(), background=True))
    await asyncio.sleep(0)
    assert known.wanting_probe() == frozenset()
    for other in (recorder(OTHER_CALL), recorder(OTHER_CALL, seen=seen(Parties.BOTH), fault=Fault.TIMEOUT)):
        untried = Result(seen=other.seen, fault=other.fault or Fault.CIRCUIT_OPEN)
        assert await known.mute(other, Parties.BOTH, not_before=0, deadline=soon(), background=True) == untried
        assert await known.look(other, deadline=soon(), background=True) == untried
    assert [command.target for command in actor.commands] == [CALL]
    actor.gate.set()
    result = await trying
    assert result.fault is None
    assert known.answered_at("desk") > 0
    assert (await known.let_go(recorder(), Parties.NONE, deadline=soon())).fault is None


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (TIMEOUT, True),
        (UNREACHED, True),
        (Unconfirmed(Fault.CONNECTION_LOST), True),
        (NotSent(Fault.BUSY), False),
        (NotSent(Fault.MISCONFIGURED), False),
        (Unconfirmed(Fault.SERVER_ERROR), False),
        (Unconfirmed(Fault.RATE_LIMITED), False),
        (Refused(Fault.UNAUTHENTICATED), False),
        (NoSuchCall(), False),
        (KeyError("adapter"), False),
    ],
)
async def test_what_opens_it(error: Exception, *, opens: bool) -> None:
    """Only what never got there or back, in a row; our own trouble or an answer of any kind does not."""
    actor = Actor(capabilities=ACCEPTING)
    stage = staged(actor)
    for _ in range(FAILURES):
        fresh = type(error)(error.fault) if isinstance(error, BackendError) and error.args and opens else error
        actor.replies = [fresh]
        await stage.recorders.control(recorder(), Command(action=Action.KEEP, target=CALL), deadline=soon())
    assert stage.metric("backend_circuit_open") == (1 if opens else 0)


async def test_a_no_is_an_answer(actor: Actor) -> None:
    """A refusal in the middle of failures starts the count anew; so does a success; a bad answer does not."""
    stage = staged(actor)
    for between, opens in ((Refused(), 0), (MUTED, 0), (Unconfirmed(Fault.SERVER_ERROR), 1)):
        actor.sights = [MUTED, *times(FAILURES - 1, TIMEOUT), between, *times(1, TIMEOUT)]
        for _ in range(FAILURES + 2):
            await stage.recorders.look(recorder(), deadline=soon())
        assert stage.metric("backend_circuit_open") == opens


async def test_a_shared_answer_says_nothing_of_the_line(actor: Actor) -> None:
    """An old success, or an old "no such call", does not close the circuit; one failure told to many is one."""
    stage = staged(actor)
    shared = Unconfirmed(Fault.TIMEOUT)
    actor.sights = [shared] * (2 * FAILURES)
    for _ in range(2 * FAILURES):
        await stage.recorders.look(recorder(), deadline=soon(), background=True)
    assert stage.metric("backend_circuit_open") == 0
    old: list[Seen | Exception] = [replace(MUTED, age_seconds=1.0), NoSuchCall(age_seconds=1.0)]
    actor.sights = [*times(FAILURES - 2, TIMEOUT), *old, *times(1, TIMEOUT)]
    for _ in range(FAILURES + 1):
        await stage.recorders.look(recorder(), deadline=soon(), background=True)
    assert stage.metric("backend_circuit_open") == 1


async def test_one_effort_fails_once(actor: Actor) -> None:
    """A mute that asks again and again in vain is one failure, however often it asked."""
    stage = staged(actor)
    actor.sights = [*times(100, Unconfirmed(Fault.CONNECTION_LOST))]
    await stage.recorders.mute(recorder(), Parties.BOTH, not_before=0, deadline=soon(1))
    assert len(actor.looks) > FAILURES
    assert stage.metric("backend_circuit_open") == 0


async def test_too_little_time_is_not_the_backends_fault(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing a deadline that was too near says nothing; missing one that left time enough does."""
    actor.gate.clear()
    stage = staged(actor)
    for _ in range(FAILURES):
        await stage.recorders.look(recorder(), deadline=soon(0.01))
    assert stage.metric("backend_circuit_open") == 0
    monkeypatch.setattr(line, "FAIR_SECONDS", 0.01)
    for _ in range(FAILURES):
        await stage.recorders.look(recorder(), deadline=soon(0.02))
    assert stage.metric("backend_circuit_open") == 1


async def test_where_nobody_tried_for_long_a_request_does(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit is not a verdict for ever: without news the next request waits again, and what it finds counts."""
    known = await opened(actor)
    monkeypatch.setattr(circuit, "STALE_SECONDS", 0.0)
    assert (await known.let_go(recorder(), Parties.NONE, deadline=soon())).fault is None
    assert known.wanting_probe() == frozenset()


# Places


async def test_the_background_leaves_half_of_the_places(actor: Actor) -> None:
    """However many calls hang there, a request still gets through to the backend."""
    stage = staged(actor, connections=4)
    actor.gate.clear()
    looks = [asyncio.create_task(stage.recorders.look(recorder(), deadline=soon(), background=True)) for _ in range(10)]
    while actor.at_once < 2:  # noqa: ASYNC110 -- nobody is told when a task has run
        await asyncio.sleep(0)
    request = asyncio.create_task(stage.recorders.look(recorder(), deadline=soon()))
    while actor.at_once < 3:  # noqa: ASYNC110 -- as before
        await asyncio.sleep(0)
    actor.gate.set()
    results = await asyncio.gather(request, *looks)
    assert all(result.seen is not None for result in results)
    assert actor.most_at_once == 3


async def test_one_connection_is_enough(actor: Actor) -> None:
    """A backend that takes one thing at a time is looked at in the background, too."""
    stage = staged(actor, connections=1)
    assert (await stage.recorders.look(recorder(), deadline=soon(), background=True)).fault is None


async def test_no_place_in_time_is_no_news(actor: Actor) -> None:
    """A background look that never got a place leaves the recorder as it was, and nobody is blamed."""
    stage = staged(actor, connections=2)
    actor.gate.clear()
    hanging = asyncio.create_task(stage.recorders.look(recorder(), deadline=soon(), background=True))
    await asyncio.sleep(0)
    known = recorder(seen=Observation(muted=Parties.BOTH, evidence=Evidence.READBACK, at=7))
    assert await stage.recorders.look(known, deadline=soon(0.05), background=True) == Result(seen=known.seen)
    assert len(actor.looks) == 1
    actor.gate.set()
    await hanging


def test_what_was_seen_is_never_younger_than_it_was() -> None:
    """Rounding goes to the older side."""
    shared = Seen(muted=Parties.BOTH, evidence=Evidence.READBACK, age_seconds=0.0001)
    assert recorders._observation(shared, NOW).at == NOW - 1
