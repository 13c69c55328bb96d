"""Verba (Verint): MuteRecording, KeepCall and the state query of the HTTP API.

Facts (V read in the vendor's documents, I inferred):

- Whatever happens is HTTP 200; code 0 or 2 is in the body (V).
- `mute` empty or missing asks for the state and answers code 0 as well (V). So a command whose answer carries the
  flags of a state has lost its `mute` on the way: it was not a yes.
- `mute` sets who is silent, it does not add (I); a finished call "cannot be found" (I).
- A token lives one hour (V). How an outlived one is answered is not documented, and a restart of the server voids
  young ones (I): any refusal that is not about the call may be the token's.
- With POST, `action` stays in the URL as the documents have it (V); key and token go into the form body.
- An extension with several calls is an error (V), its wording is not documented (I).
- `anynum` of SearchCalls finds *parts* of numbers (V): 88 finds 8856 too.
- The state of an extension does not say which call it is of (V). Without SearchCalls a redaction by extension and
  one by the id of the same call are not seen to be of one call.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from gateway.backends.contract import (
    AmbiguousCall,
    Backend,
    BackendError,
    Capabilities,
    Command,
    Receipt,
    Refused,
    Seen,
)
from gateway.backends.credential import Credential, Lease
from gateway.backends.http import HttpClient, HttpRequest
from gateway.backends.settings import BackendSettings
from gateway.backends.several import command_all, together
from gateway.backends.verba_answers import (
    PAGE,
    SEARCH_CALLS,
    SEVERAL,
    Answer,
    Complaint,
    expect_yes,
    judge_command,
    judge_search,
    judge_state,
    judge_token,
    parse,
)
from gateway.frozen import replace
from gateway.model import EVERY_PARTIES, Action, CallStatus, Evidence, Fault, Target, Vendor

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from gateway.backends.contract import Hear

Fields = tuple[tuple[str, str], ...]

_MUTE_RECORDING = "MuteRecording"
_KEEP_CALL = "KeepCall"
_REQUEST_TOKEN = "RequestToken"  # noqa: S105 -- the name of an action

_TOKEN_SECONDS = 3600.0
_RENEW_EARLY_SECONDS = 300.0
_NO_CALL = "00000000-0000-0000-0000-000000000000"
_MAY_BE_THE_TOKEN = frozenset({Complaint.LOGIN, Complaint.UNKNOWN, Complaint.OTHER})

_BACK, _AHEAD = timedelta(days=2), timedelta(days=1)  # any time zone, any call that still goes on

_ONGOING, _NEXT, _LAST = CallStatus.ONGOING, CallStatus.NEXT, CallStatus.LAST
_STATUS = {
    (_ONGOING,): "ongoing",
    (_NEXT,): "next",
    (_LAST,): "last",
    (_ONGOING, _NEXT): "ongoing, next",
    (_LAST, _ONGOING): "last, ongoing",
}


class VerbaSettings(BackendSettings):
    """An API key at a Verba Media Repository. `base_url` ends in `/verba/api`; MuteRecording works nowhere but at
    the Media Repository."""

    vendor: Literal["verba"]

    api_key: SecretStr = Field(min_length=1)
    """The API key that the server knows this application by."""

    username: str | None = Field(default=None, min_length=1, pattern=r"^[^:]+$")
    """The user to request a token as. Default none: the API key works without authentication."""

    password: SecretStr | None = None
    """The password of `username`."""

    method: Literal["GET", "POST"] = "POST"
    """How requests are sent. Default POST: key and token then stay out of URLs, and so out of access logs."""

    search_calls: bool = False
    """Whether to look for the calls of an extension (SearchCalls): several are all commanded, and a call that is
    also held by its own id is known to be the same. Default false: the API key needs the right to search, so an
    extension with several calls is refused as ambiguous."""

    def has_whole_login(self) -> None:
        """`ValueError` for a user without a password or the other way round."""
        if (self.username is None) != (self.password is None):
            raise ValueError("username, password: need each other")

    relations = (*BackendSettings.relations, has_whole_login)

    def build(self, name: str) -> Backend:
        return VerbaBackend(name, self)


# Build


def build_request(settings: VerbaSettings, action: str, fields: Fields, token: str | None = None) -> HttpRequest:
    named = (("action", action),)
    sent = (
        ("apiKey", settings.api_key.get_secret_value()),
        *([("token", token)] if token is not None else []),
        ("responseType", "XML"),
        *fields,
    )
    if settings.method == "GET":
        return HttpRequest(method="GET", query=named + sent)
    return HttpRequest(method="POST", query=named, form=sent)


def token_request(settings: VerbaSettings) -> HttpRequest:
    password = settings.password.get_secret_value() if settings.password is not None else ""
    login = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
    request = build_request(settings, _REQUEST_TOKEN, ())
    return replace(request, headers=(("Authorization", f"Basic {login}"),))


def search_fields(extension: str, now: datetime) -> Fields:
    return (
        ("status", "ongoing"),
        ("start", f"{now - _BACK:%Y-%m-%d %H:%M:%S}"),
        ("end", f"{now + _AHEAD:%Y-%m-%d %H:%M:%S}"),
        ("anynum", extension),
        ("returnMetadata", "1"),
        ("pagelen", str(PAGE)),
    )


def address(target: Target, statuses: tuple[CallStatus, ...]) -> Fields:
    """The call's own id, or else its extension with the calls of it that are meant."""
    if target.call_id is not None:
        return (("callID", target.call_id),)
    if target.extension is None or statuses not in _STATUS:
        raise Refused(Fault.UNSUPPORTED)
    return (("extension", target.extension), ("status", _STATUS[statuses]))


