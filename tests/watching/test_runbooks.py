"""Every alert has a runbook and every runbook an alert; and what a runbook names is there."""

from __future__ import annotations

import re
import shlex
from functools import cache

import orjson
import pytest
from promtool import ROOT, rules
from readme import modules
from test_dashboards import process, registry

from dashboards.__main__ import FILES
from gateway import inventory
from gateway.audit.entry import EntryType
from gateway.cli.main import _parser

RUNBOOKS = ROOT / "docs" / "runbooks"
NAMES = sorted(file.stem for file in RUNBOOKS.glob("*.md"))


@cache
def text(name: str) -> str:
    """In one line, so that nothing is broken in two."""
    return " ".join((RUNBOOKS / f"{name}.md").read_text().split())


def quoted(name: str) -> set[str]:
    return {*re.findall(r"`([^`]+)`", text(name))}


def test_alerts_and_runbooks_belong_together() -> None:
    """Neither without the other."""
    assert {rule["alert"] for rule in rules()} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_is_in_form(name: str) -> None:
    """Name and severities of the alert; what it means; steps, numbered from 1; when it is over."""
    severities = {rule["labels"]["severity"] for rule in rules() if rule["alert"] == name}
    lines = (RUNBOOKS / f"{name}.md").read_text().splitlines()
    assert lines[0] == f"# {name}"
    bold = re.match(r"\*\*(.+)\*\* · [A-Z].+\.$", lines[2])
    assert bold is not None
    assert {*bold[1].split(", ")} == severities
    assert [line for line in lines if line.startswith("## ")] == ["## Do this, in order", "## It is over when"]
    steps = [int(found[1]) for line in lines if (found := re.match(r"(\d+)\. ", line))]
    assert steps == [*range(1, len(steps) + 1)]
    assert len(steps) > 2


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_taken(name: str) -> None:
    """By the program as it is."""
    for command in quoted(name):
        if command.startswith("redaction-gateway "):
            _parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_is_there(name: str) -> None:
    """Settings, events of the log, types of entries, metrics, panels, and other runbooks."""
    paths = {found.path for found in inventory.documented()}
    settings = paths | {path.rpartition(".")[0] for path in paths}
    source = "\n".join(body for _, body in modules())
    for word in quoted(name):
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", word):
            assert word in {*settings, *EntryType} or f'"{word}"' in source, word
        if re.fullmatch(r"(redaction|audit|store|backend)_[a-z_]+(\{.*\})?", word):
            assert word.partition("{")[0] in registry(), word
    for metric in re.findall(r"\b(\w+_(?:total|seconds))\b(?=\[)", text(name)):
        assert metric in {*registry(), *process()}, metric
    titles = [panel["title"] for file in FILES.iterdir() for panel in orjson.loads(file.read_bytes())["panels"]]
    for panel in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text(name)):
        assert any(title.startswith(panel) for title in titles), panel
    for link in re.findall(r"\]\((.+?)\)", text(name)):
        assert (RUNBOOKS / link).exists(), link
