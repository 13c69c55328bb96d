"""A signature has one form, one purpose and one key."""

from __future__ import annotations

import base64

import pytest
from second import signed as second_signed
from trails import KEYRING, OTHER_SEED, SEED

from gateway.audit.signed import PublicKeys, Signer, split

SIGNER = Signer.of(SEED)
LINE = SIGNER.line(b'{"a":1}')
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def test_a_line_carries_its_signature() -> None:
    """As its last member; without it, it is what was signed. The second verifier's own arithmetic agrees."""
    assert KEYRING.publics.signs(LINE, SIGNER.id)
    found = split(LINE)
    assert found is not None
    assert found[0] == b'{"a":1}'
    assert second_signed(SIGNER.public, b'redaction-gateway trail\n{"a":1}', found[1])
    assert not second_signed(SIGNER.public, b'redaction-gateway trail\n{"a":2}', found[1])


def test_it_has_one_form() -> None:
    """Base64 whose last character has other bits that mean nothing is not the same line."""
    at = len(LINE) - 5
    others = [LINE[:at] + bytes([letter]) + LINE[at + 1 :] for letter in ALPHABET if letter != LINE[at]]
    same = [one for one in others if base64.b64decode(one[-90:-2]) == base64.b64decode(LINE[-90:-2])]
    assert len(same) == 15
    assert not any(KEYRING.publics.signs(one, SIGNER.id) for one in others)


@pytest.mark.parametrize(
    "line", [b"", b"{}", LINE[:-1], LINE + b"\n", LINE.replace(b"a", b"b", 1), LINE[:-20] + b"****" + LINE[-16:]]
)
def test_another_line_has_none(line: bytes) -> None:
    """Cut, lengthened or changed."""
    assert not KEYRING.publics.signs(line, SIGNER.id)


def test_a_strangers_counts_for_nothing() -> None:
    """Whether the key is unknown, or another one is named; nor does one that signed for another purpose."""
    stranger = Signer.of(OTHER_SEED)
    assert not KEYRING.publics.signs(stranger.line(b'{"a":1}'), stranger.id)
    assert not KEYRING.publics.signs(stranger.line(b'{"a":1}'), SIGNER.id)
    assert PublicKeys([stranger.public]).signs(stranger.line(b'{"a":1}'), stranger.id)
    bare = base64.b64encode(SIGNER.key.sign(b'{"a":1}'))
    assert not KEYRING.publics.signs(b'{"a":1,"signature":"' + bare + b'"}', SIGNER.id)
