"""Voicenter: MuteUnmuteCalls, and GetExtensionsCalls to see what came of it.

Facts (V read in the vendor's documents, I inferred):

- A refusal is HTTP 200 too: `ErrorCode` in the body counts, documented as integer, seen as string (V). 403 is an
  address that is not admitted (V).
- By extension every call that is active *now* is muted, later ones are not (V); an extension without a call is
  answered "Success" (I). Both parties or none (V).
- GetExtensionsCalls tells `recording.IsMuted` of every call; `username` is the extension (V). A wrong code is not
  refused: the list of extensions is empty (V). Asked more often than every 5 s it may answer with old data (V).
- Without a code for it nobody can tell which calls an extension has, nor that one of them is held by its id.
- The two requests may live on different hosts (V).
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from gateway.backends.contract import Backend, Capabilities, Command, NoSuchCall, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.http import BODY_LIMIT, MOST_DIGITS, HttpClient, HttpReply, HttpRequest, as_list, as_object
from gateway.backends.settings import BackendSettings, BaseUrl
from gateway.backends.several import command_all, together
from gateway.backends.snapshot import Snapshot, Snapshots
from gateway.frozen import replace
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from gateway.backends.contract import Hear

READ_INTERVAL_SECONDS = 5.0
EVERYWHERE_LIMIT = 1024 * 1024  # all calls of a contact centre, some 300 bytes each, do not fit into the usual answer
_SERVER_ERRORS = 500
_MUTED = {0: Parties.NONE, "0": Parties.NONE, 1: Parties.BOTH, "1": Parties.BOTH}

ApiPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")]


class VoicenterSettings(BackendSettings):
    """An account at Voicenter; callers are admitted by their address. `base_url` ends before `MuteUnmuteCalls`:
    in `/Comet/API` at older hosts, in `/api` at newer ones."""

    vendor: Literal["voicenter"]

    active_calls_code: SecretStr | None = Field(default=None, min_length=1)
    """The account's code for the Active Calls API, which shows whether a call is muted. Default none: then nothing
    can be proven, and `evidence` has to say that this is accepted."""

    evidence: Literal["accepted"] | None = None
    """`accepted`: without `active_calls_code`, take a bare yes for muted. Default none: nobody else but the operator
    can decide that."""

    method: Literal["GET", "POST"] = "POST"
    """How requests are sent. Default POST with JSON: the code then stays out of URLs, and so out of access logs."""

    mute_path: ApiPath = "MuteUnmuteCalls"
    """Path of the mute request below `base_url`. Default: as documented."""

    calls_base_url: BaseUrl | None = None
    """Where the Active Calls API is. Default: where the mute request goes, `base_url`."""

    calls_path: ApiPath = "GetExtensionsCalls"
    """Path of the list of calls below `calls_base_url`. Default: as documented."""

    def has_settled_proof(self) -> None:
        """`ValueError` when a state could not be proven and nobody has said that a bare yes will do."""
        if self.active_calls_code is None and self.evidence is None:
            raise ValueError("evidence: must be `accepted` where there is no active_calls_code to prove a state with")

    def has_sound_calls_transport(self) -> None:
        """`ValueError` when `calls_base_url` may not be spoken to in the clear."""
        if self.calls_base_url is not None:
            self.check_transport("calls_base_url", self.calls_base_url)

    relations = (*BackendSettings.relations, has_settled_proof, has_sound_calls_transport)

    def build(self, name: str) -> Backend:
        return VoicenterBackend(name, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveCall:
    """`muted` is as the vendor wrote it: only that of the calls that are meant has to make sense."""

    ivrid: str
    extension: str | None
    muted: object


# Build


def build_request(
    settings: VoicenterSettings, path: str, fields: Mapping[str, str], *, limit: int = BODY_LIMIT
) -> HttpRequest:
    segments = tuple(path.split("/"))
    if settings.method == "GET":
        return HttpRequest(method="GET", path=segments, query=tuple(fields.items()), limit=limit)
    return HttpRequest(method="POST", path=segments, json=fields, limit=limit)


def mute_fields(command: Command) -> Mapping[str, str]:
    """`Refused` for what this vendor cannot do: one party only, and anything but muting."""
    address = _address(command.target)
    match command:
        case Command(action=Action.MUTE | Action.UNMUTE, muted=Parties.BOTH):
            return {**address, "state": "1"}
        case Command(action=Action.UNMUTE, muted=Parties.NONE):
            return {**address, "state": "0"}
        case _:
            raise Refused(Fault.UNSUPPORTED)


def _address(target: Target) -> Mapping[str, str]:
    if target.call_id is not None:
        return {"ivrid": target.call_id}
    if target.extension is None:
        raise Refused(Fault.UNSUPPORTED)
    return {"extension": target.extension}


# Parse and judge


def judge_command(reply: HttpReply) -> Receipt:
    """ErrorCode 200 is accepted, which is not done."""
    reply.expect_ok()
    answer = as_object(reply.json())
    code, message = _number(answer.get("ErrorCode")), answer.get("Message", "Success")
    match code, message:
        case 200, "Success":
            return Receipt()
        case 200, _:
            raise Unconfirmed(Fault.BAD_ANSWER)
        case _, "UniqueIvrID not found":
            raise NoSuchCall
        case _, str() if message.startswith("Parameters are not valid"):
            raise Refused(Fault.MISCONFIGURED)
        case _ if code >= _SERVER_ERRORS:
            raise Unconfirmed(Fault.SERVER_ERROR)
        case _:
            raise Refused(Fault.REFUSED)


def parse_calls(reply: HttpReply) -> tuple[ActiveCall, ...] | None:
    """The active calls of the extensions in the answer, None when there is not one extension in it."""
    reply.expect_ok()
    answer = as_object(reply.json())
    _expect_no_error(answer)
    extensions = [as_object(extension) for extension in as_list(answer.get("EXTENSIONS"))]
    calls = tuple(call for extension in extensions for call in _calls(extension))
    return calls if extensions else None


def _expect_no_error(answer: Mapping[str, object]) -> None:
    match _number(answer.get("ERR")), answer.get("DESC"):
        case 0, _:
            return
        case 1 | 2, "Authorization failed.":
            raise Refused(Fault.UNAUTHENTICATED)
        case 1, _:
            raise Refused(Fault.MISCONFIGURED)
        case 2, _:
            raise Refused(Fault.REFUSED, retryable=True)  # wrong values or "internal issue": the code is the same
        case _:
            raise Unconfirmed(Fault.BAD_ANSWER)


def _calls(extension: Mapping[str, object]) -> list[ActiveCall]:
    username = extension.get("username")
    return [
        ActiveCall(
            ivrid=_text(call.get("ivrid")),
            extension=username if isinstance(username, str) else None,
            muted=as_object(call.get("recording", {})).get("IsMuted"),
        )
        for call in map(as_object, as_list(extension.get("calls")))
    ]


def meant(calls: tuple[ActiveCall, ...], target: Target) -> list[ActiveCall]:
    """The calls of the target's id (a call can be on several extensions), else those of its extension."""
    if target.call_id is not None:
        return [call for call in calls if call.ivrid == target.call_id]
    wanted = (target.extension or "").casefold()
    of_extension = (call for call in calls if call.extension is None or call.extension.casefold() == wanted)
    return [call for call in of_extension if call.ivrid not in target.excluded]


