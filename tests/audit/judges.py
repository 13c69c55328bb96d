"""Both verifiers on one export: they have to agree, always."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from second import faults
from trails import KEYRING

from gateway.audit.files import judged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.audit.findings import Verdict
    from gateway.audit.keyring import Keyring


def verdict(export: bytes, keyring: Keyring = KEYRING, *, known: Iterable[bytes] = ()) -> Verdict:
    return judged(io.BytesIO(export), keyring, known=known)


def both(export: bytes, keyring: Keyring = KEYRING, publics: Iterable[bytes] = ()) -> Verdict:
    """The product's verdict, which the second verifier shares."""
    found = verdict(export, keyring)
    second = faults(export, [key.key for key in keyring.chains], [keyring.signer.public, *publics])
    assert found.whole == (not second), (found, second)
    return found
