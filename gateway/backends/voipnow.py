"""VoipNow UnifiedAPI: recording of a phone call is started and stopped; there is no pause.

Facts (V read in the vendor's documents, I inferred):

- `PUT /uapi/phoneCalls/<user>/<extension>/<call>` with `StartRecording` or `StopRecording` (V). The path is in
  the plural and the token goes into `Authorization: Bearer`; one page shows both otherwise (V).
- 200 brings the phone call as it is after the command, 204 says that there is no such call: nothing happened (V).
- A view that is not recorded has no member `recording` (V); any other way to say so is not understood here.
- How a collection is wrapped is not documented: an object, a list, `entry` (I). Ids and numbers may be strings (V).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from gateway.backends.contract import Backend, Capabilities, Command, NoSuchCall, Receipt, Refused, Seen, Unconfirmed
from gateway.backends.credential import Credential, Lease
from gateway.backends.http import HttpClient, HttpReply, HttpRequest, as_object
from gateway.backends.settings import BackendSettings
from gateway.backends.several import command_all, together
from gateway.backends.voipnow_calls import addressed, concerned, matching, parse_calls, same_id, whole_number
from gateway.frozen import quick, replace
from gateway.model import Action, CallStatus, Evidence, Fault, Parties, Target, Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from gateway.backends.contract import Hear
    from gateway.backends.voipnow_calls import PhoneCall, View

_OAUTH_PATH = ("oauth", "token.php")
_CALLS_PATH = ("uapi", "phoneCalls")
_ANY_EXTENSION = "@self"
_FORMATS = frozenset({"wav", "wav49"})
_RENEW_EARLY_SECONDS = 300.0
_TOKEN_SECONDS = 3600.0  # the shorter of the documented lifetimes, where an answer names none
_TOKEN = re.compile(r"[\x21-\x7e]+")


class VoipNowSettings(BackendSettings):
    """An account at a VoipNow server. `base_url` is the host: paths begin at `/uapi` and `/oauth`."""

    vendor: Literal["voipnow"]

    client_id: str = Field(min_length=1)
    """The App ID of the registered application."""

    client_secret: SecretStr = Field(min_length=1)
    """The App Secret that belongs to it."""

    redirect_uri: str | None = None
    """The redirect URI that the application is registered with. Default: `base_url`; nothing is redirected, but
    the server wants the parameter."""

    user_id: str = Field(default="@me", pattern=r"^(@me|@viewer|@owner|[0-9]+)$")
    """Whose calls: `@me`, `@viewer`, `@owner` or a user's number. Default `@me`, the user of the application."""

    format: Literal["wav", "wav49"] = "wav"
    """What a resumed recording is written as. Default `wav`, the vendor's own default."""

    def build(self, name: str) -> Backend:
        return VoipNowBackend(name, self)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one command goes."""

    user: str
    extension: str
    call_id: str
    view_id: str


# Build


def token_request(settings: VoipNowSettings) -> HttpRequest:
    form = (
        ("client_id", settings.client_id),
        ("client_secret", settings.client_secret.get_secret_value()),
        ("grant_type", "client_credentials"),
        ("type", "unifiedapi"),
        ("redirect_uri", settings.redirect_uri or settings.base_url),
    )
    return HttpRequest(method="POST", path=_OAUTH_PATH, root=True, form=form)


def read_request(target: Target, settings: VoipNowSettings) -> HttpRequest:
    """The call of the target's id, or all calls of its extension."""
    extension = target.extension or _ANY_EXTENSION
    call = () if target.call_id is None else (target.call_id,)
    return HttpRequest(method="GET", path=(*_CALLS_PATH, target.user_id or settings.user_id, extension, *call))


def command_request(place: Place, instruction: Mapping[str, object]) -> HttpRequest:
    return HttpRequest(
        method="PUT",
        path=(*_CALLS_PATH, place.user, place.extension, place.call_id),
        json={**instruction, "phoneCallViewId": place.view_id},
    )


def instruct(command: Command, settings: VoipNowSettings) -> Mapping[str, object]:
    """What to say to a view. `Refused` for what this vendor cannot do: one party only, another format, keep."""
    chosen = command.format or settings.format
    match command:
        case Command(action=Action.MUTE, muted=Parties.BOTH) | Command(action=Action.STOP):
            return {"action": "StopRecording"}
        case Command(action=Action.UNMUTE, muted=Parties.NONE) | Command(action=Action.START) if chosen in _FORMATS:
            return {"action": "StartRecording", "format": chosen}
        case _:
            raise Refused(Fault.UNSUPPORTED)


# Parse


def parse_token(reply: HttpReply, *, asked_at: float) -> Lease[SecretStr]:
    """The token, good for its `expires_in` from when it was asked for (loop time)."""
    if reply.status in {401, 403}:
        raise Refused(Fault.UNAUTHENTICATED)
    answer = as_object(reply.json())
    if answer.get("error") == "invalid_client":
        raise Refused(Fault.UNAUTHENTICATED)
    if "error" in answer:
        raise Refused(Fault.MISCONFIGURED)
    reply.expect_ok()
    token = answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Unconfirmed(Fault.BAD_ANSWER)
    life = whole_number(answer.get("expires_in")) or _TOKEN_SECONDS
    return Lease(
        value=SecretStr(token),
        renew_at=asked_at + max(life - _RENEW_EARLY_SECONDS, life / 2),
        expires_at=asked_at + life,
    )


# Judge