def instruct(command: Command) -> tuple[str, Fields]:
    """The action of the API that does it, and its fields. `Refused` for what this vendor cannot do."""
    mark = (("type", command.mark),) if command.mark is not None else ()
    match command.action:
        case Action.MUTE | Action.UNMUTE if command.muted or command.action is Action.UNMUTE:
            return _MUTE_RECORDING, (("mute", str(int(command.muted))),)
        case Action.KEEP:
            return _KEEP_CALL, mark
        case Action.DISCARD:
            return _KEEP_CALL, (*mark, ("unmark", "1"))
        case _:
            raise Refused(Fault.UNSUPPORTED)  # a mute of nobody, too: it would be an unmute


def askable(statuses: tuple[CallStatus, ...]) -> tuple[CallStatus, ...]:
    """What to ask the state of after a command to `statuses`: the next call is an ongoing one once it is there."""
    return tuple(status for status in statuses if status is not _NEXT) or (_ONGOING,)


# Send


class VerbaBackend:
    """One API key at one Media Repository."""

    vendor = Vendor.VERBA

    def __init__(self, name: str, settings: VerbaSettings) -> None:
        self.name = name
        self.capabilities = Capabilities(
            actions=frozenset({Action.MUTE, Action.UNMUTE, Action.KEEP, Action.DISCARD}),
            parties=frozenset(EVERY_PARTIES),
            call_status=frozenset(_STATUS),
            evidence=frozenset({Evidence.READBACK}),
            tells_calls=settings.search_calls,
            repeatable=frozenset({Action.MUTE, Action.KEEP, Action.DISCARD}),
        )
        self._settings = settings
        self._http = HttpClient(settings)
        self._token = Credential(self._fetch_token, patience_seconds=settings.timeout_seconds)

    async def apply(self, command: Command, *, deadline: float) -> Receipt:
        action, fields = instruct(command)
        target = command.target
        if target.excluded and _NEXT not in target.call_status:
            return await self._command_all(action, await self._search(target, deadline, least=0), fields, deadline)
        answer = await self._ask(action, address(target, target.call_status) + fields, deadline)
        if not self._searchable(answer, target.call_status):
            return judge_command(answer)
        return await self._command_all(action, await self._search(target, deadline), fields, deadline)

    async def _command_all(self, action: str, ids: tuple[str, ...], fields: Fields, deadline: float) -> Receipt:
        return await command_all([self._command_one(action, call_id, fields, deadline) for call_id in ids])

    async def _command_one(self, action: str, call_id: str, fields: Fields, deadline: float) -> Receipt:
        return judge_command(await self._ask(action, (("callID", call_id), *fields), deadline))

    async def observe(
        self,
        target: Target,
        *,
        deadline: float,
        background: bool = False,  # noqa: ARG002 -- every read goes at once here
    ) -> Seen:
        statuses = askable(target.call_status)
        if target.excluded:
            return await self._observe_all(await self._search(target, deadline, least=0), deadline)
        answer = await self._ask(_MUTE_RECORDING, address(target, statuses), deadline)
        if not self._searchable(answer, statuses):
            return replace(judge_state(answer), calls=await self._ids(target, statuses, deadline))
        return await self._observe_all(await self._search(target, deadline), deadline)

    async def _observe_all(self, ids: tuple[str, ...], deadline: float) -> Seen:
        asked = [self._ask(_MUTE_RECORDING, (("callID", call_id),), deadline) for call_id in ids]
        answers = await asyncio.gather(*asked)
        states = [judge_state(one) for one in answers if one.complaint is not Complaint.NO_SUCH_CALL]
        return replace(together(states), calls=frozenset(ids))

    async def _ids(self, target: Target, statuses: tuple[CallStatus, ...], deadline: float) -> frozenset[str]:
        """The id of the one call that the state is of; none where the server cannot or may not say which it is."""
        if target.call_id is not None:
            return frozenset({target.call_id})
        if not self._settings.search_calls or statuses[0] is not _ONGOING:
            return frozenset()
        with suppress(BackendError):
            return frozenset(await self._search(target, deadline, least=1))
        return frozenset()

    async def ping(self, *, deadline: float) -> None:
        """Log in; where there is no login, ask for the state of a call that cannot be."""
        if self._settings.username is not None:
            await self._fetch_token(deadline)
            return
        answer = await self._ask(_MUTE_RECORDING, (("callID", _NO_CALL),), deadline)
        if answer.complaint is not Complaint.NO_SUCH_CALL:
            expect_yes(answer)

    def listening(self, hear: Hear) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- this vendor does not push
        return nullcontext()

    async def close(self) -> None:
        await self._token.close()
        await self._http.close()

    def _searchable(self, answer: Answer, statuses: tuple[CallStatus, ...]) -> bool:
        """The search finds ongoing calls only, so it helps only where those are what was meant first."""
        several = answer.complaint is Complaint.SEVERAL_CALLS
        return several and self._settings.search_calls and statuses[0] is _ONGOING

    async def _search(self, target: Target, deadline: float, *, least: int = SEVERAL) -> tuple[str, ...]:
        if target.extension is None or target.call_id is not None:
            raise AmbiguousCall
        answer = await self._ask(SEARCH_CALLS, search_fields(target.extension, datetime.now(UTC)), deadline)
        found = judge_search(answer, target.extension, least=least)
        return tuple(call_id for call_id in found if call_id not in target.excluded)

    async def _ask(self, action: str, fields: Fields, deadline: float) -> Answer:
        """Send and parse; after a no that may be the token's, once more with a new one."""
        if self._settings.username is None:
            return await self._exchange(action, fields, None, deadline)
        token = await self._token.current(deadline=deadline)
        answer = await self._exchange(action, fields, token, deadline)
        if answer.complaint not in _MAY_BE_THE_TOKEN:
            return answer
        self._token.refuse(token)
        return await self._exchange(action, fields, await self._token.current(deadline=deadline), deadline)

    async def _exchange(self, action: str, fields: Fields, token: str | None, deadline: float) -> Answer:
        request = build_request(self._settings, action, fields, token)
        return parse(await self._http.exchange(request, deadline=deadline), action)

    async def _fetch_token(self, deadline: float) -> Lease[str]:
        asked = asyncio.get_running_loop().time()
        reply = await self._http.exchange(token_request(self._settings), deadline=deadline)
        return Lease(
            value=judge_token(parse(reply, _REQUEST_TOKEN)),
            renew_at=asked + _TOKEN_SECONDS - _RENEW_EARLY_SECONDS,
            expires_at=asked + _TOKEN_SECONDS,
        )
