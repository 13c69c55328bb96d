"""The heads of all buckets as the sealer keeps them beside its newest checkpoint.

They spare whoever goes on from reading all checkpoints; they are not signed, but have the checkpoint's root or are
not used. `link` is the link of the newest sealed entry, so that an entry in another one's place is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from gateway.audit.seal import Head, root

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    head: Head = field(default_factory=Head)
    link: str = ""


def write(heads: Mapping[int, Kept]) -> bytes:
    members = {str(number): [kept.head.seq, kept.head.digest, kept.link] for number, kept in heads.items()}
    return orjson.dumps(members)


def read(data: bytes) -> dict[int, Kept]:
    """`ValueError` for anything else than `write` makes."""
    try:
        return {
            int(number): Kept(head=Head(seq=int(seq), digest=str(digest)), link=str(link))
            for number, (seq, digest, link) in orjson.loads(data or b"{}").items()
        }
    except (TypeError, AttributeError) as error:
        raise ValueError("not heads") from error


def root_of(heads: Mapping[int, Kept]) -> str:
    return root({number: kept.head for number, kept in heads.items()})
