"""What the guides for operators and CRM makers say is what the code does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.metrics import MetricWrapperBase
from readme import PAGES, modules, prose, words

from gateway import inventory
from gateway.metrics import Metrics
from gateway.model import Vendor
from gateway.store.node import FIT, GUARD
from gateway.web.problems import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATING, CRM = PAGES["docs/operating.md"], PAGES["docs/crm.md"]
SECTIONS = ("listen", "policy", "audit", "tokens", "tracing")  # an event of the log may begin with "store", too
LEVELS = {"warning": "warning", "error": "error", "exception": "error", "critical": "error"}


def rows(page: str, heading: str) -> list[list[str]]:
    text = re.split(rf"^#+ {heading}\n", page, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table
    return [re.split(r"\s*(?<!\\)\|\s*", line.strip("| ")) for line in table[0].splitlines()[2:]]


def alarms() -> Iterator[tuple[str, str]]:
    """Every event that some module logs as a warning or worse, with its level."""
    text = "\n".join(body for _, body in modules())
    names = dict(re.findall(r'^([A-Z_]+) = "([a-z]+\.[a-z_]+)"', text, re.MULTILINE))
    for level, said in re.findall(r"_(?:log|audit)\.(warning|error|exception|critical)\(\s*([^,)]+)", text):
        for event in re.findall(r'"([a-z]+\.[a-z_]+)"', said) or [names[said.strip()]]:
            yield event, LEVELS[level]


def test_every_alarm_in_the_log_is_explained() -> None:
    """With its level, a meaning and what to do; and none that nothing logs."""
    told = rows(OPERATING, "Log alarms")
    assert sorted((words(row[0])[0], row[1]) for row in told) == sorted(set(alarms()))
    assert all(len(row) == 4 and all(row) for row in told)


def test_store_settings_are_those_that_are_asked_for() -> None:
    """Names and values."""
    told = {words(row[0])[0]: words(row[1])[0] for row in rows(OPERATING, "Store settings") if words(row[0])}
    assert told == {**FIT, GUARD: "1"}


def test_every_status_has_its_line_for_the_agent() -> None:
    """All that a problem can be, and the two that are none."""
    told = {int(status) for row in rows(CRM, "What the agent sees") for status in re.findall(r"`(\d{3})`", row[0])}
    assert told == {200, 202} | {status for kind in KINDS.values() for status in (kind.status, kind.also) if status}


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/crm.md", "docs/trail.md"])
def test_settings_and_metrics_that_are_named_exist(page: str) -> None:
    """Under the names that they have."""
    paths = {found.path for found in inventory.documented()}
    named = {word.partition(":")[0] for word in words(prose(PAGES[page]))}
    settings = {word for word in named if re.fullmatch(rf"({'|'.join(SECTIONS)})\.[a-z_.]+", word)}
    assert [word for word in settings if not any(f"{path}.".startswith(f"{word}.") for path in paths)] == []
    registry = Metrics({"pbx": Vendor.VOIPNOW}, version="1").registry
    metrics = {
        name
        for collector, names in registry._collector_to_names.items()
        if isinstance(collector, MetricWrapperBase)
        for name in names
    }
    told = {
        word for word in named if re.fullmatch(r"(redaction|backend|certificate|certificates|keys|auth)_[a-z_]+", word)
    }
    assert settings | told
    assert told <= metrics
