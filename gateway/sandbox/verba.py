"""A Verba Media Repository as far as its HTTP API is documented, traps included.

HTTP 200 whatever happens; a MuteRecording without `mute` tells the state and says code 0; an extension with several
calls is an error; `responseType` decides what the answer looks like; tokens are void after an hour or a restart.
The wording of errors other than "cannot be found" is made up: it is not documented.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from gateway.model import Parties, Vendor
from gateway.sandbox.desk import Fake, FakeCall, FakeReply, Operation, Perform, WireRequest

TOKEN_SECONDS = 3600.0
NEXT_SECONDS = 60.0

_OTHER_PARTY = "+15550100"
_STATUSES = frozenset({"ongoing", "next", "last", "ongoing, next", "last, ongoing"})
_SENTENCES = {
    "MuteRecording": "The call recording has been changed.",
    "KeepCall": "The call has been marked for recording.",
    "SearchCalls": "See the list.",
}

Deed = Callable[[FakeCall], None]


class _No(Exception):  # noqa: N818 -- it is an answer
    """The server's own no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A command for the next call of an extension, until `until` (seconds since the epoch)."""

    extension: str
    until: float
    deed: Deed


class VerbaFake(Fake):
    """`login`: whether the API key needs a token. `described`: errors as older servers word them."""

    vendor = Vendor.VERBA
    dialect = "xml"

    def __init__(self, *, login: bool = True) -> None:
        super().__init__()
        self.login = login
        self.described = False
        self.api_key = str(uuid.uuid4())
        self.username = "redaction"
        self.password = uuid.uuid4().hex
        self._tokens: dict[str, float] = {}
        self._waiting: list[_Waiting] = []

    @property
    def base_url(self) -> str:
        return f"{self.origin}/verba/api"

    def settings(self) -> dict[str, object]:
        login = {"username": self.username, "password": self.password} if self.login else {}
        return {"vendor": "verba", "base_url": self.base_url, "api_key": self.api_key, **login}

    def void_tokens(self) -> None:
        """The server restarts: no token of before is good any more."""
        self._tokens.clear()

    def forget_next(self) -> None:
        """The minute in which a `next` waits for its call is over."""
        self._waiting.clear()

    def on_call(self, call: FakeCall) -> None:
        call.facts["caller"] = _OTHER_PARTY
        now = time.time()
        due = [one for one in self._waiting if one.extension == call.extension and now <= one.until]
        self._waiting = [one for one in self._waiting if one not in due]
        for one in due:
            one.deed(call)

    def operation(self, request: WireRequest) -> Operation:
        fields = _fields(request)
        match fields.get("action"):
            case "RequestToken":
                return "auth"
            case "SearchCalls":
                return "read"
            case "MuteRecording" if not fields.get("mute"):
                return "read"
            case _:
                return "command"

    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        root, response = _document(_fields(request).get("action", ""), code="2")
        message = SubElement(response, "ErrorMessage", {"description": "Error"} if self.described else {})
        message.text = text
        return _shaped(request, root, text)

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        if request.path != ("verba", "api"):
            return FakeReply(status=404)
        try:
            return self._act(request, _fields(request), perform)
        except _No as no:
            return self.refuse(request, str(no))

    def _act(self, request: WireRequest, fields: Mapping[str, str], perform: Perform) -> FakeReply:
        self._admit(fields)
        match fields.get("action"):
            case "RequestToken":
                return self._hand_out_token(request)
            case "MuteRecording":
                return self._mute_recording(request, fields, perform)
            case "KeepCall":
                return self._keep_call(request, fields, perform)
            case "SearchCalls":
                return self._search_calls(request, fields)
            case _:
                raise _No("The action is unknown.")

    def _admit(self, fields: Mapping[str, str]) -> None:
        if fields.get("apiKey") != self.api_key:
            raise _No("The API key is not valid.")
        good_until = self._tokens.get(fields.get("token", ""), 0.0)
        if self.login and fields.get("action") != "RequestToken" and time.time() > good_until:
            raise _No("The token is not valid.")

    def _hand_out_token(self, request: WireRequest) -> FakeReply:
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {login}":
            raise _No("The user could not be authenticated.")
        token, session = str(uuid.uuid4()), uuid.uuid4().hex.upper()
        self._tokens[token] = time.time() + TOKEN_SECONDS
        root, response = _document("RequestToken")
        response.set("token", token)
        for tag, text in (("SessionId", session), ("SessionCookieName", "JSESSIONID"), ("Remote", "false")):
            SubElement(root, tag).text = text
        return _shaped(request, root, token, headers={"Set-Cookie": f"JSESSIONID={session}; Path=/verba"})

    def _mute_recording(self, request: WireRequest, fields: Mapping[str, str], perform: Perform) -> FakeReply:
        root, response = _document("MuteRecording")
        mute = fields.get("mute", "")
        if not mute:
            muted = self._the_one_call(fields).muted
            response.set("callerMuted", _flag(muted, Parties.CALLER))
            response.set("calledMuted", _flag(muted, Parties.CALLED))
        elif mute in {"0", "1", "2", "3"}:
            self._do(fields, lambda call: call.switch(Parties(int(mute))), perform)
        else:
            raise _No("The mute parameter is not valid.")
        return _shaped(request, root, _SENTENCES["MuteRecording"])

    def _keep_call(self, request: WireRequest, fields: Mapping[str, str], perform: Perform) -> FakeReply:
        def keep(call: FakeCall) -> None:
            call.facts["kept"] = "no" if fields.get("unmark") == "1" else "yes"
            call.facts["mark"] = fields.get("type", "")

        try:
            self._do(fields, keep, perform)
        except _No as no:
            raise _No(f"Unable to keep the call, because {str(no)[0].lower()}{str(no)[1:]}") from None
        return _shaped(request, _document("KeepCall")[0], _SENTENCES["KeepCall"])

    def _search_calls(self, request: WireRequest, fields: Mapping[str, str]) -> FakeReply:
        if not fields.get("start") or not fields.get("end"):
            raise _No("The search period is missing.")
        root = Element("verbacdrlist")
        for call in self.calls.values():
            numbers = (call.extension, call.facts["caller"])
            if call.ended == (fields.get("status") == "ongoing"):
                continue
            if any(fields.get("anynum", "") in number for number in numbers):
                _describe(SubElement(root, "verbacdr"), call, metadata=fields.get("returnMetadata") == "1")
        return _shaped(request, root, _SENTENCES["SearchCalls"])

    # Which calls are meant

    def _do(self, fields: Mapping[str, str], deed: Deed, perform: Perform) -> None:
        """Do it to the call that is meant, or have it wait for the next one."""
        call = self._find(fields)
        if call is not None:
            perform(lambda: deed(call))
            return
        waiting = _Waiting(extension=fields["extension"], until=time.time() + NEXT_SECONDS, deed=deed)
        perform(lambda: self._waiting.append(waiting))

    def _the_one_call(self, fields: Mapping[str, str]) -> FakeCall:
        call = self._find(fields)
        if call is None:
            raise _No("The call cannot be found.")
        return call

    def _find(self, fields: Mapping[str, str]) -> FakeCall | None:
        """The call that is meant, None for one still to come."""
        if fields.get("callID"):
            return _only(self.ongoing(call_id=fields["callID"]))
        status = fields.get("status", "")
        if not fields.get("extension") or status not in _STATUSES:
            raise _No("Parameters are missing.")
        for word in status.split(", "):
            found = self._of_extension(fields["extension"], word)
            if found:
                return _only(found)
        if "next" in status:
            return None
        raise _No("The call cannot be found.")

    def _of_extension(self, number: str, word: str) -> list[FakeCall]:
        calls = [call for call in self.calls.values() if number in {call.extension, call.facts["caller"]}]
        match word:
            case "ongoing":
                return [call for call in calls if not call.ended]
            case "last":
                return sorted((call for call in calls if call.ended), key=lambda call: call.tape.ended or 0)[-1:]
            case _:
                return []


