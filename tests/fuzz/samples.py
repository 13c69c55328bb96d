"""What each parser takes when all is well: mangling begins here."""

from __future__ import annotations

import base64
import json
from pathlib import Path

CALL = {
    "id": "c1", "connId": "0a1b", "callUuid": "U1", "state": "Established", "recordingState": "Paused",
    "ani": "8856", "dnis": "100", "participants": ["8856", "100"],
}  # fmt: skip
VIEW = {"id": "01", "extension": "0003*8856", "status": 1, "recording": "2026-11-21T09:00:00Z"}
ACTIVE_CALL = {"ivrid": "c1", "recording": {"IsMuted": 1}}
PHONE_CALL = {"id": "c1", "phoneCallView": [VIEW, {"id": 2, "extension": "100", "status": "2"}]}
TARGET = {"call_id": "c1", "extension": "8", "call_status": ["last"], "user_id": "@me", "view_id": "1"}
CHANGE = {
    "messageType": "CallStateChangeMessage",
    "notificationType": "CallRecordingStateChange",
    "phoneNumber": "8856",
    "call": CALL,
}


def _json(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


def _verba(attributes: str, inner: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><VerbaApi><Response {attributes}>{inner}</Response></VerbaApi>'.encode()
    )


_FOUND = (
    "<verbacdrlist><verbacdr><ccdr_id>c1</ccdr_id><source_caller_id>sip:8856@x</source_caller_id>"
    "<destination_caller_id>100</destination_caller_id></verbacdr></verbacdrlist>"
)
VERBA = (
    _verba('type="MuteRecording" code="0"', "OK"),
    _verba('type="MuteRecording" code="0" callerMuted="true" calledMuted="false"'),
    _verba('type="MuteRecording" code="12"', "The call c1 cannot be found."),
    _verba('type="MuteRecording" code="13"', "More than one call"),
    _verba('type="RequestToken" code="0" token="abc"'),
    _verba('type="SearchCalls" code="0"', _FOUND),
    _FOUND.encode(),
)
GENESYS = _json(
    {"statusCode": 0},
    {"statusCode": 6, "statusMessage": "no such call"},
    {"statusCode": 0, "call": CALL},
    {"statusCode": 0, "calls": [CALL, {**CALL, "state": "Released"}]},
)
EVENTS = _json(CHANGE, {**CHANGE, "notificationType": "StatusChange"}, {"messageType": "Other"})
BAYEUX = _json(
    [{"channel": "/meta/handshake", "id": "1", "successful": True, "clientId": "c", "advice": {"reconnect": "retry"}}],
    [{"channel": "/meta/subscribe", "id": "2", "successful": True, "subscription": "/v2/me/calls"}],
    [
        {"channel": "/v2/me/calls", "data": CHANGE},
        {"channel": "/meta/connect", "id": "3", "successful": True, "advice": {"interval": 100, "timeout": 30000}},
    ],
    {"channel": "/meta/connect", "successful": False, "error": "402::Unknown", "advice": {"reconnect": "handshake"}},
)  # fmt: skip
VOICENTER = _json(
    {"ErrorCode": 200, "Message": "Success"},
    {"ErrorCode": "404", "Message": "UniqueIvrID not found"},
    {"ERR": 0, "DESC": "OK", "EXTENSIONS": [{"username": "8856", "calls": [ACTIVE_CALL]}]},
    {"ERR": 2, "DESC": "Authorization failed."},
)  # fmt: skip
VOIPNOW = _json(
    PHONE_CALL,
    {"entry": [PHONE_CALL]},
    [PHONE_CALL, PHONE_CALL],
    {"error": {"code": "pc_phonecall_invalid", "message": "no"}},
    {"access_token": "abc", "expires_in": "7200", "token_type": "bearer"},
    {"access_token": "abc", "expires_in": 7200},
    {"error": "invalid_client"},
)
IDS = (
    b"a8343631-9f35-4a3a-83f0-9e81592339fb", b"0003*210@pbx.example", b"%41%2e%2F", b"4111-1111-1111-1111", b"a:b+c=d",
)  # fmt: skip
MUTES = _json(
    {},
    {
        "parties": "both", "extension": "8856", "call_status": ["ongoing", "next"], "backends": ["pbx"], "actor": "a",
        "targets": {"pbx": TARGET},
        "hold": "card-form", "resume_after_seconds": 120, "trigger": "manual", "reason": "card-entry",
    },
)  # fmt: skip
COMMANDS = _json(
    {"action": "mute", "hold": "a"},
    {"action": "unmute", "force": True},
    {"action": "keep", "mark": "manualRecord", "extension": "8856"},
    {"action": "start", "format": "wav", "actor": "jane"},
    {"action": "stop"},
    {"action": "discard"},
)
QUERIES = (
    b"hold=card-form&force=true", b"refresh=true&include=audit", b"2.5", b"5", b"1e3", b"redis://127.0.0.1:1/0", b"[]",
    b"embedded", b"0.0.0.0", b"2026-11-21T09:00:00Z", b"https://pbx.example", b"P1D", b"10.0.0.0/8",
)  # fmt: skip
HEADERS = (
    b'If-Match: "3", W/"4"\nIdempotency-Key: abc\nX-Request-Id: abcd-1234\nX-Forwarded-For: 1.2.3.4, 10.0.0.2',
    b"If-Match: *\nX-Forwarded-For: ::ffff:10.0.0.1, [::1]",
    b"X-Request-Id: 4111111111111111\nIf-Match: 3",
)
STORES = (
    b"embedded", b"redis://user:pass@127.0.0.1:6379/3", b"rediss://h/0?ssl_ca_certs=/x", b"unix:///tmp/x.sock?db=1",
    b"redis+sentinel://h1:26379,h2/service/0", b"redis+cluster://h1,h2:6379", b"redis://[::1]:6379",
)  # fmt: skip


def _key(first: int) -> str:
    return base64.b64encode(bytes(range(first, first + 32))).decode()


_CA = str(Path(__file__).parent / "authority.pem")  # the system's take as long to read as a thousand settings
CONFIGURATION: dict[str, object] = {
    "environment": "development",
    "listen": {"port": 8080},
    "store": {"url": "embedded"},
    "policy": {},
    "audit": {"hmac_key": _key(1), "signing_key": _key(2), "pepper": _key(3)},
    "backends": {
        "pbx": {"vendor": "verba", "base_url": "https://pbx.example/verba/api", "api_key": "abcd", "ca_file": _CA}
    },
    "routes": [{"backends": ["pbx"]}],
    "clients": {"crm": {"tenant": "acme", "scopes": ["redaction:mute"], "keys": []}},
}
