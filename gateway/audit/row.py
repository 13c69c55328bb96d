"""An entry as it is exported, one line: what the store gave it, then the entry's own bytes.

Nothing is written anew: the entry behind the fourth comma is what was hashed, so that a verifier need not know how
to write JSON.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.audit.seal import BUCKETS

if TYPE_CHECKING:
    from gateway.store.contract import TrailEntry

_NUMBER = rb"(0|[1-9][0-9]{0,18})"
HEAD = re.compile(rb'\{"bucket":%b,"seq":%b,"at":%b,"hash":"([0-9a-f]{64})",' % (_NUMBER, _NUMBER, _NUMBER))


def line(entry: TrailEntry) -> bytes:
    """With its newline."""
    return written(entry.bucket, entry.seq, entry.at, entry.link.encode(), entry.entry)


def written(bucket: int, seq: int, at: int, link: bytes, entry: bytes) -> bytes:
    """As `line`, of its parts."""
    return b'{"bucket":%d,"seq":%d,"at":%d,"hash":"%b",' % (bucket, seq, at, link) + entry[1:] + b"\n"


def bucket_of(about: bytes) -> int:
    """The bucket of what entries are about; those that are about no call are in the first."""
    return int.from_bytes(sha256(about).digest()[:8]) % BUCKETS if about else 0


def subject(entry: bytes) -> bytes:
    """What an entry is about, as bytes: its tenant and call; b"" for an entry that is about no call.

    In canonical JSON these bytes stand nowhere else: a quote inside a text is written with a backslash.
    """
    at = entry.find(b'"call_id":"')
    if at < 0:
        return b""
    begin = at + 11
    call = entry[begin : entry.find(b'"', begin)]
    begin = entry.rfind(b'"tenant":"') + 10
    return entry[begin : entry.find(b'"', begin)] + b"\n" + call
