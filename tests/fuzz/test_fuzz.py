"""Whatever comes in, a parser gives its answer or one of the errors that it declares: 20,000 mangled inputs in every
run, a million with ``SOAK=1``.

The inputs are the same every time: `FUZZ_SEED` takes another million. What is found is printed with its number, and
`mangled(parser.seeds, dice(parser, number))` makes it again.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from mangle import mangled
from parsers import PARSERS, Parser

RUNS = 1_000_000 if os.environ.get("SOAK") else 20_000
SEED = os.environ.get("FUZZ_SEED", "1")
_SHOWN = 5


def dice(parser: Parser, number: int) -> Random:
    return Random(f"{SEED}/{parser.name}/{number}")  # noqa: S311 -- to be repeated, not to be secret


def broken(parser: Parser, runs: int) -> list[str]:
    """The first few inputs that the parser trips over."""
    found: list[str] = []
    for number in range(runs):
        random = dice(parser, number)
        data = mangled(parser.seeds, random)
        try:
            parser.read(data, random)
        except parser.declared:
            continue
        except Exception as error:  # noqa: BLE001 -- anything else is what is looked for
            found.append(f"{number}: {error!r:.200} {data[:200]!r}")
        if len(found) == _SHOWN:
            break
    return found


def test_the_shares_make_a_whole() -> None:
    """The number that is written down is the number that is run."""
    assert sum(parser.share for parser in PARSERS) == 1_000


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.name for parser in PARSERS])
def test_only_declared_errors_come_out(parser: Parser) -> None:
    """No parser can be made to fail in a way that nobody counts on."""
    assert broken(parser, RUNS * parser.share // 1_000) == []


@pytest.mark.parametrize("parser", PARSERS, ids=[parser.name for parser in PARSERS])
def test_what_is_right_is_read_and_what_is_mangled_is_refused(parser: Parser) -> None:
    """The samples get far enough to matter: some of what is made of them is still taken, where a parser refuses at
    all; and it refuses some."""
    taken = refused = 0
    for number in range(300):
        random = dice(parser, number)
        data = random.choice(parser.seeds) if number % 2 else mangled(parser.seeds, random)
        try:
            parser.read(data, random)
            taken += 1
        except parser.declared:
            refused += 1
    assert taken
    assert refused or not parser.declared
