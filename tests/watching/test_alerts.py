"""Every alert fires when it has to and stays quiet when it must; and its cases would notice if it did not."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cases import CASES
from programs import needed
from promtool import FIRES, QUIET, ROOT, RULES, failures, rules, written

if TYPE_CHECKING:
    from pathlib import Path


def test_the_rules_are_valid() -> None:
    """Expressions and templates, as Prometheus itself reads them."""
    ran = subprocess.run([needed("promtool"), "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SUCCESS" in ran.stdout


def test_every_alert_has_cases() -> None:
    """Of each name and severity one that fires and one that does not."""
    there = {(rule["alert"], rule["labels"]["severity"]) for rule in rules()}
    assert {(case.alert, case.severity) for case in CASES} == there
    assert all(case.fires and case.quiet for case in CASES)


@pytest.mark.pci("10.7")
def test_what_wakes_somebody_is_told_within_a_minute() -> None:
    """Of which Prometheus needs 15 s to look, as the chart tells it, and as long to think, as every group tells it: its
    own default is a minute. The objective is about hours, and waits for nothing."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        critical = [rule for rule in group["rules"] if rule.get("labels", {}).get("severity") == "critical"]
        assert {rule.get("for", "0s") for rule in critical} <= {"0s", "15s", "30s"}
        assert group.get("interval") == (None if group["name"] == "redaction-objective" else "15s"), group["name"]
    values = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text())["metrics"]
    assert {values[monitor]["interval"] for monitor in ("serviceMonitor", "podMonitor")} == {"15s"}


@pytest.mark.pci("8.3.4", "10.6", "10.7", "12.10.7")
def test_alerts_fire_and_stay_quiet(tmp_path: Path) -> None:
    """All cases, by `promtool test rules`."""
    assert failures(CASES, tmp_path) == set()


@pytest.mark.parametrize(("expr", "kind"), [("vector(0) > 1", FIRES), ("vector(1)", QUIET)])
def test_cases_notice(tmp_path: Path, expr: str, kind: str) -> None:
    """An alert that never fires fails every case that has to fire, one that always does every other one."""
    there = {test["name"] for test in written(CASES) if kind in test["name"]}
    assert failures(CASES, tmp_path, lambda rule: {**rule, "expr": expr}) >= there


def without(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if name != "for"}


def test_cases_notice_a_wait_that_is_gone(tmp_path: Path) -> None:
    """Of every alert that waits, one case stays quiet only because it waits."""
    waiting = {(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "for" in rule}
    cases = [case for case in CASES if (case.alert, case.severity) in waiting]
    found = [cases[int(name.split()[0])] for name in failures(cases, tmp_path, without)]
    assert {(case.alert, case.severity) for case in found} == waiting


def test_where_it_is_is_told_by_the_pods_name() -> None:
    """An address alone has to be looked up first; where there are no pods the label is not there."""
    by = [groups.split(", ") for rule in rules() for groups in re.findall(r"by \((.*?)\)", rule["expr"])]
    assert {"pod" in labels for labels in by if "instance" in labels} == {True}


def test_every_alert_says_what_to_do() -> None:
    """A severity, a summary, a description, a runbook that is there, a dashboard that is there."""
    uids = {re.search(r'"uid": "(redaction-[a-z]+)"', file.read_text())[1] for file in DASHBOARDS.glob("*.json")}  # type: ignore[index]
    for rule in rules():
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        notes = rule["annotations"]
        assert notes.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
        assert notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
        assert notes["dashboard_url"].removeprefix("/d/") in uids


DASHBOARDS = ROOT / "helm" / "files" / "dashboards"
