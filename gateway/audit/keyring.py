"""The keys of the trail, those in use and those of earlier times.

Each has an id that says nothing of the key; checkpoints name the ids in use, so that whoever has all keys knows
which is due where.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.audit.signed import PublicKeys, Signer

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK_BYTES = 64  # of SHA-256


def chain_id(key: bytes) -> str:
    """The id of a key that chains entries."""
    return hashlib.sha256(b"redaction-gateway chain key\n" + key).hexdigest()[:16]


class ChainKey:
    """One key of the chains. The same links as `chain.link`, in half the time: what HMAC does with the key itself
    is done once."""

    __slots__ = ("_inner", "_outer", "id", "key")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self.key = key
        self.id = chain_id(key)
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def link(self, before: bytes, entry: bytes) -> bytes:
        """As `chain.link`; the links are the bytes of their hex form."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(before + b"\n" + entry)
        outer.update(inner.digest())
        return outer.hexdigest().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """`chains` are the keys of the chains, the newest first; `publics` the keys whose signatures count."""

    chains: tuple[ChainKey, ...]
    publics: PublicKeys
    signer: Signer

    @classmethod
    def of(
        cls,
        *,
        hmac_key: bytes,
        signing_key: bytes,
        old_hmac_keys: Iterable[bytes] = (),
        old_public_keys: Iterable[bytes] = (),
    ) -> Keyring:
        """`signing_key` is a seed, the old ones are public keys: a seed that is not in use any more is thrown
        away. The old ones stand in the order in which they were in use. `ValueError` for what is no key."""
        signer = Signer.of(signing_key)
        keys = (*old_hmac_keys, hmac_key)
        return cls(
            chains=tuple(ChainKey(key) for key in reversed(keys)),
            publics=PublicKeys((*old_public_keys, signer.public)),
            signer=signer,
        )

    @property
    def chain(self) -> ChainKey:
        """The one in use."""
        return self.chains[0]
