"""The chain of a call's entries: each link is an HMAC over the link before it and the entry.

A change, an omission or a reordering inside one call's entries breaks every later link for whoever holds the
key. That the newest entries are not cut off is for the dense bucket sequence and the seals to show.
"""

from __future__ import annotations

import hmac

GENESIS = ""  # the link before a call's first entry


def link(key: bytes, before: str, entry: bytes) -> str:
    """The hex link of `entry` after `before` (hex, or `GENESIS`)."""
    return hmac.digest(key, before.encode() + b"\n" + entry, "sha256").hex()
