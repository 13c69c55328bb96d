"""Lines that are signed: one JSON object, and as its last member an Ed25519 signature over all before it.

What is signed are the bytes as they stand, so that there is no second way to write the same. The first member says
what the line is, so that a signature for one kind of line is none for another.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable

_PURPOSE = b"redaction-gateway trail\n"  # a key that signs elsewhere too signs nothing that counts here
_MEMBER = b',"signature":"'
_END = b'"}'
_BASE64_BYTES = 88
_TAIL = len(_MEMBER) + _BASE64_BYTES + len(_END)


def key_id(public: bytes) -> str:
    """The name under which a public key is spoken of."""
    return hashlib.sha256(b"ed25519\n" + public).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """`seed` is the 32 bytes that the configuration has."""

    key: Ed25519PrivateKey
    public: bytes
    id: str

    @classmethod
    def of(cls, seed: bytes) -> Signer:
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = key.public_key().public_bytes_raw()
        return cls(key=key, public=public, id=key_id(public))

    def line(self, body: bytes) -> bytes:
        """`body`, a JSON object that is not empty, with its signature; without a newline."""
        signature = base64.b64encode(self.key.sign(_PURPOSE + body))
        return body[:-1] + _MEMBER + signature + _END


class PublicKeys:
    """The keys whose signatures count, by their ids."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = {key_id(key): Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def signs(self, line: bytes, key: str) -> bool:
        """Whether the line, without its newline, carries the signature of the key of that id."""
        public, found = self._keys.get(key), split(line)
        if public is None or found is None:
            return False
        body, signature = found
        try:
            public.verify(signature, _PURPOSE + body)
        except InvalidSignature:
            return False
        return True


def split(line: bytes) -> tuple[bytes, bytes] | None:
    """What was signed, and the signature; None for a line that has none."""
    tail = line[-_TAIL:]
    if len(tail) < _TAIL or not (tail.startswith(_MEMBER) and tail.endswith(_END)):
        return None
    text = tail[len(_MEMBER) : -len(_END)]
    try:
        signature = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    # The last character has bits that mean nothing: only one way to write a signature is one.
    return (line[:-_TAIL] + b"}", signature) if base64.b64encode(signature) == text else None


def line_hash(line: bytes) -> str:
    """How the next line of its kind names this one."""
    return hashlib.sha256(line).hexdigest()
