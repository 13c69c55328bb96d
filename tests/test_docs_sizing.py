"""The sums of the sizing page are right, so that whoever changes an assumption can trust the rules."""

from __future__ import annotations

import math
import re

import pytest
from readme import PAGES

PAGE = PAGES["docs/sizing.md"]
SECONDS_A_DAY = 86_400
PODS_CALLS = 70
KB_AN_ENTRY = 1.12


def rows(heading: str) -> dict[str, list[str]]:
    text = re.split(rf"^## {heading}\n", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    cells = [re.split(r"\s*\|\s*", line.strip("| \n")) for line in table[0].splitlines()[2:]]
    return {re.sub(r"[`()]", "", row[0]): row[1:] for row in cells}


def number(said: str) -> float:
    share = said.endswith("%")
    value = float(said.replace(",", "").removesuffix("%"))
    return value / 100 if share else value


COSTS = rows("What one thing costs")
REGION = {name: number(cells[0]) for name, cells in rows("On paper: 100,000 agents in five regions").items()}


def spent(column: int) -> float:
    """Of all that happens in a second in the busiest hour."""
    mute, unmute, get, look = (number(cells[column]) for cells in COSTS.values())
    return REGION["mutes a second"] * (mute + unmute + 2 * get) + REGION["looks a second"] * look


def test_a_region_is_what_follows_from_its_assumptions() -> None:
    """Each row that has a rule, to the digits that it shows."""
    calls = REGION["agents"] * REGION["busy"] / REGION["length of a call, s"]
    average = calls * REGION["calls with a card"]
    mutes = average * REGION["busiest over average"]
    assert REGION["agents"] * 5 == 100_000
    assert REGION["mutes a second"] == round(mutes)
    assert REGION["open at a time"] == round(mutes * REGION["muted for, s"])
    assert REGION["looks a second"] == round(REGION["open at a time"] / 4.5)
    assert REGION["cores"] == round(spent(0) / 1000, 1)
    assert REGION["pods"] == math.ceil(spent(0) / 1000 / 0.5) + 1
    assert REGION["calls of the store a second"] == round(spent(1) + PODS_CALLS * REGION["pods"], -2)
    assert REGION["entries a day"] == pytest.approx(average * 4 * SECONDS_A_DAY, rel=0.01)
    week = REGION["store's memory for a week of them, GB"]
    assert week == round(REGION["entries a day"] * 7 * KB_AN_ENTRY * 1000 / 1e9)


def test_one_store_carries_what_the_page_says() -> None:
    """A region by its calls, and as many mutes or looks as are named."""
    found = re.search(r"\*\*([\d,]+) calls a second\*\*, .* ([\d,]+) times a second, or\s+([\d,]+) looks", PAGE)
    assert found
    most, mutes, looks = (number(said) for said in found.groups())
    mute, unmute, get, look = (number(cells[1]) for cells in COSTS.values())
    assert mutes * (mute + unmute + 2 * get) <= most
    assert looks * look <= most
    assert REGION["calls of the store a second"] < most
