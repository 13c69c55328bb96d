"""A second verifier of exports: the standard library alone, nothing of the gateway's, another way to write it.

`faults` gives what is wrong, as texts; nothing for an export that is whole."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]
KEY_TEXT, PURPOSE = b"ed25519\n", b"redaction-gateway trail\n"


def added(a: Point, b: Point) -> Point:
    """RFC 8032, 5.1.4."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    for bit in f"{scalar:b}":
        result = added(added(result, result), point) if bit == "1" else added(result, result)
    return result


def unpacked(data: bytes) -> Point:
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (not x and sign):
        raise ValueError("no point")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = unpacked((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.cache
def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    point, commitment = unpacked(public), unpacked(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(scalar, BASE), added(commitment, times(challenge, point))
    same = (left[0] * right[2] - right[0] * left[2]) % P == 0 == (left[1] * right[2] - right[1] * left[2]) % P
    return len(signature) == 64 and scalar < L and same


class Second:
    def __init__(self, hmac_keys: list[bytes], public_keys: list[bytes]) -> None:
        self.keys = hmac_keys
        self.publics = {hashlib.sha256(KEY_TEXT + key).hexdigest()[:16]: key for key in public_keys}
        self.wrong: list[str] = []

    def require(self, fact: object, text: str) -> None:
        self.wrong += [] if fact else [text]

    def opened(self, line: bytes) -> dict[str, Any]:
        """A signed line; the signature is checked last, and only when nothing else is wrong: it takes long."""
        members: dict[str, Any] = json.loads(line)
        body, _, rest = line.rpartition(b',"signature":"')
        public = self.publics.get(members["key"], b"")
        self.require(public and rest.endswith(b'"}'), "unknown key")
        signature = base64.b64decode(rest[:-2], validate=True)
        self.require(base64.b64encode(signature) == rest[:-2], "another form")
        self.pending.append((public, PURPOSE + body + b"}", signature))
        return members

    def check(self, export: bytes) -> list[str]:
        self.pending: list[tuple[bytes, bytes, bytes]] = []
        *lines, last, empty = export.split(b"\n")
        end = self.opened(last)
        self.require(end["type"] == "export.ended" and not empty, "no end")
        data = export[: len(export) - len(last) - 1]
        self.require(hashlib.sha256(data).hexdigest() == end["digest"], "other lines")
        self.require(len(lines) == end["entries"], "other number of lines")
        whole = end["selection"] == {}
        bases = self.bases(end) if whole else {}
        found = self.entries(lines, bases, whole=whole)
        self.begun(end, lines, whole=whole)
        for judge in (self.sealed, self.reached) if whole else ():
            judge(end, found, bases)
        self.require(self.wrong or all(signed(*one) for one in self.pending), "not signed")
        return self.wrong

    def bases(self, end: dict[str, Any]) -> dict[int, tuple[int, str]]:
        trimmed = self.opened(base64.b64decode(end["trimmed"]))["trimmed"]["buckets"] if end["trimmed"] else {}
        return {int(number): tuple(head) for number, head in trimmed.items()}

    def entries(self, lines: list[bytes], bases: dict[int, tuple[int, str]], *, whole: bool) -> dict[int, Any]:
        """By bucket: the newest link, and the digest at every number."""
        buckets: dict[int, Any] = {n: ("", {seq: digest}) for n, (seq, digest) in bases.items()}
        calls: dict[tuple[str, str], str] = {}
        starts: set[str] = set()
        for line in lines:
            entry = json.loads(line)
            number, seq, link = entry["bucket"], entry["seq"], entry["hash"]
            prefix = b'{"bucket":%d,"seq":%d,"at":%d,"hash":"%b",' % (number, seq, entry["at"], link.encode())
            self.require(line.startswith(prefix), "another form")
            digests = buckets.setdefault(number, ("", {0: ""}))[1]
            newest = max(digests)
            self.require(seq == newest + 1 or (not whole and seq > newest), "numbers")
            digests[seq] = hashlib.sha256(digests[newest].encode() + line + b"\n").hexdigest()
            buckets[number] = (link, digests)
            call = (entry["tenant"], entry["call_id"]) if "call_id" in entry else ("", str(number))
            own, before = b"{" + line[len(prefix) :], calls.get(call, "")
            starting = (not before or not self.linked(before, own, link)) and self.linked("", own, link)
            follows = before and self.linked(before, own, link)
            self.require(follows or starting or (not before and (not whole or bases)), "chain")
            self.require(not starting or link not in starts, "begun twice")
            starts |= {link} if starting else set()
            calls[call] = link
        return buckets

    def begun(self, end: dict[str, Any], lines: list[bytes], *, whole: bool) -> None:
        """Each sealer wrote down its first checkpoint: they rise, and seal nothing that speaks of themselves."""
        newest = json.loads(base64.b64decode(end["checkpoint"]))["n"] if end["checkpoint"] else 0
        entries = [json.loads(line) for line in lines]
        times, before = [entry["at"] for entry in entries], 0
        for entry in (one for one in entries if one["type"] == "seal.started" and "call_id" not in one):
            inside = entry["seq"] <= end["sealed"].get("0", [0])[0]
            self.require(before < entry["checkpoint"] <= newest - inside, "seals put back")
            self.require(not entry.get("count"), "seals begun anew")
            before = entry["checkpoint"]
        late = whole and newest == 0 and "rebuilt" not in end and times and max(times) - min(times) > 60_000
        self.require(not late, "no seal")

    def linked(self, before: str, entry: bytes, link: str) -> bool:
        return link in (hmac.digest(k, before.encode() + b"\n" + entry, "sha256").hex() for k in self.keys)

    def sealed(self, end: dict[str, Any], found: dict[int, Any], bases: dict[int, tuple[int, str]]) -> None:
        heads = {int(number): tuple(head) for number, head in end["sealed"].items()}
        if end["checkpoint"] is not None:
            text = "".join("{} {} {}\n".format(number, *heads.get(number, (0, ""))) for number in range(64))
            checkpoint = self.opened(base64.b64decode(end["checkpoint"]))
            self.require(checkpoint["root"] == hashlib.sha256(text.encode()).hexdigest(), "root")
        self.require(end["checkpoint"] is not None or not heads, "heads without a seal")
        for number, (seq, digest) in heads.items():
            have = found.get(number, ("", {0: ""}))[1]
            below = seq <= bases.get(number, (0, ""))[0]
            self.require(have.get(seq) == digest or below, "not as sealed")

    def reached(self, end: dict[str, Any], found: dict[int, Any], bases: dict[int, tuple[int, str]]) -> None:
        for name, head in end["heads"].items():
            link, digests = found.get(int(name), ("", {0: ""}))
            emptied = max(digests) == bases.get(int(name), (0, ""))[0] == head["seq"]
            self.require((head["seq"], head["hash"]) == (max(digests), link) or (emptied and not link), "heads")


def faults(export: bytes, hmac_keys: list[bytes], public_keys: list[bytes]) -> list[str]:
    try:
        return Second(hmac_keys, public_keys).check(export)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return [f"unreadable: {error!r}"]
