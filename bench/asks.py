"""The requests that everything is asked, and the two store calls that a thin service makes of each."""

from __future__ import annotations

import enum
import itertools
import json
from dataclasses import dataclass

from bench import wire

EXTENSION = "8856"
TENANT = "acme"


class Scene(enum.StrEnum):
    """How the vendor proves a mute, and how long it takes. The value begins the ids of such calls."""

    ANSWER = "a"
    ANSWER_SLOW = "b"
    READBACK = "r"
    READBACK_SLOW = "s"

    @property
    def slow(self) -> bool:
        return self in {Scene.ANSWER_SLOW, Scene.READBACK_SLOW}

    @property
    def readback(self) -> bool:
        return self in {Scene.READBACK, Scene.READBACK_SLOW}


BACKENDS = {scene: scene.name.lower() for scene in Scene}
_numbers = itertools.count(1)


def fresh(scene: Scene, count: int) -> list[str]:
    """Ids that no other request has."""
    return [f"{scene.value}-{next(_numbers):08d}-4a83" for _ in range(count)]


def at_gateway(method: str, scene: Scene, call: str, key: str) -> bytes:
    """As a CRM asks; the thin services take the same request."""
    headers = {"X-API-Key": key}
    if method != "PUT":
        return wire.request(method, f"/v1/calls/{call}/redaction", headers)
    headers["Content-Type"] = "application/json"
    return wire.request(method, f"/v1/calls/{call}/redaction", headers, json.dumps(_body(scene, call)).encode())


def _body(scene: Scene, call: str) -> dict[str, object]:
    return {"reason": "card-entry", **target(scene, call)}


def target(scene: Scene, call: str) -> dict[str, object]:
    """All that has to be known for one exchange to do."""
    if scene.readback:
        return {}
    return {"targets": {BACKENDS[scene]: {"call_id": call, "extension": EXTENSION, "view_id": "01"}}}


def at_vendor(call: str) -> bytes:
    """The command of a mute, as the gateway sends it."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer bench"}
    body = json.dumps({"action": "StopRecording", "phoneCallViewId": "01"}).encode()
    return wire.request("PUT", f"/uapi/phoneCalls/@me/{EXTENSION}/{call}", headers, body)


# As long as those of one mute at one recorder are: see what the store has of it.
STATE = json.dumps({"hold": {"client": "crm", "name": "default", "parties": 3}, "filler": "s" * 620})
ENTRY = json.dumps({"type": "mute_intended", "client": "crm", "action": "mute", "filler": "e" * 460})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the function that writes state and entry, as the gateway's own store calls it."""

    call: str
    revision: int

    def words(self) -> list[str]:
        name = f"{{thin}}:call:{TENANT}:{self.call}"
        keys = [name, f"{{thin}}:entries:{self.call}", "{thin}:audit", "{thin}:seq", "{thin}:due"]
        before = _link(self.call, self.revision - 1) if self.revision > 1 else ""
        link = _link(self.call, self.revision)
        step = [f"{self.call}.{self.revision}", str(self.revision - 1), before, str(self.revision)]
        return ["FCALL", "rgw_v2_commit", str(len(keys)), *keys, *step, STATE, ENTRY, link, "4102444800000", ""]

    def wire(self) -> bytes:
        words = [word.encode() for word in self.words()]
        return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)])


def _link(call: str, revision: int) -> str:
    return f"{revision:08x}{call.encode().hex():0>56}"[:64]
