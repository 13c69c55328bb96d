"""Voicenter as far as its mute and active-calls requests are documented, traps included.

HTTP 200 with an ErrorCode that is a string one time and an integer the next; by extension whatever is active now,
and "Success" where nothing is; a wrong code is not refused but sees no extensions.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING

from gateway.model import Parties, Vendor
from gateway.sandbox.desk import Fake, FakeCall, FakeReply, Operation, Perform, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDLE_EXTENSION = "SIPIDLE"
_STATES = {"0": Parties.NONE, "1": Parties.BOTH}
_BAD_PARAMETERS = 'Parameters are not valid, should be "ivrid" and "mute"'


class VoicenterFake(Fake):
    """`code` is the account's for the active calls; calls admit nobody but loopback anyway."""

    vendor = Vendor.VOICENTER

    def __init__(self) -> None:
        super().__init__()
        self.code = uuid.uuid4().hex
        self._answers = 0

    @property
    def base_url(self) -> str:
        return f"{self.origin}/Comet/API"

    def settings(self) -> dict[str, object]:
        return {"vendor": "voicenter", "base_url": self.base_url, "active_calls_code": self.code}

    def operation(self, request: WireRequest) -> Operation:
        return "read" if request.path[-1] == "GetExtensionsCalls" else "command"

    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        if self.operation(request) == "read":
            return FakeReply.of_json({"ERR": 2, "DESC": text})
        return self._coded(400, text)

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        match request.path:
            case ("Comet" | "comet", "API", "MuteUnmuteCalls"):
                return self._mute(_fields(request), perform)
            case ("Comet" | "comet", "API", "GetExtensionsCalls"):
                return self._list(_fields(request))
            case _:
                return FakeReply(status=404)

    def _mute(self, fields: Mapping[str, object], perform: Perform) -> FakeReply:
        state, ivrid, extension = fields.get("state"), fields.get("ivrid"), fields.get("extension")
        muted = _STATES.get(state) if isinstance(state, str) else None
        if muted is None or not (isinstance(ivrid, str) or isinstance(extension, str)):
            return self._coded(400, _BAD_PARAMETERS)
        if isinstance(ivrid, str):
            return self._mute_call(ivrid, muted, perform)
        _switch(self.ongoing(extension=str(extension)), muted, perform)
        return self._coded(200, "Success")

    def _mute_call(self, ivrid: str, muted: Parties, perform: Perform) -> FakeReply:
        calls = self.ongoing(call_id=ivrid)
        if not calls:
            return self._coded(404, "UniqueIvrID not found")
        _switch(calls, muted, perform)
        return self._coded(200, "Success")

    def _coded(self, code: int, message: str) -> FakeReply:
        self._answers += 1
        shown: int | str = str(code) if self._answers % 2 else code
        return FakeReply.of_json({"ErrorCode": shown, "Message": message, "ActionID": uuid.uuid4().hex})

    def _list(self, fields: Mapping[str, object]) -> FakeReply:
        if not isinstance(fields.get("code"), str):
            return FakeReply.of_json({"ERR": 1, "DESC": "Authorization failed."})
        wanted = fields.get("extension")
        names = [name for name in self._extensions() if wanted in {None, name}]
        known = names if fields["code"] == self.code else []
        return FakeReply.of_json(
            {"ERR": 0, "DESC": "OK", "EXTENSIONS": [self._describe(name, number) for number, name in enumerate(known)]}
        )

    def _extensions(self) -> list[str]:
        return sorted({_IDLE_EXTENSION, *(call.extension for call in self.calls.values())})

    def _describe(self, extension: str, number: int) -> dict[str, object]:
        return {
            "name": f"User {number}",
            "username": extension,
            "userID": number,
            "onlineUserStatus": 1,
            "calls": [_describe(call) for call in self.ongoing(extension=extension)],
        }


def _switch(calls: list[FakeCall], muted: Parties, perform: Perform) -> None:
    for call in calls:
        perform(partial(call.switch, muted))


def _fields(request: WireRequest) -> Mapping[str, object]:
    return {**dict(request.query), **request.json}


def _describe(call: FakeCall) -> dict[str, object]:
    return {
        "callStarted": call.tape.began // 10**9,
        "answered": 1,
        "callerphone": "0722776772",
        "callstatus": "Talking",
        "direction": "Incoming",
        "ivrid": call.call_id,
        "recording": {"Filename": f"{call.call_id}.mp3", "IsMuted": 1 if call.muted is Parties.BOTH else 0},
    }
