"""Card numbers in text: found and masked. Pure, and linear in the length of the text.

A number is 13 to 19 digits of any script that pass the Luhn check; up to four characters that are neither letter
nor digit may stand between two of them (``4111 1111-1111.1111``, ``"4111", "1111"``).
"""

from __future__ import annotations

import re
import string
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST, LONGEST = 13, 19

_RUN = re.compile(r"\d(?:[\W_]{0,4}\d){12,}")
# The same in ASCII; what has it has as many digits without a letter between them, too, which is soon looked for: all
# digits made zeros, all letters spaces, and the rest left out.
_ASCII_RUN = re.compile(r"[0-9](?:[^0-9A-Za-z]{0,4}+[0-9]){12}")
_LETTERS, _DIGITS = string.ascii_letters.encode(), string.digits.encode()
_ALIKE = bytes.maketrans(_LETTERS + _DIGITS, b" " * len(_LETTERS) + b"0" * len(_DIGITS))
_OTHERS = bytes(set(range(128)).difference(_LETTERS, _DIGITS))
_MANY = b"0" * SHORTEST
_DIGIT = re.compile(r"\d")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def holds_card(text: str) -> bool:
    """`text` holds a card number that stands by itself: its first and last digit touch no other digit.

    For refusing input, where a false alarm costs a mute: a longer or shorter number that happens to contain a
    valid one is not refused, unless it has more digits in a row than any card number.
    """
    if len(text) < SHORTEST:  # nearly all are
        return False
    return any(_stands_alone(places, windows) for places, windows in _runs(text))


def scrub(text: str) -> str:
    """`text` with every digit masked that can belong to a card number, wherever in a longer number it begins.

    For output, where a missed number is a leak: numbers that only look like one are masked too.
    """
    letters = list(text)
    for places, windows in _runs(text):
        masked_to = 0
        for first, end in windows:
            if end > masked_to:  # the first window that ends here is the widest
                masked_to = end
                for at in places[first:end]:
                    letters[at] = "*"
    return "".join(letters)


def may_hold(text: str) -> bool:
    """Whether `text` has as many digits as a card number, near enough to each other: what has not holds none."""
    if text.isascii():
        return _MANY in text.encode().translate(_ALIKE, _OTHERS) and _ASCII_RUN.search(text) is not None
    return _RUN.search(text) is not None


def _runs(text: str) -> Iterator[tuple[list[int], Iterator[tuple[int, int]]]]:
    """For each run of digits that is long enough: their places, and the Luhn-valid windows (first, end) of it."""
    for run in _RUN.finditer(text):
        places = [digit.start() for digit in _DIGIT.finditer(text, run.start(), run.end())]
        yield places, _windows([int(text[at]) for at in places])


def _windows(digits: list[int]) -> Iterator[tuple[int, int]]:
    """Sums up to each place, once with every odd and once with every even digit doubled: a window is valid when
    the sum at its end is, but for tens, the one at its beginning."""
    columns = [_sums(digits, doubled) for doubled in (0, 1)]
    for end in range(SHORTEST, len(digits) + 1):
        column = columns[end % 2]  # the last digit is not doubled, the one before it is
        first = column.find(column[end], max(0, end - LONGEST), end - SHORTEST + 1)
        while first >= 0:
            yield first, end
            first = column.find(column[end], first + 1, end - SHORTEST + 1)


def _sums(digits: list[int], doubled: int) -> bytes:
    values = (_DOUBLED[digit] if at % 2 == doubled else digit for at, digit in enumerate(digits))
    return bytes(total % 10 for total in accumulate(values, initial=0))


def _stands_alone(places: list[int], windows: Iterator[tuple[int, int]]) -> bool:
    borders = _borders(places)
    return any(first in borders and end in borders for first, end in windows)


def _borders(places: list[int]) -> set[int]:
    """Where a number may begin or end: beside a separator, and anywhere among more digits than a card has."""
    gaps = [at for at, (left, right) in enumerate(pairwise(places), start=1) if right - left > 1]
    edges = [0, *gaps, len(places)]
    crowded = (range(first, end) for first, end in pairwise(edges) if end - first > LONGEST)
    return set(edges).union(*crowded)
