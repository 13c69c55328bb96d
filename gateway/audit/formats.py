"""An exported entry in the words of those who collect logs: OCSF, ECS, CEF. Made to be searched, not to be
verified: the signed form is `jsonl`."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

import gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Format(enum.StrEnum):
    JSONL = "jsonl"
    OCSF = "ocsf"
    ECS = "ecs"
    CEF = "cef"


class Outcome(enum.StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"  # it is only about to be done


# How the names of the types of entries end.
_FAILED = ("failed", "missed", "abandoned", "reverted", "found", "overtaken", "denied", "refused", "lost")
_STATUS = {Outcome.UNKNOWN: 0, Outcome.SUCCESS: 1, Outcome.FAILURE: 2}  # of OCSF
_ACTIVITIES = {"read": 2, "exported": 2, "trimmed": 4}  # OCSF 6003: 1 create, 2 read, 3 update, 4 delete
_UPDATE = 3
_CEF_VALUE = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


def rendered(line: bytes, form: Format) -> bytes:
    """One line for one exported line, both with their newline."""
    return _FORMS[form](orjson.loads(line)) + b"\n" if form is not Format.JSONL else line


def outcome(kind: str) -> Outcome:
    """Of an entry of this type."""
    if kind.endswith("intended"):
        return Outcome.UNKNOWN
    return Outcome.FAILURE if kind.endswith(_FAILED) else Outcome.SUCCESS


def _ocsf(entry: Mapping[str, Any]) -> bytes:
    """OCSF 1.3, class API Activity (6003)."""
    kind, came = str(entry["type"]), outcome(str(entry["type"]))
    activity = _ACTIVITIES.get(kind.rpartition(".")[2], _UPDATE)
    return _json(
        {
            "class_uid": 6003,
            "category_uid": 6,
            "activity_id": activity,
            "type_uid": 600_300 + activity,
            "severity_id": 3 if came is Outcome.FAILURE else 1,
            "status_id": _STATUS[came],
            "time": entry["at"],
            "metadata": {
                "version": "1.3.0",
                "uid": entry["hash"],
                "sequence": entry["seq"],
                "product": {"name": "redaction-gateway", "vendor_name": "redaction-gateway", "version": _version()},
            },
            "actor": {
                "app_name": entry.get("client"),
                "app_uid": entry.get("kid"),
                "user": {"name": entry.get("actor"), "org": {"name": entry["tenant"]}},
            },
            "api": {"operation": kind, "request": {"uid": entry.get("request_id")}},
            "src_endpoint": {"ip": entry.get("address"), "name": entry["node"]},
            "resources": [{"type": "call", "uid": entry.get("call_id", entry.get("target"))}],
            "unmapped": dict(entry),
        }
    )


def _ecs(entry: Mapping[str, Any]) -> bytes:
    """Elastic Common Schema 8."""
    kind = str(entry["type"])
    return _json(
        {
            "@timestamp": _time(entry["at"]),
            "ecs": {"version": "8.11.0"},
            "event": {
                "kind": "event",
                "module": "redaction_gateway",
                "dataset": "redaction_gateway.audit",
                "action": kind,
                "outcome": outcome(kind).value,
                "id": entry["hash"],
                "sequence": entry["seq"],
            },
            "organization": {"name": entry["tenant"]},
            "user": {"name": entry.get("actor")},
            "source": {"ip": entry.get("address")},
            "host": {"name": entry["node"]},
            "http": {"request": {"id": entry.get("request_id")}},
            "redaction_gateway": dict(entry),
        }
    )


def _cef(entry: Mapping[str, Any]) -> bytes:
    """ArcSight Common Event Format 0."""
    kind = str(entry["type"])
    extension = {
        "rt": entry["at"],
        "outcome": outcome(kind).value,
        "act": entry.get("action", entry.get("method")),
        "src": entry.get("address"),
        "suser": entry.get("actor"),
        "requestClientApplication": entry.get("client"),
        "dvchost": entry["node"],
        "reason": entry.get("reason"),
        "externalId": f"{entry['bucket']}-{entry['seq']}",
        "cs1Label": "call",
        "cs1": entry.get("call_id", entry.get("target")),
        "cs2Label": "tenant",
        "cs2": entry["tenant"],
        "cs3Label": "hash",
        "cs3": entry["hash"],
        "cs4Label": "request",
        "cs4": entry.get("request_id"),
    }
    words = (f"{name}={str(value).translate(_CEF_VALUE)}" for name, value in extension.items() if value is not None)
    severity = 7 if outcome(kind) is Outcome.FAILURE else 3
    head = f"CEF:0|redaction-gateway|redaction-gateway|{_version()}|{kind}|{kind}|{severity}|"
    return (head + " ".join(words)).encode()


def _version() -> str:
    return gateway.__version__


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _json(members: Mapping[str, object]) -> bytes:
    return orjson.dumps(_present(members))


def _present(value: object) -> object:
    """Without what is not there."""
    match value:
        case dict():
            found = {name: _present(item) for name, item in value.items()}
            return {name: item for name, item in found.items() if item not in (None, {}, [])}
        case list():
            return [item for item in map(_present, value) if item not in (None, {})]
        case _:
            return value


_FORMS: dict[Format, Callable[[Mapping[str, Any]], bytes]] = {
    Format.OCSF: _ocsf,
    Format.ECS: _ecs,
    Format.CEF: _cef,
}
