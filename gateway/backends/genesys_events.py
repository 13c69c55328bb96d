"""What Genesys Web Services says by itself: an agent's calls and their recording, pushed over CometD.

Facts (V read in the vendor's documents, I inferred):

- Channel `/v2/me/calls`; `messageType` CallStateChangeMessage, `call` with the ids and `recordingState`;
  `notificationType` CallRecordingStateChange when the recording was switched (V). At `<base>/notifications` (I).
- Other call messages show the recording state by the way (I): a reason to look, never evidence.

An event proves what a command did only when nothing else can have caused it: the stream was live before the
command went out, nothing of an earlier command was still owed, the command was accepted, and everything that was
heard since says the same. Otherwise the state is read.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.backends.bayeux import BayeuxClient
from gateway.backends.contract import Heard
from gateway.backends.genesys_answers import RELEASED, STATES, RecordingState, ids_of, numbers_of, seen_of
from gateway.model import Evidence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from gateway.backends.bayeux import Send
    from gateway.backends.contract import Hear, Seen

CHANNEL = "/v2/me/calls"
EVENT_SECONDS = 0.1  # how long a command waits for its event before the state is read instead
OWED_SECONDS = 30.0  # an event later than that is not coming any more


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """`switched`: the event is about the recording itself, not a call's other news."""

    heard: Heard
    state: RecordingState
    switched: bool


def parse_event(data: object) -> CallEvent | None:
    """None for what says nothing of a recording: other messages, calls that are over, anything unreadable."""
    if not isinstance(data, dict) or data.get("messageType") != "CallStateChangeMessage":
        return None
    call = data.get("call")
    if not isinstance(call, dict) or (state := _state(call)) is None:
        return None
    return _event(data, call, state)


def _state(call: Mapping[str, object]) -> RecordingState | None:
    word = call.get("recordingState")
    return STATES.get(word) if isinstance(word, str) and call.get("state") != RELEASED else None


def _event(data: Mapping[str, object], call: Mapping[str, object], state: RecordingState) -> CallEvent:
    number = data.get("phoneNumber")
    return CallEvent(
        heard=Heard(
            call_ids=ids_of(call),
            extensions=numbers_of(call) | ({number} if isinstance(number, str) else set()),
            seen=seen_of(state, Evidence.EVENT, ids_of(call)),
        ),
        state=state,
        switched=data.get("notificationType") == "CallRecordingStateChange",
    )


class Expectation:
    """What one command is to bring about, and what was heard of its call since before it was sent."""

    def __init__(self, call_id: str, states: frozenset[RecordingState], *, trusted: bool) -> None:
        self.call_id = call_id
        self._states = states
        self._trusted = trusted
        self._contradicted = False
        self.owes = True  # an event will come, sooner or later
        self._told: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()

    def hear(self, event: CallEvent) -> None:
        if event.state not in self._states:
            self._contradicted = True
        elif event.switched and not self._told.done():
            self._told.set_result(event.heard.seen)
            self.owes = False

    def void(self) -> None:
        """The command was not taken: no event comes of it."""
        self.owes = False

    async def seen(self, *, deadline: float) -> Seen | None:
        """The event as evidence; None when it is not there soon, or not beyond doubt: read the state then."""
        if not self._trusted:
            return None
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait({self._told}, timeout=max(0.0, min(EVENT_SECONDS, left / 2)))
        return self._told.result() if self._told.done() and not self._contradicted else None


class EventStream:
    """The events of one account: for whoever listens, and for the commands under way."""

    def __init__(self, name: str, send: Send) -> None:
        self._name = name
        self._send = send
        self._client: BayeuxClient | None = None
        self._expected: set[Expectation] = set()
        self._owed: dict[str, float] = {}

    @property
    def live(self) -> bool:
        return self._client is not None and self._client.live

    @asynccontextmanager
    async def listening(self, hear: Hear) -> AsyncIterator[None]:
        def heard(data: object) -> None:
            if (event := parse_event(data)) is not None:
                self._heard(event)
                hear(event.heard)

        client = self._client = BayeuxClient(self._send, name=self._name, channel=CHANNEL, hear=heard)
        running = asyncio.create_task(client.run())
        try:
            yield
        finally:
            self._client = None
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await client.leave()

    @contextmanager
    def expecting(self, call_id: str, states: frozenset[RecordingState]) -> Iterator[Expectation]:
        """While a command is under way that is to bring the call into one of `states`."""
        now = asyncio.get_running_loop().time()
        self._owed = {call: since for call, since in self._owed.items() if now - since < OWED_SECONDS}
        expected = Expectation(call_id, states, trusted=self.live and not self._owed)
        self._expected.add(expected)
        try:
            yield expected
        finally:
            self._expected.discard(expected)
            if self.live and expected.owes:
                self._owed[call_id] = now

    def _heard(self, event: CallEvent) -> None:
        for expected in self._expected:
            if expected.call_id in event.heard.call_ids:
                expected.hear(event)
        if event.switched:
            for call_id in event.heard.call_ids:
                self._owed.pop(call_id, None)
