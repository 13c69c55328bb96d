"""Genesys Web Services v2: recording of an agent's call is paused, resumed, started and stopped.

Facts (V read in the vendor's documents, I inferred):

- `POST <base>/me/calls/<id>` with an `operationName`; the id is the connId or the call's UUID (V). `statusCode` 0
  under HTTP 200 means handed on, not done (V): it is never evidence. What counts is `recordingState` (V).
- Pausing what is paused answers code 2, "not valid for the current state" (V): whether that is fine is for the
  state to say. A stopped recording is not resumed but started (V, by the call's `capabilities`).
- With CSRF protection a POST needs the header named by the answer header `X-CSRF-HEADER` with the value of
  `X-CSRF-TOKEN`, both got from any GET; otherwise HTTP 403 (V), and nothing has been done. Cookies are kept (V).
- Events of the calls are pushed over CometD; see `genesys_events`.
- `GET <base>/me/calls/<id>` brings `call`, `GET <base>/me/calls` brings `calls`; a call whose `state` is Released
  is over (I).
"""

from __future__ import annotations

import asyncio
import enum
import math
from base64 import b64encode
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from gateway.backends.bayeux import GRACE_SECONDS, LONGEST_POLL_SECONDS, Message
from gateway.backends.contract import Backend, Capabilities, Command, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.credential import Credential, Lease
from gateway.backends.genesys_answers import (
    WRONG_STATE,
    Call,
    Headers,
    RecordingState,
    judge,
    matching,
    parse_call,
    parse_calls,
    parse_code,
    parse_csrf,
    seen_in,
    state_of,
)
from gateway.backends.genesys_events import EventStream
from gateway.backends.http import HttpClient, HttpReply, HttpRequest
from gateway.backends.settings import BackendSettings
from gateway.backends.several import command_all, together
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.backends.contract import Hear

_STREAM_CONNECTIONS = 2  # one is held by the server, one is for saying something meanwhile
_CALLS_PATH = ("me", "calls")


class GenesysSettings(BackendSettings):
    """An agent's account at a Genesys Web Services server. `base_url` is up to and including `/api/v2`."""

    vendor: Literal["genesys"]

    username: str = Field(min_length=1, pattern=r"^[^:]+$")
    """The agent's user name, for HTTP Basic."""

    password: SecretStr
    """The agent's password."""

    events: bool = True
    """Whether to listen to the server's event channel. Default true: recording that somebody else resumes is
    noticed at once instead of at the next read-back; a server without the channel costs one try a minute."""

    def build(self, name: str) -> Backend:
        return GenesysBackend(name, self)


class Operation(enum.StrEnum):
    PAUSE = "PauseCallRecording"
    RESUME = "ResumeCallRecording"
    START = "StartCallRecording"
    STOP = "StopCallRecording"


# The states in which an operation has nothing left to do.
_DONE = {
    Operation.PAUSE: frozenset({RecordingState.PAUSED, RecordingState.STOPPED}),
    Operation.STOP: frozenset({RecordingState.STOPPED}),
    Operation.RESUME: frozenset({RecordingState.RECORDING}),
    Operation.START: frozenset({RecordingState.RECORDING}),
}

# Build


def read_request(settings: GenesysSettings, *path: str) -> HttpRequest:
    return HttpRequest(method="GET", path=path, headers=_basic(settings))


def command_request(settings: GenesysSettings, call_id: str, operation: Operation, csrf: Headers) -> HttpRequest:
    return HttpRequest(
        method="POST",
        path=(*_CALLS_PATH, call_id),
        json={"operationName": operation.value},
        headers=(*csrf, *_basic(settings)),
    )


def stream_request(settings: GenesysSettings, message: Message, csrf: Headers) -> HttpRequest:
    return HttpRequest(method="POST", path=("notifications",), json=(message,), headers=(*csrf, *_basic(settings)))


def stream_settings(settings: GenesysSettings) -> GenesysSettings:
    """The same server, for requests that it may hold."""
    patience = {"timeout_seconds": LONGEST_POLL_SECONDS + GRACE_SECONDS, "max_connections": _STREAM_CONNECTIONS}
    return settings.model_copy(update=patience)


def _basic(settings: GenesysSettings) -> Headers:
    pair = f"{settings.username}:{settings.password.get_secret_value()}"
    return (("Authorization", f"Basic {b64encode(pair.encode()).decode()}"),)


def operation_of(command: Command) -> Operation:
    """`Refused` for what this vendor cannot do: one party only, keep."""
    match command:
        case Command(action=Action.MUTE, muted=Parties.BOTH):
            return Operation.PAUSE
        case Command(action=Action.UNMUTE, muted=Parties.NONE):
            return Operation.RESUME
        case Command(action=Action.START):
            return Operation.START
        case Command(action=Action.STOP):
            return Operation.STOP
        case _:
            raise Refused(Fault.UNSUPPORTED)


