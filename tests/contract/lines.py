"""The vendors as the contract suite runs them: each in every way of being configured that changes what it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from gateway.model import Action, CallStatus, Evidence, Parties
from gateway.sandbox.genesys import GenesysFake
from gateway.sandbox.verba import VerbaFake
from gateway.sandbox.voicenter import VoicenterFake
from gateway.sandbox.voipnow import VoipNowFake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.backends.contract import Capabilities
    from gateway.sandbox.desk import Fake, WireRequest

Mode = Literal["id", "extension"]
MODES: tuple[Mode, ...] = ("id", "extension")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """`settings` go over the fake's own; one that is None is taken away."""

    make: Callable[[], Fake]
    settings: Mapping[str, object] = field(default_factory=dict)


VARIANTS: Mapping[str, Variant] = {
    "verba": Variant(make=VerbaFake),
    "verba_search": Variant(make=partial(VerbaFake, login=False), settings={"method": "GET", "search_calls": True}),
    "voicenter": Variant(make=VoicenterFake),
    "voicenter_blind": Variant(
        make=VoicenterFake, settings={"method": "GET", "active_calls_code": None, "evidence": "accepted"}
    ),
    "voipnow": Variant(make=VoipNowFake),
    "genesys": Variant(make=GenesysFake),
    "verba_optional": Variant(make=VerbaFake, settings={"optional": True}),
}
MATRIX = tuple(name for name in VARIANTS if name != "verba_optional")
SILENT = frozenset({"verba", "voicenter_blind"})  # they cannot say which calls an extension has
TELLING = tuple(name for name in MATRIX if name not in SILENT)
PROVING = tuple(name for name in MATRIX if name != "voicenter_blind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One configured backend, its fake, and what it says that it can."""

    name: str
    fake: Fake
    capabilities: Capabilities
    variant: Variant

    @property
    def proves(self) -> bool:
        """A bare yes is not enough for it."""
        return Evidence.ACCEPTED not in self.capabilities.evidence

    def can(self, action: Action, parties: Parties = Parties.NONE, mode: Mode = "id") -> bool:
        able = self.capabilities
        reachable = able.by_call_id if mode == "id" else able.by_extension
        return reachable and action in able.actions and parties in {Parties.NONE, *able.parties}

    def takes(self, statuses: tuple[CallStatus, ...]) -> bool:
        return self.capabilities.by_extension and statuses in self.capabilities.call_status

    def resumes(self, request: WireRequest) -> bool:
        """The command lets everybody be recorded again."""
        fields = {**dict(request.query), **dict(request.form), **request.json}
        return bool(
            fields.get("mute") == "0"
            or fields.get("state") == "0"
            or fields.get("action") == "StartRecording"
            or fields.get("operationName") in {"ResumeCallRecording", "StartCallRecording"}
        )

    def forget_logins(self) -> None:
        """What the vendor handed out is void: the next request needs a new login."""
        match self.fake:
            case VerbaFake() | VoipNowFake():
                self.fake.void_tokens()
            case GenesysFake():
                self.fake.void_sessions()
            case _:
                pass

    def logs_in(self) -> bool:
        return not isinstance(self.fake, VoicenterFake) and not (
            isinstance(self.fake, VerbaFake) and not self.fake.login
        )

    def secrets(self) -> list[str]:
        """What the fake and the gateway know and nobody else may."""
        match self.fake:
            case VerbaFake():
                return [self.fake.api_key, self.fake.password, *self.fake._tokens]
            case VoicenterFake():
                return [self.fake.code]
            case VoipNowFake():
                return [self.fake.client_secret, *self.fake._tokens]
            case GenesysFake():
                return [self.fake.password, *self.fake._sessions, *self.fake._sessions.values()]
            case other:
                raise AssertionError(f"say what {type(other).__name__} keeps secret")
