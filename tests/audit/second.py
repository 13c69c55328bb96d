"""A second verifier of exports, the standard library alone: `faults` is what is wrong, nothing where all is whole."""

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
Members = dict[str, Any]
KEY_TEXT, PURPOSE = b"ed25519\n", b"redaction-gateway trail\n"


def added(a: Point, b: Point) -> Point:  # RFC 8032, 5.1.4
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
        self.keys, self.wrong, self.pending = hmac_keys, list[str](), list[tuple[bytes, bytes, bytes]]()
        self.publics = {hashlib.sha256(KEY_TEXT + key).hexdigest()[:16]: key for key in public_keys}

    def require(self, fact: object, text: str) -> None:
        self.wrong += [] if fact else [text]

    def opened(self, line: bytes) -> Members:
        """A signed line; the signature is checked last, and only when nothing else is wrong: it takes long."""
        members: Members = json.loads(line)
        body, _, rest = line.rpartition(b',"signature":"')
        public = self.publics.get(members["key"], b"")
        self.require(public and rest.endswith(b'"}'), "unknown key")
        signature = base64.b64decode(rest[:-2], validate=True)
        self.require(base64.b64encode(signature) == rest[:-2], "another form")
        self.pending.append((public, PURPOSE + body + b"}", signature))
        return members

    def check(self, export: bytes) -> list[str]:
        *lines, last, empty = export.split(b"\n")
        end = self.opened(last)
        self.require(end["type"] == "export.ended" and not empty, "no end")
        digest = hashlib.sha256(export[: len(export) - len(last) - 1]).hexdigest()
        self.require((digest, len(lines)) == (end["digest"], end["entries"]), "other lines")
        whole, entries = end["selection"] == {}, [json.loads(line) for line in lines]
        trimmed = self.opened(base64.b64decode(end["trimmed"])) if end["trimmed"] and whole else None
        bases = {int(n): tuple(head) for n, head in trimmed["trimmed"]["buckets"].items()} if trimmed else {}
        found = self.entries(lines, entries, bases, whole=whole)
        self.begun(end, entries, whole=whole)
        for judge in (self.sealed, self.reached) if whole else ():
            judge(end, found, bases)
        self.require(self.wrong or all(signed(*one) for one in self.pending), "not signed")
        return self.wrong

    def entries(
        self, lines: list[bytes], entries: list[Members], bases: dict[int, Any], *, whole: bool
    ) -> dict[int, Any]:
        """By bucket: the newest link, the newest number, and the digest at every number."""
        buckets: dict[int, Any] = {n: ("", seq, {seq: digest}) for n, (seq, digest) in bases.items()}
        calls, starts = dict[tuple[str, str], str](), set[str]()
        for line, entry in zip(lines, entries, strict=True):
            number, seq, link = entry["bucket"], entry["seq"], entry["hash"]
            prefix = b'{"bucket":%d,"seq":%d,"at":%d,"hash":"%b",' % (number, seq, entry["at"], link.encode())
            self.require(line.startswith(prefix), "another form")
            _, newest, digests = buckets.get(number, ("", 0, {0: ""}))
            self.require(seq == newest + 1 or (not whole and seq > newest), "numbers")
            digests[seq] = hashlib.sha256(digests[newest].encode() + line + b"\n").hexdigest()
            buckets[number] = (link, seq, digests)
            call = (entry["tenant"], entry["call_id"]) if "call_id" in entry else ("", str(number))
            own, before = b"{" + line[len(prefix) :], calls.get(call, "")
            follows = before and self.linked(before, own, link)
            starting = not follows and self.linked("", own, link)
            self.require(follows or starting or (not before and (not whole or bases)), "chain")
            self.require(not starting or link not in starts, "begun twice")
            starts |= {link} if starting else set()
            calls[call] = link
        return buckets

    def begun(self, end: Members, entries: list[Members], *, whole: bool) -> None:
        """Each sealer wrote down its first checkpoint: they rise, and seal nothing that speaks of themselves."""
        newest, before = json.loads(base64.b64decode(end["checkpoint"]))["n"] if end["checkpoint"] else 0, 0
        for entry in (one for one in entries if one["type"] == "seal.started" and "call_id" not in one):
            risen = before < entry["checkpoint"] <= newest - (entry["seq"] <= end["sealed"].get("0", [0])[0])
            self.require(risen and not entry.get("count"), "seals put back or begun anew")
            before = entry["checkpoint"]
        times, nodes = [one["at"] for one in entries], [one["node_ms"] for one in entries if "healed" not in one]
        old = [times and max(times) - min(times) > 6e4, nodes and max(*nodes, end["at"]) - min(nodes) > 864e5]
        self.require(not (whole and newest == 0 and "rebuilt" not in end and any(old)), "no seal")

    def linked(self, before: str, entry: bytes, link: str) -> bool:
        return link in (hmac.digest(k, before.encode() + b"\n" + entry, "sha256").hex() for k in self.keys)

    def sealed(self, end: Members, found: dict[int, Any], bases: dict[int, Any]) -> None:
        heads = {int(number): tuple(head) for number, head in end["sealed"].items()}
        text = "".join("{} {} {}\n".format(number, *heads.get(number, (0, ""))) for number in range(64))
        seal = self.opened(base64.b64decode(end["checkpoint"])) if end["checkpoint"] is not None else None
        self.require(seal["root"] == hashlib.sha256(text.encode()).hexdigest() if seal else not heads, "root")
        for number, (seq, digest) in heads.items():
            have = found.get(number, ("", 0, {0: ""}))[2]
            self.require(have.get(seq) == digest or seq <= bases.get(number, (0, ""))[0], "not as sealed")

    def reached(self, end: Members, found: dict[int, Any], bases: dict[int, Any]) -> None:
        for name, head in end["heads"].items():
            link, newest, _ = found.get(int(name), ("", 0, {}))
            emptied = newest == bases.get(int(name), (0, ""))[0] == head["seq"]
            self.require((head["seq"], head["hash"]) == (newest, link) or (emptied and not link), "heads")


def faults(export: bytes, hmac_keys: list[bytes], public_keys: list[bytes]) -> list[str]:
    try:
        return Second(hmac_keys, public_keys).check(export)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return [f"unreadable: {error!r}"]
