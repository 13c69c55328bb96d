"""The threat model names all six kinds of threat, and tests that are there."""

from __future__ import annotations

import re

import pytest
from readme import README, ROOT

MODEL = (ROOT / "THREAT_MODEL.md").read_text()
POLICY = (ROOT / "SECURITY.md").read_text()
KINDS = (
    "Spoofing",
    "Tampering",
    "Repudiation",
    "Information disclosure",
    "Denial of service",
    "Elevation of privilege",
)


def test_every_kind_of_threat_is_considered() -> None:
    """One row at least begins with each of the six."""
    assert [kind for kind in re.findall(r"^\| \*\*([A-Z][a-z ]+)\*\*", MODEL, re.MULTILINE) if kind in KINDS] == [
        *KINDS
    ]


def test_every_row_says_what_shows_it_and_what_is_left_to_the_operator() -> None:
    """Four cells, none of them empty, and the test files of the third exist."""
    rows = [line.strip("|").split("|") for line in MODEL.partition("## STRIDE")[2].splitlines() if line[:2] == "| "]
    for cells in rows[1:]:
        assert len(cells) == 4
        assert all(cell.strip() for cell in cells)
        named = re.findall(r"`(tests/[a-z_/]+\.py)`", cells[2])
        assert named
        assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("name", ["THREAT_MODEL.md", "SECURITY.md"])
def test_both_are_linked_from_the_first_page(name: str) -> None:
    """Who looks for them finds them."""
    assert f"]({name})" in README


def test_the_policy_says_how_to_report_what_counts_and_what_is_supported() -> None:
    """The three questions of somebody who has found something; links lead somewhere."""
    headings = re.findall(r"^## (.+)$", POLICY, re.MULTILINE)
    assert headings == ["Report a weakness", "What counts", "Supported versions", "How it is checked"]
    for target in re.findall(r"\]\(([A-Z_]+\.md)\)", POLICY + MODEL):
        assert (ROOT / target).is_file()


def test_the_model_fits_a_page() -> None:
    """What is longer is not read again."""
    assert len(MODEL.splitlines()) <= 80