def judge_state(calls: list[ActiveCall], *, age_seconds: float = 0.0) -> Seen:
    """Silent is who is silent in every one of `calls`. `NoSuchCall` for none."""
    if not calls:
        raise NoSuchCall(age_seconds=age_seconds)
    states = [Seen(muted=_muted(c.muted), evidence=Evidence.READBACK, calls=frozenset({c.ivrid})) for c in calls]
    seen = together(states)
    return replace(seen, age_seconds=age_seconds)


def _seen(snapshot: Snapshot[tuple[ActiveCall, ...]], target: Target, asked_at: float) -> Seen:
    return judge_state(meant(snapshot.value, target), age_seconds=max(0.0, asked_at - snapshot.asked_at))


def _muted(value: object) -> Parties:
    if not isinstance(value, int | str) or isinstance(value, bool) or value not in _MUTED:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return _MUTED[value]


def _number(value: object) -> int:
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise Unconfirmed(Fault.BAD_ANSWER)
    return int(text)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return value


# Send


class VoicenterBackend:
    """One account at Voicenter."""

    vendor = Vendor.VOICENTER

    def __init__(self, name: str, settings: VoicenterSettings) -> None:
        self.name = name
        self._settings = settings
        self._http = HttpClient(settings)
        self._calls_http = HttpClient(
            settings.model_copy(update={"base_url": settings.calls_base_url or settings.base_url})
        )
        self._code = settings.active_calls_code
        self._everywhere = Snapshots(
            self._read_everywhere,
            interval_seconds=READ_INTERVAL_SECONDS,
            patience_seconds=settings.timeout_seconds,
        )

    @cached_property
    def capabilities(self) -> Capabilities:
        """Who cannot see that there is no call cannot wait for the next one: "Success" is all that is ever said."""
        provable = self._code is not None
        ongoing, next_ = CallStatus.ONGOING, CallStatus.NEXT
        return Capabilities(
            actions=frozenset({Action.MUTE, Action.UNMUTE}),
            parties=frozenset({Parties.NONE, Parties.BOTH}),
            call_status=frozenset({(ongoing,), (next_,), (ongoing, next_)} if provable else {(ongoing,)}),
            evidence=frozenset({Evidence.READBACK if provable else Evidence.ACCEPTED}),
            tells_calls=provable,
            read_interval_seconds=READ_INTERVAL_SECONDS,
        )

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        if not command.target.excluded:
            return await self._command(command, deadline)
        silences = command.muted is Parties.BOTH
        look = self._everywhere.recent if silences else self._everywhere.now
        calls = meant((await look(deadline=deadline)).value, command.target)
        ones = (replace(command, target=Target(call_id=ivrid)) for ivrid in sorted({call.ivrid for call in calls}))
        return await command_all([self._command(one, deadline) for one in ones])

    async def observe(self, target: Target, *, deadline: float, background: bool = False) -> Seen:
        """For a request at once: the target's extension; everywhere, where that is not given or the call is not on
        it (any more). In the background all calls share one look everywhere."""
        asked_at = asyncio.get_running_loop().time()
        if background:
            return _seen(await self._everywhere.newest(deadline=deadline), target, asked_at)
        if target.extension is not None and not self._everywhere.overdue:
            calls = await self._everywhere.spaced(self._active_calls({"extension": target.extension}, deadline))
            found = meant(calls or (), target)
            if found or (calls is not None and target.call_id is None):
                return judge_state(found)
        return _seen(await self._everywhere.now(deadline=deadline), target, asked_at)

    async def ping(self, *, deadline: float) -> None:
        """List the calls; without a code for that, see that somebody answers at all."""
        if self._code is not None:
            await self._everywhere.now(deadline=deadline)
            return
        reply = await self._http.exchange(HttpRequest(method="GET"), deadline=deadline)
        if reply.status in {401, 403}:
            raise Refused(Fault.UNAUTHENTICATED)

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- this vendor does not push
        return nullcontext()

    async def close(self) -> None:
        await self._everywhere.close()
        await self._http.close()
        await self._calls_http.close()

    async def _command(self, command: Command, deadline: float) -> Receipt:
        request = build_request(self._settings, self._settings.mute_path, mute_fields(command))
        return judge_command(await self._http.exchange(request, deadline=deadline))

    async def _read_everywhere(self, deadline: float) -> tuple[ActiveCall, ...]:
        calls = await self._active_calls({}, deadline, limit=EVERYWHERE_LIMIT)
        if calls is None:
            raise Refused(Fault.UNAUTHENTICATED)
        return calls

    async def _active_calls(
        self, fields: Mapping[str, str], deadline: float, *, limit: int = BODY_LIMIT
    ) -> tuple[ActiveCall, ...] | None:
        if self._code is None:
            raise Refused(Fault.UNSUPPORTED)
        sent = {"code": self._code.get_secret_value(), **fields}
        request = build_request(self._settings, self._settings.calls_path, sent, limit=limit)
        return parse_calls(await self._calls_http.exchange(request, deadline=deadline))
