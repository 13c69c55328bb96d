"""The report as one HTML file that needs nothing else: no network, no script, no font, no image."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.cards import scrub
from gateway.report import pci, words
from gateway.report.calls import Outcome
from gateway.report.worst import MOST

if TYPE_CHECKING:
    from gateway.report.paper import Paper


SECTIONS = (
    ("summary", "Summary"),
    ("mutes", "Mutes"),
    ("exposure", "Exposure"),
    ("troubles", "Failed and late mutes"),
    ("forgotten", "Forgotten redactions"),
    ("drift", "Drift"),
    ("triggers", "Triggers"),
    ("controls", "Control failures"),
    ("keys", "Keys"),
    ("denied", "Denied access"),
    ("changes", "Changes"),
    ("entries", "Entries"),
    ("verification", "Verification"),
    ("pci", "PCI DSS"),
    ("method", "How this was made"),
)
OUTCOMES = {
    Outcome.PROVEN: "every recorder, in time",
    Outcome.LATE: "every recorder, but too late",
    Outcome.FAILED: "some recorder was not proven silent",
    Outcome.WAITED: "the call that was to come did not",
    Outcome.NO_CALL: "no recorder knew the call",
    Outcome.OVERTAKEN: "an unmute came first",
    Outcome.CUT_OFF: "the gateway ended before it could say",
}


def render(paper: Paper) -> str:
    """No number that could be a card's is in it, wherever it came from."""
    style = files("gateway.report").joinpath("page.css").read_text()
    page = _environment().get_template("page.html")
    found = page.render(
        paper=paper, rows=pci.rows(paper), style=style, sections=SECTIONS, outcomes=OUTCOMES.items(), most=MOST
    )
    return scrub(found)


def _shown(value: object) -> object:
    """Letters that cannot be seen, or that turn the line around, are shown as such."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join("\ufffd" if unicodedata.category(letter).startswith("C") else letter for letter in value)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gateway.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "time": words.time,
        "exact": words.exact,
        "brief": words.brief,
        "number": words.number,
        "svg": Markup,
    }
    made.globals |= {"share": words.share}
    return made
