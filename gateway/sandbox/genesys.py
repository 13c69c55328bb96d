"""A Genesys Web Services server: sessions with cookies, CSRF protection, and yes before it is done."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from functools import partial
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import CIMultiDict

from gateway.model import Parties, Vendor
from gateway.sandbox.bayeux import BayeuxServer
from gateway.sandbox.desk import Fake, FakeCall, FakeReply, Operation, Perform, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_BASE = ("api", "v2")
_NODE = "node-a"
_CALLS_CHANNEL = "/v2/me/calls"
_RECORD_FLAGS = {"Recording": "ON", "Paused": "PAUSED", "Stopped": "OFF"}
_POSSIBLE = {
    "Recording": ("PauseCallRecording", "StopCallRecording"),
    "Paused": ("ResumeCallRecording", "StopCallRecording"),
    "Stopped": ("StartCallRecording",),
}
_LEADS_TO = {
    "PauseCallRecording": "Paused",
    "ResumeCallRecording": "Recording",
    "StartCallRecording": "Recording",
    "StopCallRecording": "Stopped",
}


class GenesysFake(Fake):
    """Knobs:

    `csrf`: every POST needs the session's token in the header `csrf_header`; `stale_tokens` makes every token
    handed out a wrong one. `sticky`: a POST without the load balancer's cookie meets a node that does not know
    the session. `forbidden`: this agent may not send commands. `delay_seconds`: how long after code 0 a command
    is done. `next_code`: answer the next command with this code and do nothing. `notifications` is the event
    channel, with knobs of its own.
    """

    vendor = Vendor.GENESYS

    def __init__(self) -> None:
        super().__init__()
        self.username = "agent1"
        self.password = secrets.token_urlsafe(16)
        self.csrf = True
        self.csrf_header = "X-CSRF-TOKEN"
        self.sticky = True
        self.forbidden = False
        self.delay_seconds = 0.0
        self.next_code: int | None = None
        self.notifications = BayeuxServer()
        self._sessions: dict[str, str] = {}
        self._states: dict[str, str] = {}

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/v2"

    def settings(self) -> dict[str, object]:
        return {
            "vendor": "genesys",
            "base_url": self.base_url,
            "username": self.username,
            "password": self.password,
        }

    def stale_tokens(self) -> None:
        """Every session has a new token."""
        self._sessions = {session: secrets.token_urlsafe(12) for session in self._sessions}

    def void_sessions(self) -> None:
        """The server has forgotten every session."""
        self._sessions.clear()

    # Events

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/api/v2/notifications", self._notify)

    async def stop(self) -> None:
        self.notifications.expire()
        await super().stop()

    async def _notify(self, request: web.Request) -> web.StreamResponse:
        wire = await self.on_the_wire(request)
        refusal = self._stranger(wire) or self._protected(wire)
        if refusal is not None:
            return web.Response(body=refusal.body, status=refusal.status, headers=refusal.headers)
        return await self.notifications.serve(request, session=_cookies(wire).get("JSESSIONID", ""))

    def _tell(self, call: FakeCall) -> None:
        """As the documents have it: the call in full, and which of the agent's numbers it is at."""
        data = {
            "messageType": "CallStateChangeMessage",
            "extensions": {"WrapUpTime": 0, "BusinessCall": 0},
            "call": self._shown(call),
            "phoneNumber": call.extension,
            "notificationType": "CallRecordingStateChange",
        }
        self.notifications.publish(_CALLS_CHANNEL, data)

    # Calls

    def on_call(self, call: FakeCall) -> None:
        """A call has two ids; it is between `ani`, a caller outside, and the agent's extension."""
        call.facts |= {
            "connId": secrets.token_hex(8),
            "ani": "5550100",
            "dnis": call.extension,
            "participants": "5550100",
        }
        self._states[call.call_id] = "Recording"

    def resume(self, call_id: str) -> None:
        """The agent's desktop puts recording on again."""
        self._enter(self.calls[call_id], "Recording")

    def state(self, call_id: str) -> str:
        return self._states[call_id]

    def _enter(self, call: FakeCall, state: str) -> None:
        before, self._states[call.call_id] = self._states[call.call_id], state
        call.switch(Parties.NONE if state == "Recording" else Parties.BOTH)
        if state != before:
            self._tell(call)

    def _found(self, key: str) -> FakeCall | None:
        return next((call for call in self.ongoing() if key in {call.call_id, call.facts["connId"]}), None)

    # Answers

    def operation(self, request: WireRequest) -> Operation:
        if request.path == (*_BASE, "me"):
            return "auth"
        return "command" if request.method == "POST" else "read"

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        return self._stranger(request) or self._answer(request, perform)

    def _stranger(self, request: WireRequest) -> FakeReply | None:
        if request.headers.get("Authorization") == self._credentials():
            return None
        return FakeReply(status=401, headers={"WWW-Authenticate": 'Basic realm="Genesys"'})

    def _answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        match request.method, request.path[2:] if request.path[:2] == _BASE else ():
            case "GET", ("me",):
                return self._read(request, {"statusCode": 0, "user": {"userName": self.username}})
            case "GET", ("me", "calls"):
                return self._read(request, {"statusCode": 0, "calls": [self._shown(call) for call in self.ongoing()]})
            case "GET", ("me", "calls", key):
                call = self._found(key)
                return self._read(request, _NOT_FOUND if call is None else {"statusCode": 0, "call": self._shown(call)})
            case "POST", ("me", "calls", key):
                return self._protected(request) or self._command(request, key, perform)
            case _:
                return FakeReply(status=404, body=b"<html>not here</html>", content_type="text/html")

    def refuse(self, request: WireRequest, text: str) -> FakeReply:  # noqa: ARG002 -- one no for every request
        return FakeReply.of_json({"statusCode": 3, "statusMessage": text})

    def _credentials(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()

    def _read(self, request: WireRequest, answer: Mapping[str, object]) -> FakeReply:
        """Any GET opens a session where there is none, and names the header against CSRF."""
        headers: CIMultiDict[str] = CIMultiDict()
        session = _cookies(request).get("JSESSIONID", "")
        if session not in self._sessions:
            session = secrets.token_hex(16).upper()
            self._sessions[session] = secrets.token_urlsafe(12)
            headers.add("Set-Cookie", f"JSESSIONID={session}; Path=/; HttpOnly")
            headers.add("Set-Cookie", f"GWSROUTE={_NODE}; Path=/")
        if self.csrf:
            headers.add("X-CSRF-HEADER", self.csrf_header)
            headers.add("X-CSRF-TOKEN", self._sessions[session])
        return FakeReply.of_json(answer, headers=headers)

    def _protected(self, request: WireRequest) -> FakeReply | None:
        """The 403 of a POST that lacks its session's token or its way to the node that has the session."""
        cookies = _cookies(request)
        lost = self.sticky and cookies.get("GWSROUTE") != _NODE
        token = self._sessions.get(cookies.get("JSESSIONID", ""))
        forged = self.csrf and (token is None or request.headers.get(self.csrf_header) != token)
        if not (self.forbidden or lost or forged):
            return None
        return FakeReply(status=403, body=b"<html>Forbidden</html>", content_type="text/html")

    def _command(self, request: WireRequest, key: str, perform: Perform) -> FakeReply:
        if self.next_code is not None:
            code, self.next_code = self.next_code, None
            return _coded(code, "As told")
        call = self._found(key)
        if call is None:
            return FakeReply.of_json(_NOT_FOUND)
        return self._operate(call, request.json.get("operationName"), perform)

    def _operate(self, call: FakeCall, name: object, perform: Perform) -> FakeReply:
        if name not in _LEADS_TO:
            return _coded(1, "Required parameter operationName is missing")
        if name not in _POSSIBLE[self._states[call.call_id]]:
            return _coded(2, "The operation is not valid for the current state")
        perform(partial(self._hand_on, call, _LEADS_TO[str(name)]))
        return FakeReply.of_json({"statusCode": 0})

    def _hand_on(self, call: FakeCall, state: str) -> None:
        if self.delay_seconds:
            asyncio.get_running_loop().call_later(self.delay_seconds, self._enter, call, state)
        else:
            self._enter(call, state)

    def _shown(self, call: FakeCall) -> Mapping[str, object]:
        state = self._states[call.call_id]
        return {
            "id": call.call_id,
            "connId": call.facts["connId"],
            "callUuid": call.call_id,
            "state": "Established",
            "uri": f"{self.base_url}/me/calls/{call.call_id}",
            "participants": call.facts["participants"].split(","),
            "ani": call.facts["ani"],
            "dnis": call.facts["dnis"],
            "callType": "Inbound",
            "capabilities": ["Hold", "Hangup", "SendDtmf", *_POSSIBLE[state]],
            "userData": {"GSIP_RECORD": _RECORD_FLAGS[state]},
            "mute": "Off",
            "recordingState": state,
        }


_NOT_FOUND = {"statusCode": 6, "statusMessage": "The call is not found"}


def _coded(code: int, message: str) -> FakeReply:
    return FakeReply.of_json({"statusCode": code, "statusMessage": message})


def _cookies(request: WireRequest) -> dict[str, str]:
    return {name: morsel.value for name, morsel in SimpleCookie(request.headers.get("Cookie", "")).items()}