def judge(reply: HttpReply) -> None:
    """Pass 200. 204 and 404 are `NoSuchCall`, a documented or any other no `Refused`, the rest `Unconfirmed`."""
    match reply.status:
        case 204 | 404:
            raise NoSuchCall
        case 400:
            raise _refusal(reply)
        case _:
            reply.expect_ok()


def _refusal(reply: HttpReply) -> Refused:
    match as_object(reply.json()).get("error"):
        case {"code": "pc_phonecall_invalid"}:
            return NoSuchCall()
        case {"code": "pc_phonecallview_invalid" | "pc_recformat_invalid"}:
            return Refused(Fault.MISCONFIGURED)
        case _:
            return Refused(Fault.REFUSED)


def judge_command(reply: HttpReply, view_id: str) -> Receipt:
    """What the answer says of the view that was commanded; an answer without that view says nothing."""
    judge(reply)
    calls = parse_calls(reply.json())
    views = [view for call in calls for view in call.views if same_id(view.id, view_id)]
    if not views:
        raise Unconfirmed(Fault.BAD_ANSWER)
    return Receipt(seen=_seen(calls, views, Evidence.ANSWER))


def judge_state(calls: Sequence[PhoneCall], target: Target) -> Seen:
    """The state of every view that silence concerns, in every call. `NoSuchCall` where there is no call."""
    return _seen(calls, [view for call in calls for view in concerned(call, target)], Evidence.READBACK)


def _seen(calls: Sequence[PhoneCall], views: Sequence[View], evidence: Evidence) -> Seen:
    states = [Seen(muted=Parties.NONE if view.recorded else Parties.BOTH, evidence=evidence) for view in views]
    return replace(together(states), calls=frozenset(call.id for call in calls))


class VoipNowBackend:
    def __init__(self, name: str, settings: VoipNowSettings) -> None:
        self._name = name
        self._settings = settings
        self._http = HttpClient(settings)
        self._token = Credential(self._fetch_token, patience_seconds=settings.timeout_seconds)

    @property
    def name(self) -> str:
        return self._name

    @property
    def vendor(self) -> Vendor:
        return Vendor.VOIPNOW

    @cached_property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            actions=frozenset({Action.MUTE, Action.UNMUTE, Action.START, Action.STOP}),
            parties=frozenset({Parties.NONE, Parties.BOTH}),
            call_status=frozenset({(CallStatus.ONGOING,), (CallStatus.NEXT,), (CallStatus.ONGOING, CallStatus.NEXT)}),
            evidence=frozenset({Evidence.READBACK, Evidence.ANSWER}),
            tells_calls=True,
        )

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        instruction = instruct(command, self._settings)
        places = await self._places(command, deadline)
        return await command_all([self._command(place, instruction, deadline) for place in places])

    async def observe(
        self,
        target: Target,
        *,
        deadline: float,
        background: bool = False,  # noqa: ARG002 -- every read goes at once here
    ) -> Seen:
        return judge_state(await self._calls(target, deadline), target)

    async def ping(self, *, deadline: float) -> None:
        reply = await self._exchange(read_request(Target(), self._settings), deadline)
        if reply.status != 204:  # noqa: PLR2004 -- nobody is on the phone
            reply.expect_ok()
            parse_calls(reply.json())

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- this vendor does not push
        return nullcontext()

    async def close(self) -> None:
        await self._token.close()
        await self._http.close()

    async def _places(self, command: Command, deadline: float) -> list[Place]:
        """Every view to command; asks the server only for what the target does not say."""
        target = command.target
        if target.call_id is not None and target.view_id is not None:
            return [self._place(target, target.call_id, target.view_id)]
        silences = command.action in {Action.MUTE, Action.STOP}
        choose = concerned if silences else addressed
        return [
            self._place(target, target.call_id or call.id, view.id)
            for call in await self._calls(target, deadline)
            for view in choose(call, target)
        ]

    def _place(self, target: Target, call_id: str, view_id: str) -> Place:
        return Place(
            user=target.user_id or self._settings.user_id,
            extension=target.extension or _ANY_EXTENSION,
            call_id=call_id,
            view_id=view_id,
        )

    async def _calls(self, target: Target, deadline: float) -> tuple[PhoneCall, ...]:
        reply = await self._exchange(read_request(target, self._settings), deadline)
        judge(reply)
        return matching(parse_calls(reply.json()), target)

    async def _command(self, place: Place, instruction: Mapping[str, object], deadline: float) -> Receipt:
        reply = await self._exchange(command_request(place, instruction), deadline)
        return judge_command(reply, place.view_id)

    async def _exchange(self, request: HttpRequest, deadline: float) -> HttpReply:
        """Send with a token; a 401 has not acted, so that once more with a new token is not a second command."""
        token = await self._token.current(deadline=deadline)
        reply = await self._http.exchange(_authorized(request, token), deadline=deadline)
        if reply.status != 401:  # noqa: PLR2004 -- the token is not taken (any more)
            return reply
        self._token.refuse(token)
        token = await self._token.current(deadline=deadline)
        return await self._http.exchange(_authorized(request, token), deadline=deadline)

    async def _fetch_token(self, deadline: float) -> Lease[SecretStr]:
        asked_at = asyncio.get_running_loop().time()
        reply = await self._http.exchange(token_request(self._settings), deadline=deadline)
        return parse_token(reply, asked_at=asked_at)


def _authorized(request: HttpRequest, token: SecretStr) -> HttpRequest:
    return replace(request, headers=(("Authorization", f"Bearer {token.get_secret_value()}"),))