class GenesysBackend:
    def __init__(self, name: str, settings: GenesysSettings) -> None:
        self._name = name
        self._settings = settings
        self._http = HttpClient(settings)
        self._stream_http = HttpClient(stream_settings(settings), beside=self._http)
        self._stream = EventStream(name, self._say)
        self._csrf = Credential(self._fetch_csrf, patience_seconds=settings.timeout_seconds)

    @property
    def name(self) -> str:
        return self._name

    @property
    def vendor(self) -> Vendor:
        return Vendor.GENESYS

    @cached_property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            actions=frozenset({Action.MUTE, Action.UNMUTE, Action.START, Action.STOP}),
            parties=frozenset({Parties.NONE, Parties.BOTH}),
            call_status=frozenset({(CallStatus.ONGOING,), (CallStatus.NEXT,), (CallStatus.ONGOING, CallStatus.NEXT)}),
            evidence=frozenset({Evidence.READBACK, Evidence.EVENT} if self._settings.events else {Evidence.READBACK}),
            tells_calls=True,
        )

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        operation = operation_of(command)
        call_ids = await self._call_ids(command.target, deadline)
        return await command_all([self._command(call_id, operation, deadline) for call_id in call_ids])

    async def observe(
        self,
        target: Target,
        *,
        deadline: float,
        background: bool = False,  # noqa: ARG002 -- every read goes at once here
    ) -> Seen:
        if target.call_id is not None:
            return seen_in(await self._call(target.call_id, deadline))
        return together([seen_in(call) for call in await self._calls(target, deadline)])

    async def ping(self, *, deadline: float) -> None:
        judge(parse_code(await self._read(deadline, "me")))

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:
        return self._stream.listening(hear) if self._settings.events else nullcontext()

    async def close(self) -> None:
        await self._csrf.close()
        await self._stream_http.close()
        await self._http.close()

    async def _call_ids(self, target: Target, deadline: float) -> list[str]:
        if target.call_id is not None:
            return [target.call_id]
        call_ids = [call.id for call in await self._calls(target, deadline) if call.id is not None]
        if not call_ids:
            raise Unconfirmed(Fault.BAD_ANSWER)
        return call_ids

    async def _calls(self, target: Target, deadline: float) -> tuple[Call, ...]:
        return matching(parse_calls(await self._read(deadline, *_CALLS_PATH)), target)

    async def _call(self, call_id: str, deadline: float) -> Call:
        return parse_call(await self._read(deadline, *_CALLS_PATH, call_id))

    async def _command(self, call_id: str, operation: Operation, deadline: float) -> Receipt:
        with self._stream.expecting(call_id, _DONE[operation]) as expected:
            code = parse_code(await self._post(call_id, operation, deadline))
            if code != WRONG_STATE:
                judge(code)
                return Receipt(seen=await expected.seen(deadline=deadline))
            expected.void()
        return await self._reconsider(call_id, operation, deadline)

    async def _reconsider(self, call_id: str, operation: Operation, deadline: float) -> Receipt:
        """The call is not in a state for `operation`: because it is done, or because it needs another."""
        call = await self._call(call_id, deadline)
        state = state_of(call)
        if state in _DONE[operation]:
            return Receipt(seen=seen_in(call))
        if operation is Operation.RESUME and state is RecordingState.STOPPED:
            judge(parse_code(await self._post(call_id, Operation.START, deadline)))
            return Receipt()
        raise Refused(Fault.REFUSED)

    async def _post(self, call_id: str, operation: Operation, deadline: float) -> HttpReply:
        def build(csrf: Headers) -> HttpRequest:
            return command_request(self._settings, call_id, operation, csrf)

        return await self._guarded(self._http, build, deadline)

    async def _say(self, message: Message, patience_seconds: float) -> object:
        """One message of the event stream, in the session that the commands have."""

        def build(csrf: Headers) -> HttpRequest:
            return stream_request(self._settings, message, csrf)

        deadline = asyncio.get_running_loop().time() + patience_seconds
        reply = await self._guarded(self._stream_http, build, deadline)
        reply.expect_ok()
        return reply.json()

    async def _guarded(self, http: HttpClient, build: Callable[[Headers], HttpRequest], deadline: float) -> HttpReply:
        """Send one POST; a 403 has not acted, so that once more with a new token is not a second command."""
        csrf = await self._csrf.current(deadline=deadline)
        reply = await http.exchange(build(csrf), deadline=deadline)
        if reply.status != 403:  # noqa: PLR2004 -- the token is missing or stale
            return reply
        self._csrf.refuse(csrf)
        csrf = await self._csrf.current(deadline=deadline)
        return await http.exchange(build(csrf), deadline=deadline)

    async def _read(self, deadline: float, *path: str) -> HttpReply:
        return await self._http.exchange(read_request(self._settings, *path), deadline=deadline)

    async def _fetch_csrf(self, deadline: float) -> Lease[Headers]:
        csrf = parse_csrf(await self._read(deadline, "me"))
        return Lease(value=csrf, renew_at=math.inf, expires_at=math.inf)
