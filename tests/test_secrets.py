"""No secret stands in a file of the repository: none of a known form, and nothing that looks random enough."""

from __future__ import annotations

import base64
import math
import re
import subprocess
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from readme import ROOT

from gateway.auth.keys import mint, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}"),
    "API key of ours": re.compile(r"rgw_[a-z0-9]{8}_[A-Za-z0-9]{43}_[0-9a-f]{8}"),
    "signed token": re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "GitHub": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"),
    "GitLab": re.compile(r"\bglpat-[A-Za-z0-9_-]{20}"),
    "Google": re.compile(r"\bAIza[A-Za-z0-9_-]{35}"),
    "Slack": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "Stripe": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    "PyPI": re.compile(r"\bpypi-[A-Za-z0-9_-]{40,}"),
    "npm": re.compile(r"\bnpm_[A-Za-z0-9]{36}"),
    "password in a URL": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}<>]+:[A-Za-z0-9+/_-]{16,}@"),
}
PUBLIC_HALF = re.compile(r'"[xyn]": "[A-Za-z0-9_-]+"')  # of a JWK: what everybody may know of it
LONG = re.compile(r"[A-Za-z0-9+/_-]{32,}={0,2}")
RANDOM_BITS = 4.3  # a letter of 32 random ones of base64 holds 4.6 bits, one of an English name 3.8
# Locks are hashes; the certificate is public, and its key was thrown away.
LOCKS = re.compile(r"(.*/)?(requirements(-[a-z]+)?\.lock|package-lock\.json)")
PUBLIC = {"tests/fuzz/authority.pem"}


def files() -> list[str]:
    """What the repository holds; the folder's files where git is not there to ask."""
    git = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)  # noqa: S607 -- whichever git there is
    listed = git.stdout.decode().splitlines()
    return listed or [str(path.relative_to(ROOT)) for path in (ROOT / "gateway").rglob("*") if path.is_file()]


def found(text: str) -> Iterator[str]:
    """What in `text` looks like a secret, without repeating it."""
    for name, form in FORMS.items():
        yield from (f"{name} in line {_line(text, match)}" for match in form.finditer(text))
    for match in LONG.finditer(PUBLIC_HALF.sub("", text)):
        if _is_random(match[0]):
            yield f"random text in line {_line(text, match)}"


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _is_random(text: str) -> bool:
    kinds = sum(bool(re.search(kind, text)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return kinds == 3 and bits(text) > RANDOM_BITS and not (_counts(text.encode()) or _counts(_decoded(text)))


def _counts(data: bytes) -> bool:
    """An alphabet, or the made-up key 0, 1, 2 …: most of it follows from what is before it."""
    steps = [after - before for before, after in pairwise(data)]
    return steps.count(1) > len(data) / 2


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def bits(text: str) -> float:
    """Shannon's entropy of a letter."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def test_no_file_holds_a_secret() -> None:
    """Whatever is pushed is public some day."""
    seen = {}
    for name in files():
        path = ROOT / name
        if name not in PUBLIC and not LOCKS.fullmatch(name) and path.is_file():
            seen[name] = list(found(path.read_text(errors="replace")))
    assert len(seen) > 100
    assert {name: places for name, places in seen.items() if places} == {}


@pytest.mark.parametrize(
    "planted",
    [
        mint(lambda length: bytes(range(7, 7 + length))).text,
        "-----BEGIN PRIVATE" + " KEY-----\nMC4CAQAwBQYDK2VwBCIEIA",
        "AKIA" + "IOSFODNN7ABCDEFG",
        "ghp_" + "a1B2" * 9,
        "redis://user:" + "kJ8s0vQ2m4Zx7Lp1@host",
        "hmac_key: " + "8fJQ2m0vXk7TzRb1" + "YwNc5uHs9LdPaE3gKi6oBxVt4Wq=",
    ],
    ids=range(6),
)
def test_what_is_planted_is_found(planted: str) -> None:
    """The search can fail."""
    assert list(found(f"a line\n{planted}\n"))


def test_our_own_form_is_that_of_our_keys() -> None:
    """A key that is minted is a key that is searched for."""
    text = mint(lambda length: bytes(range(9, 9 + length))).text
    assert parse(text) is not None
    assert FORMS["API key of ours"].fullmatch(text)