def _only(calls: list[FakeCall]) -> FakeCall:
    if not calls:
        raise _No("The call cannot be found.")
    if len(calls) > 1:
        raise _No("More than one record was found.")
    return calls[0]


def _fields(request: WireRequest) -> dict[str, str]:
    """Query and form together, as servers of this kind read them; the first of a name counts."""
    return dict(reversed(request.query + request.form))


def _flag(muted: Parties, party: Parties) -> str:
    return "true" if muted & party else "false"


def _document(action: str, *, code: str = "0") -> tuple[Element, Element]:
    root = Element("VerbaApi")
    return root, SubElement(root, "Response", {"code": code, "type": action})


def _describe(found: Element, call: FakeCall, *, metadata: bool) -> None:
    SubElement(found, "ccdr_id").text = call.call_id
    if metadata:
        SubElement(found, "source_caller_id").text = call.facts["caller"]
        SubElement(found, "destination_caller_id").text = call.extension


def _shaped(
    request: WireRequest, root: Element, sentence: str, *, headers: Mapping[str, str] | None = None
) -> FakeReply:
    match _fields(request).get("responseType", "XML"):
        case "HTML":
            body, content_type = f"<html><body><p>{sentence}</p></body></html>".encode(), "text/html"
        case "TEXT":
            body, content_type = sentence.encode(), "text/plain"
        case _:
            body, content_type = tostring(root, encoding="utf-8", xml_declaration=True), "text/xml"
    return FakeReply(body=body, content_type=content_type, headers=headers or {})
