"""Talking to recorders: one command, then evidence, and what came of it as a `Result`. Never raises.

A mute may be sent again until it is proven. Whatever lets a party be recorded is sent once; after that it is
only asked what happened. Where a backend's circuit is open nobody waits: a request's mute is sent all the same,
and what would let a party be recorded is not.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from gateway.backends.contract import BackendError, Command, NoSuchCall, NotSent, Refused, Unconfirmed
from gateway.decide import let_go
from gateway.evidence import covers
from gateway.frozen import replace
from gateway.line import CONNECTIONS, Effort, Line
from gateway.model import BLAME, Action, Blame, Evidence, Fault, Observation, Parties, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.backends.contract import Backend, Receipt, Seen
    from gateway.clock import Clock
    from gateway.metrics import Metrics
    from gateway.model import Recorder

_log = structlog.stdlib.get_logger("recorders")

Done = Callable[[Observation], bool]

FIRST_READ_SECONDS = 0.02  # the pause before the second read; doubled up to the longest
LONGEST_READ_SECONDS = 0.25
LAST_READ_SECONDS = 0.4  # where reads must be far apart, the last one is asked so long before the deadline
MOMENT_SECONDS = 0.05  # whether a mute that nobody waits for got out at all is known so soon
WORTH_A_LOOK = frozenset({Fault.REFUSED, Fault.MISCONFIGURED})  # a no that the state may still contradict
LONGEST_ID = 128  # of a call, as a request may say it
SKEW_MS = 1_000  # how far apart the clocks of two pods may be


class Recorders:
    """All configured backends, each behind the same three questions: mute, let go, look.

    `connections` is how many operations each backend takes at once, by name.
    """

    def __init__(
        self,
        backends: Iterable[Backend],
        *,
        clock: Clock,
        metrics: Metrics,
        connections: Mapping[str, int] | None = None,
    ) -> None:
        self.backends: Mapping[str, Backend] = {backend.name: backend for backend in backends}
        self._clock = clock
        self._lines = {
            name: Line(backend, metrics=metrics, connections=(connections or {}).get(name, CONNECTIONS))
            for name, backend in self.backends.items()
        }
        self._sent_on: dict[tuple[str, Command], asyncio.Task[bool]] = {}

    async def close(self) -> None:
        if self._sent_on:
            await asyncio.wait(set(self._sent_on.values()))
        for backend in self.backends.values():
            await backend.close()

    def answered_at(self, backend: str) -> float:
        """When the backend answered last, in loop time; minus infinity for never."""
        return self._lines[backend].circuit.succeeded_at

    def wanting_probe(self) -> frozenset[str]:
        """The backends nobody waits for, where it is time to try the way again."""
        return frozenset(name for name, line in self._lines.items() if line.circuit.wants_probe)

    def tell(self, told: Callable[[str, bool, int | None], None]) -> None:
        """Who is told when a backend cannot be reached any more, or again after so many ms."""
        for line in self._lines.values():
            line.told = told

    def is_shut(self, backend: str) -> bool:
        """Nobody waits for the backend now."""
        return self._lines[backend].circuit.is_shut

    # ── the three questions ──

    async def mute(
        self, recorder: Recorder, wanted: Parties, *, not_before: int, deadline: float, background: bool = False
    ) -> Result:
        """Silence `wanted` and prove it. Evidence from before `not_before` (ms) would not count: an order of
        ours can still land until then, so it is waited for and the command sent again. In the `background` it is sent
        once: whoever comes again knows by then whether it is still wanted."""
        line, effort = self._lines[recorder.backend], Effort(deadline=deadline, background=background)
        if background:
            with line.circuit.probing() as allowed:
                return await self._mute(recorder, wanted, effort) if allowed else _untried(recorder)
        if line.circuit.admits():
            return await self._mute_after(recorder, wanted, not_before, effort)
        sent_on = self._send_on(line, _silence(recorder, wanted), effort)
        await asyncio.wait({sent_on}, timeout=MOMENT_SECONDS)
        if not line.circuit.is_open:
            return await self._mute_after(recorder, wanted, not_before, effort)
        unsent = sent_on.done() and not sent_on.result()
        return Result(fault=Fault.CIRCUIT_OPEN if unsent else Fault.UNAWAITED)

    async def let_go(self, recorder: Recorder, left: Parties, *, deadline: float) -> Result:
        """Leave only `left` silent; sent once, then only asked after."""
        if not self._lines[recorder.backend].circuit.admits():
            return Result(fault=Fault.CIRCUIT_OPEN)
        if not await self._quiet(recorder, deadline):
            return Result(fault=Fault.BUSY)
        action = Action.MUTE if left else Action.UNMUTE
        command = Command(action=action, target=recorder.target, muted=left)
        if recorder.waiting and not self.backends[recorder.backend].capabilities.tells_calls:
            waited = await self._plain(recorder, command, Effort(deadline=deadline))
            return waited if waited.fault else Result(fault=Fault.NO_SUCH_CALL)  # what is there now is not meant
        return await self._command(
            recorder, command, lambda seen: let_go(Result(seen=seen), left), Effort(deadline=deadline)
        )

    async def look(self, recorder: Recorder, *, deadline: float, background: bool = False, since: int = 0) -> Result:
        """What the recorder says now; a backend that cannot be asked leaves things as they were.

        In the `background` a shared answer will do; that there is no such call counts only when it was asked after
        `since` (ms), when the call was last known to have a state.
        """
        line, effort = self._lines[recorder.backend], Effort(deadline=deadline, background=background)
        if not line.backend.capabilities.observable:
            return _as_known(recorder)
        if background:
            return _untried(recorder) if line.circuit.is_open else await self._glance(recorder, effort, since)
        return await self._look(recorder, effort) if line.circuit.admits() else Result(fault=Fault.CIRCUIT_OPEN)

    async def control(self, recorder: Recorder, command: Command, *, deadline: float) -> Result:
        """A one-shot command. A start or stop that can be read back is proven; the rest is as good as its yes."""
        effort = Effort(deadline=deadline)
        if not self._lines[recorder.backend].circuit.admits():
            return Result(fault=Fault.CIRCUIT_OPEN)
        match command.action:
            case Action.START:
                return await self._command(recorder, command, lambda seen: seen.muted is Parties.NONE, effort)
            case Action.STOP:
                return await self._command(recorder, command, lambda seen: covers(seen, Parties.BOTH), effort)
            case _:
                return await self._plain(recorder, command, effort)

    # ── muting ──

    async def _mute_after(self, recorder: Recorder, wanted: Parties, not_before: int, effort: Effort) -> Result:
        result = await self._mute(recorder, wanted, effort)
        wait = (not_before - self._clock.ms()) / 1000
        if wait <= 0 or wait >= self._clock.left(effort.deadline):
            return result
        await self._clock.sleep(wait)
        return await self._mute(recorder, wanted, effort)

    async def _mute(self, recorder: Recorder, wanted: Parties, effort: Effort) -> Result:
        def done(seen: Observation) -> bool:
            return covers(seen, wanted)

        command = _silence(recorder, wanted)
        result = await self._command(recorder, command, done, effort)
        if self._worth_repeating(recorder, result) and self._clock.left(effort.deadline) > 0:
            result = await self._command(recorder, command, done, effort)
        return result

    def _worth_repeating(self, recorder: Recorder, result: Result) -> bool:
        """The answer was lost and the recorder was then seen not to have done it."""
        lost = result.fault is not None and BLAME[result.fault] is Blame.UNCONFIRMED
        repeatable = Action.MUTE in self.backends[recorder.backend].capabilities.repeatable
        return lost and repeatable and result.seen is not None and result.fault is not Fault.NOT_PROVEN

    def _send_on(self, line: Line, command: Command, effort: Effort) -> asyncio.Task[bool]:
        """Send a mute for which nobody waits; the same one under way already will do."""
        name = (line.backend.name, command)
        task = self._sent_on.get(name)
        if task is None:
            task = self._sent_on[name] = asyncio.create_task(_sent(line, command, effort))
            task.add_done_callback(lambda _: self._sent_on.pop(name))
        return task

    async def _quiet(self, recorder: Recorder, deadline: float) -> bool:
        """Wait until no such mute is on its way to this recorder: it would land after what is sent now."""
        under_way = {
            task
            for (backend, command), task in self._sent_on.items()
            if backend == recorder.backend
            and replace(command.target, excluded=recorder.target.excluded) == recorder.target
        }
        if under_way:
            _, under_way = await asyncio.wait(under_way, timeout=max(0.0, self._clock.left(deadline)))
        return not under_way

    # ── one command and its evidence ──

    async def _plain(self, recorder: Recorder, command: Command, effort: Effort) -> Result:
        try:
            await self._lines[recorder.backend].apply(command, effort)
        except BackendError as error:
            return Result(fault=error.fault)
        return Result()

    async def _command(self, recorder: Recorder, command: Command, done: Done, effort: Effort) -> Result:
        asked_at = self._clock.ms()
        try:
            receipt = await self._lines[recorder.backend].apply(command, effort)
        except (NotSent, NoSuchCall) as error:
            return Result(fault=error.fault)
        except Refused as error:
            return await self._after_refusal(recorder, error.fault, done, effort)
        except Unconfirmed as error:
            return await self._after_silence(recorder, error.fault, done, effort)
        return await self._evidence(recorder, command, receipt, asked_at, done, effort)

    async def _after_refusal(self, recorder: Recorder, fault: Fault, done: Done, effort: Effort) -> Result:
        """Evidence outranks the answer: "already so" is a no to the command and a yes to the wish."""
        if fault not in WORTH_A_LOOK or not self._observable(recorder):
            return Result(fault=fault)
        looked = await self._look(recorder, effort)
        if looked.seen is not None and done(looked.seen):
            return looked
        return Result(seen=looked.seen, fault=fault)

    async def _after_silence(self, recorder: Recorder, fault: Fault, done: Done, effort: Effort) -> Result:
        """The answer was lost: ask what is, and take only that."""
        if not self._observable(recorder):
            return Result(fault=fault, lost=True)
        looked = await self._look(recorder, effort)
        if looked.fault is Fault.NO_SUCH_CALL or (looked.seen is not None and done(looked.seen)):
            return replace(looked, lost=True)
        return Result(seen=looked.seen, fault=fault, lost=True)

    async def _evidence(
        self, recorder: Recorder, command: Command, receipt: Receipt, asked_at: int, done: Done, effort: Effort
    ) -> Result:
        capabilities = self.backends[recorder.backend].capabilities
        if receipt.seen is not None:
            seen = _observation(receipt.seen, asked_at)
            if done(seen) or not capabilities.observable:
                return Result(seen=seen, fault=None if done(seen) else Fault.NOT_PROVEN)
        if capabilities.observable:
            return await self._prove(recorder, lambda seen: _after(seen, asked_at, effort) and done(seen), effort)
        if Evidence.ACCEPTED in capabilities.evidence:
            return Result(seen=Observation(muted=_claimed(command), evidence=Evidence.ACCEPTED, at=asked_at))
        return Result(fault=Fault.NOT_PROVEN)

    async def _prove(self, recorder: Recorder, done: Done, effort: Effort) -> Result:
        """Read until it is so or the time is over; a call that is gone ends it at once."""
        pause = FIRST_READ_SECONDS
        while True:
            result = await self._look(recorder, effort)
            if result.fault is Fault.NO_SUCH_CALL or (result.seen is not None and done(result.seen)):
                return result
            wait = self._until_next_read(recorder, pause, effort)
            if wait is None:
                return Result(seen=result.seen, fault=_unproven(result.fault))
            await self._clock.sleep(wait)
            pause = min(2 * pause, LONGEST_READ_SECONDS)

    def _until_next_read(self, recorder: Recorder, pause: float, effort: Effort) -> float | None:
        """Seconds to the next read of this effort, None for no more: where the vendor wants reads far apart,
        one at once and one last; in the background, where they are shared, just the one."""
        left = self._clock.left(effort.deadline)
        if recorder.waiting:
            return None
        if self.backends[recorder.backend].capabilities.read_interval_seconds:
            pause = 0.0 if effort.background else left - LAST_READ_SECONDS
        return pause if 0 < pause < left else None

    # ── looking ──

    async def _look(self, recorder: Recorder, effort: Effort) -> Result:
        """How an effort sees what came of it. That there was no such call before it began is no news."""
        asked_at = self._clock.ms()
        try:
            seen = await self._lines[recorder.backend].observe(recorder.target, effort)
        except NoSuchCall as error:
            return Result(fault=Fault.NOT_PROVEN if error.age_seconds else error.fault)
        except BackendError as error:
            return Result(fault=error.fault)
        return Result(seen=_observation(seen, asked_at))

    async def _glance(self, recorder: Recorder, effort: Effort, since: int) -> Result:
        """How the background looks; where it had to let others go first, all is as it was."""
        asked_at = self._clock.ms()
        try:
            seen = await self._lines[recorder.backend].observe(recorder.target, effort)
        except NoSuchCall as error:
            known_at = max(since, recorder.seen.at if recorder.seen else 0) + SKEW_MS
            old = error.age_seconds > 0 and _at(asked_at, error.age_seconds) < known_at
            return _as_known(recorder) if old else Result(fault=error.fault)
        except BackendError as error:
            return _as_known(recorder) if error.fault is Fault.BUSY else Result(fault=error.fault)
        return Result(seen=_observation(seen, asked_at))

    def _observable(self, recorder: Recorder) -> bool:
        return self.backends[recorder.backend].capabilities.observable


def _silence(recorder: Recorder, wanted: Parties) -> Command:
    return Command(action=Action.MUTE, target=recorder.target, muted=wanted)


async def _sent(line: Line, command: Command, effort: Effort) -> bool:
    """Whether it may have got there."""
    try:
        await line.apply(command, effort)
    except BackendError as error:
        _log.info("mute.unanswered", backend=line.backend.name, fault=error.fault.value)
        return not isinstance(error, NotSent)
    return True


def _as_known(recorder: Recorder) -> Result:
    return Result(seen=recorder.seen, fault=recorder.fault)


def _untried(recorder: Recorder) -> Result:
    """Nobody knows, and nothing was sent: the backend is away."""
    return Result(seen=recorder.seen, fault=recorder.fault or Fault.CIRCUIT_OPEN)


def _observation(seen: Seen, asked_at: int) -> Observation:
    at = _at(asked_at, seen.age_seconds)
    calls = frozenset(call for call in seen.calls if len(call) <= LONGEST_ID)
    return Observation(muted=seen.muted, evidence=seen.evidence, at=at, mixed=seen.mixed, calls=calls)


def _at(asked_at: int, age_seconds: float) -> int:
    """When the vendor was asked, in ms; never younger than it was."""
    return asked_at - math.ceil(1000 * age_seconds)


def _after(seen: Observation, asked_at: int, effort: Effort) -> bool:
    """A request's own read always comes after its command; a shared one need not."""
    return not effort.background or seen.at >= asked_at


def _unproven(fault: Fault | None) -> Fault:
    """The command was accepted and may yet be carried out, so whatever went wrong with the reading, nobody knows."""
    return fault if fault is not None and BLAME[fault] is Blame.UNCONFIRMED else Fault.NOT_PROVEN


def _claimed(command: Command) -> Parties:
    return Parties.BOTH if command.action is Action.STOP else command.muted
