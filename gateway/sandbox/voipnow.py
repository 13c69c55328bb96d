"""A VoipNow server: OAuth tokens, phone calls with views, and no pause, only start and stop."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from gateway.model import Parties, Vendor
from gateway.sandbox.desk import Fake, FakeCall, FakeReply, Operation, Perform, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN_PATH = ("oauth", "token.php")
_CALLS_PATH = ("uapi", "phoneCalls")
_USERS = frozenset({"@me", "@viewer", "@owner"})
_INVALID_CALL = ("pc_phonecall_invalid", "phoneCallId must be alpha-numeric and reference an existing phone call")
_INVALID_VIEW = ("pc_phonecallview_invalid", "phoneCallViewId must reference a view of the phone call")
_INVALID_FORMAT = ("pc_recformat_invalid", "recFormat must be wav or wav49")


@dataclass(slots=True, kw_only=True)
class FakeView:
    """One extension's (or an outside line's) side of a call. `recording` is when recording began, or None."""

    id: str
    extension: str | None
    recording: str | None


class VoipNowFake(Fake):
    """Knobs:

    `token_seconds` is how long a token lives; `void_tokens` ends all of them now. `wrapping` is the shape of a
    collection: `object` gives one call bare and several as a list. `numbers` writes view ids and numbers as
    numbers instead of strings. `untriggered` are extensions that are not set up for recording on demand.
    """

    vendor = Vendor.VOIPNOW

    def __init__(self) -> None:
        super().__init__()
        self.client_id = "app-7"
        self.client_secret = secrets.token_urlsafe(24)
        self.redirect_uri = "https://crm.example/voipnow"
        self.token_seconds: float = 3600
        self.wrapping: Literal["object", "list", "entry"] = "list"
        self.numbers = False
        self.untriggered: set[str] = set()
        self._tokens: dict[str, float] = {}
        self._views: dict[str, list[FakeView]] = {}

    def settings(self) -> dict[str, object]:
        return {
            "vendor": "voipnow",
            "base_url": self.base_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uri": self.redirect_uri,
        }

    def void_tokens(self) -> None:
        """No token that was handed out is taken any more."""
        self._tokens.clear()

    # Calls

    def on_call(self, call: FakeCall) -> None:
        self._views[call.call_id] = [FakeView(id="01", extension=call.extension, recording=_now())]

    def add_view(self, call_id: str, view_id: str, *, extension: str | None, recording: bool = True) -> None:
        """Another side of a call: its recording holds the same voices."""
        self._views[call_id].append(
            FakeView(id=view_id, extension=extension, recording=_now() if recording else None),
        )

    def resume(self, call_id: str) -> None:
        """Somebody presses *1."""
        self._record(self.calls[call_id], self._views[call_id][0])

    def recorded(self, call_id: str, view_id: str) -> bool:
        """Whether this view's recording is on."""
        return any(view.id == view_id and view.recording is not None for view in self._views[call_id])

    def _record(self, call: FakeCall, view: FakeView) -> None:
        view.recording = view.recording or _now()
        call.switch(Parties.NONE)

    def _silence(self, call: FakeCall, view: FakeView) -> None:
        """The call is silent only when no view of it is recorded."""
        view.recording = None
        if all(other.recording is None for other in self._views[call.call_id]):
            call.switch(Parties.BOTH)

    def _of_extension(self, extension: str) -> list[FakeCall]:
        return [call for call in self.ongoing() if any(_means(extension, view) for view in self._views[call.call_id])]

    # Answers

    def operation(self, request: WireRequest) -> Operation:
        if request.path == _TOKEN_PATH:
            return "auth"
        return "command" if request.method == "PUT" else "read"

    def answer(self, request: WireRequest, perform: Perform) -> FakeReply:
        if request.path == _TOKEN_PATH:
            return self._token(request)
        if not self._authorized(request):
            return _error(401, "oauth_token_invalid", "The access token is missing or has expired")
        match request.method, request.path:
            case "GET", (*prefix, user, extension) if tuple(prefix) == _CALLS_PATH:
                return _checked(user) or self._list(self._of_extension(extension))
            case "GET", (*prefix, user, extension, call_id) if tuple(prefix) == _CALLS_PATH:
                return _checked(user) or self._one(extension, call_id)
            case "PUT", (*prefix, user, extension, call_id) if tuple(prefix) == _CALLS_PATH:
                return _checked(user) or self._command(request, extension, call_id, perform)
            case _:
                return _error(404, "not_found", "There is no such resource")

    def refuse(self, request: WireRequest, text: str) -> FakeReply:
        if request.path == _TOKEN_PATH:
            return FakeReply.of_json({"error": "invalid_client", "error_description": text}, status=400)
        return _error(400, "pc_request_refused", text)

    def _token(self, request: WireRequest) -> FakeReply:
        form = dict(request.form)
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return FakeReply.of_json({"error": "invalid_client"}, status=400)
        wanted = {"grant_type": "client_credentials", "type": "unifiedapi", "redirect_uri": self.redirect_uri}
        if request.method != "POST" or any(form.get(name) != value for name, value in wanted.items()):
            return FakeReply.of_json({"error": "invalid_request"}, status=400)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + self.token_seconds
        life = str(int(self.token_seconds))
        return FakeReply.of_json({"access_token": token, "expires_in": life, "token_type": "Bearer"})

    def _authorized(self, request: WireRequest) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and self._tokens.get(token, 0) > time.monotonic()

    def _found(self, extension: str, call_id: str) -> FakeCall | None:
        return next((call for call in self._of_extension(extension) if call.call_id == call_id), None)

    def _one(self, extension: str, call_id: str) -> FakeReply:
        call = self._found(extension, call_id)
        return FakeReply(status=204) if call is None else FakeReply.of_json(self._shown(call))

    def _list(self, calls: list[FakeCall]) -> FakeReply:
        shown = [self._shown(call) for call in calls]
        if not shown:
            return FakeReply(status=204)
        if self.wrapping == "entry":
            return FakeReply.of_json({"totalResults": len(shown), "entry": shown})
        return FakeReply.of_json(shown[0] if self.wrapping == "object" and len(shown) == 1 else shown)

    def _command(self, request: WireRequest, extension: str, call_id: str, perform: Perform) -> FakeReply:
        """200 shows the call as it is once the command is carried out, or is not."""
        call = self._found(extension, call_id)
        if call is None:
            return FakeReply(status=204) if call_id.isalnum() else _error(400, *_INVALID_CALL)
        view = self._view(call_id, str(request.json.get("phoneCallViewId")))
        if view is None:
            return _error(400, *_INVALID_VIEW)
        if view.extension in self.untriggered:
            return _error(403, "pc_recording_disabled", "Recording is not triggered when *1 is pressed")
        return self._carry_out(request, call, view, perform)

    def _view(self, call_id: str, view_id: str) -> FakeView | None:
        """A server that shows ids as numbers knows them by number."""
        zeros = "0" if self.numbers else ""
        return next((v for v in self._views[call_id] if v.id.lstrip(zeros) == view_id.lstrip(zeros)), None)

    def _carry_out(self, request: WireRequest, call: FakeCall, view: FakeView, perform: Perform) -> FakeReply:
        match request.json:
            case {"action": "StopRecording"}:
                perform(partial(self._silence, call, view))
            case {"action": "StartRecording"} if request.json.get("format", "wav") not in {"wav", "wav49"}:
                return _error(400, *_INVALID_FORMAT)
            case {"action": "StartRecording"}:
                perform(partial(self._record, call, view))
            case _:
                return _error(400, "pc_action_invalid", "action must be StartRecording or StopRecording")
        return FakeReply.of_json(self._shown(call))

    def _shown(self, call: FakeCall) -> Mapping[str, object]:
        return {
            "id": call.call_id,
            "extension": call.extension,
            "ownerId": "3",
            "ownerName": "Default Organization",
            "published": "2026-06-27T16:08:50+02:00",
            "phoneCallView": [self._shown_view(view) for view in self._views[call.call_id]],
            "link": {"self": f"{self.origin}/uapi/phoneCalls/12/{call.extension}/{call.call_id}"},
        }

    def _shown_view(self, view: FakeView) -> Mapping[str, object]:
        number = int if self.numbers else str
        shown: dict[str, object] = {
            "id": number(view.id),
            "status": number("5"),
            "flow": number("8"),
            "callerId": "John Doe <3333>",
            "source": ["7778888"],
        }
        if view.extension is not None:
            shown |= {"extension": view.extension, "destination": [view.extension]}
        return shown if view.recording is None else {**shown, "recording": view.recording}


def _means(extension: str, view: FakeView) -> bool:
    """Does `extension` of a path mean this view: everybody's, by the whole number, or by its last part."""
    if extension == "@self":
        return True
    return view.extension is not None and extension in {view.extension, view.extension.rpartition("*")[2]}


def _checked(user: str) -> FakeReply | None:
    known = user in _USERS or user.isdecimal()
    return None if known else _error(400, "pc_userid_invalid", "userId must be @me, @viewer, @owner or an id")


def _error(status: int, code: str, message: str) -> FakeReply:
    return FakeReply.of_json({"error": {"code": code, "message": message}}, status=status)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
