"""An entry as it is exported, one line: what the store gave it, then the entry's own bytes.

Nothing is written anew: the entry behind the fourth comma is what was hashed, so that a verifier need not know how
to write JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.store.contract import TrailEntry

_NUMBER = rb"(0|[1-9][0-9]{0,18})"
HEAD = re.compile(rb'\{"bucket":%b,"seq":%b,"at":%b,"hash":"([0-9a-f]{64})",' % (_NUMBER, _NUMBER, _NUMBER))


def line(entry: TrailEntry) -> bytes:
    """With its newline."""
    given = b'{"bucket":%d,"seq":%d,"at":%d,"hash":"%b",' % (entry.bucket, entry.seq, entry.at, entry.link.encode())
    return given + entry.entry[1:] + b"\n"


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
