"""Card numbers in text are found and masked, whatever stands between their digits."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards import _RUN, LONGEST, SHORTEST, holds_card, may_hold, scrub

# Published test numbers of the card schemes, 13 to 19 digits.
NUMBERS = [
    "4222222222222",
    "30569309025904",
    "378282246310005",
    "4111111111111111",
    "5555555555554444",
    "6304000000000000000",
]

SEPARATORS = [
    " ",
    "-",
    ".",
    "/",
    "_",
    "\u00a0",
    "\u2009",
    "\u200b",
    ",",
    "+",
    ":",
    "|",
    "\n",
    "\t",
    " - ",
    '","',
    '", "',
]


def luhn(digits: str) -> bool:
    """The check as it is told to people: from the right, every second digit twice, digits of the sum."""
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return sum(sum(divmod(value, 10)) for value in doubled) % 10 == 0


def completed(digits: str) -> str:
    return next(digits + last for last in "0123456789" if luhn(digits + last))


cards = st.text("0123456789", min_size=SHORTEST - 1, max_size=LONGEST - 1).map(completed)
separators = st.sampled_from(["", *SEPARATORS])
words = st.text(st.characters(categories=["L"]), min_size=1, max_size=5)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_every_length_are_found_and_masked_whole(number: str) -> None:
    """Every digit goes: the last four are as telling as the rest in a text that may be kept."""
    assert holds_card(number)
    assert scrub(f"card {number}.") == f"card {'*' * len(number)}."


@pytest.mark.parametrize("number", NUMBERS)
def test_a_wrong_check_digit_is_no_card(number: str) -> None:
    """A mute must not be refused for any long number."""
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not holds_card(wrong)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_separators_do_not_hide_a_number(separator: str) -> None:
    """Between groups of four, and between all digits."""
    for text in (separator.join(re.findall("....", NUMBERS[3])), separator.join(NUMBERS[3])):
        assert holds_card(text)
        assert scrub(text) == re.sub(r"\d", "*", text)


@pytest.mark.parametrize("zero", ["０", "٠", "०", "\U0001d7ce"])
def test_digits_of_other_scripts_are_digits(zero: str) -> None:
    """Full-width, Arabic, Devanagari and mathematical ones; also mixed with ASCII."""
    foreign = "".join(chr(ord(zero) + int(digit)) for digit in NUMBERS[3])
    assert unicodedata.digit(foreign[0]) == 4
    for text in (foreign, foreign[:8] + NUMBERS[3][8:]):
        assert holds_card(text)
        assert scrub(text) == "*" * 16


@pytest.mark.parametrize("text", ["", "none", "123456789012", "4111 1111 1111", "4111x1111x1111x1111", "a1" * 40])
def test_texts_without_a_long_number_stay_as_they_are(text: str) -> None:
    """Too few digits, or letters between them."""
    assert not holds_card(text)
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T09:00:00.123456Z", "a8343631-9f35-4a3a-83f0-9e81592339fb", "00:1A:2B:3C:4D:5E", "10.0.0.1:8080"],
)
def test_times_ids_and_addresses_of_everyday_are_no_cards(text: str) -> None:
    """What most log lines hold."""
    assert scrub(text) == text


def test_a_number_beside_other_numbers_is_found() -> None:
    """Separators are ignored, so a neighbour joins the run; the number still stands by itself in it."""
    assert holds_card(f"17 {NUMBERS[3]}")
    assert holds_card(f"{NUMBERS[3]}-2029-123")
    assert holds_card(f"{NUMBERS[3]} {NUMBERS[2]}")


def test_a_number_glued_to_more_digits_is_masked_but_not_refused() -> None:
    """Masking prefers the false alarm, refusing the miss."""
    glued = next(str(lead) + NUMBERS[3] for lead in range(1, 10) if not luhn(str(lead) + NUMBERS[3]))
    assert not holds_card(glued)
    assert "*" * 16 in scrub(glued)


@given(st.text("0123456789", max_size=12), cards, st.text("0123456789", max_size=12))
def test_a_number_within_more_digits_than_any_card_has_is_found(before: str, card: str, after: str) -> None:
    """Twenty digits and more cannot be one number, so every place is a place where one may begin."""
    text = before + card + after
    assert holds_card(text) or (len(text) <= LONGEST and text != card)
    assert card not in scrub(text)


@given(words, cards, separators, words)
def test_any_card_with_any_separator_is_found_in_any_text(before: str, card: str, separator: str, after: str) -> None:
    """Found by both, and nothing but its digits is touched."""
    text = f"{before}{separator.join(card)}{after}"
    assert holds_card(text)
    assert scrub(text) == re.sub(r"\d", "*", text)


@given(st.text(st.sampled_from("0123456789٣ -.x"), max_size=120))
def test_nothing_that_could_be_a_card_is_left(text: str) -> None:
    """Against the definition, slowly: no window of 13 to 19 digits in what is left is valid."""
    left = scrub(text)
    assert len(left) == len(text)
    assert not holds_card(left)
    for run in re.findall(r"\d(?:[\W_]{0,4}\d)*", left):
        digits = "".join(str(int(letter)) for letter in run if letter.isdigit())
        for size in range(SHORTEST, LONGEST + 1):
            windows = (digits[at : at + size] for at in range(len(digits) - size + 1))
            assert not any(map(luhn, windows))


@given(st.text("0123456789", min_size=SHORTEST, max_size=LONGEST))
def test_a_number_by_itself_is_a_card_exactly_when_luhn_says_so(digits: str) -> None:
    """Compared with the check in its plain form."""
    assert holds_card(digits) == luhn(digits)


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    """Whatever passes two chains reads the same."""
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize("unit", ["7", "1 ", "123456789012x", "1-2_3.4     ", "x", "4111111111111111 "])
def test_work_grows_with_the_text_and_not_faster(unit: str) -> None:
    """A long hostile text: the number of windows looked at is bounded by its length, and it ends."""
    text = (unit * 65_536)[:65_536]
    assert len(scrub(text)) == 65_536
    assert holds_card(text) in {True, False}


@given(st.text(st.sampled_from('000111222345678901- .,_:/"\n\u00a0\u0663aZ'), max_size=60))
def test_what_may_hold_a_number_is_seen_by_the_quick_look_as_well(text: str) -> None:
    """In ASCII another pattern looks first, which lets nothing pass that the full one finds."""
    assert may_hold(text) == (_RUN.search(text) is not None)
    assert may_hold(text) or scrub(text) == text


@pytest.mark.parametrize("count", [SHORTEST - 1, SHORTEST, LONGEST])
@pytest.mark.parametrize("width", [0, 1, 4, 5])
def test_the_quick_look_knows_every_character_between_digits(count: int, width: int) -> None:
    """Each of ASCII by itself, so many of them, between so many digits."""
    for letter in map(chr, range(128)):
        text = f"a{(letter * width).join('1' * count)}b"
        assert may_hold(text) == (_RUN.search(text) is not None)
