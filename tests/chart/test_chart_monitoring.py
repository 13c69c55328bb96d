"""Alerts and dashboards go from the chart's files into the cluster as they are, however many there are."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from charts import CHART, SETS, changed, from_tree, objects, template, values
from looks import component, gateway, of_kind
from verdicts import JUDGES

if TYPE_CHECKING:
    from pathlib import Path

RULE = {"alert": "Unprotected", "expr": "x > 5", "annotations": {"summary": "{{ $labels.backend }} is at {{ $value }}"}}
BOARD = '{"title": "Floor", "uid": "floor", "text": "{{backend}} {{ .Values }} ↑"}\n'


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy without alerts and dashboards."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    shutil.rmtree(copy / "files", ignore_errors=True)
    (copy / "files" / "dashboards").mkdir(parents=True)
    return copy


def test_files_become_objects(chart: Path) -> None:
    """One object a file, with the contents that the file has: what Prometheus and Grafana fill in is left alone."""
    groups = [{"name": "protection", "rules": [RULE]}]
    for name in ("alerts", "alerts-burn"):
        (chart / "files" / f"{name}.yaml").write_text(yaml.safe_dump({"groups": groups}))
    for name in ("floor", "engineer"):
        (chart / "files" / "dashboards" / f"{name}.json").write_text(BOARD)
    (chart / "files" / "other.yaml").write_text("a: b\n")
    ran = template(SETS["full"], chart=chart)
    assert ran.code == 0, ran.err
    found = objects(ran.out)
    rules = of_kind(found, "PrometheusRule")
    assert {rule["metadata"]["name"] for rule in rules} == {
        "rgw-redaction-gateway-alerts",
        "rgw-redaction-gateway-alerts-burn",
    }
    assert all(rule["spec"]["groups"] == groups and rule["metadata"]["labels"]["release"] for rule in rules)
    boards = component(found, "dashboard", "ConfigMap")
    assert [list(board["data"].items()) for board in boards] == [[("engineer.json", BOARD)], [("floor.json", BOARD)]]
    for board in boards:
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["metadata"]["annotations"] == {"grafana_folder": "Telephony"}
    assert {judge: list(sees(found)) for judge, sees in JUDGES.items()} == {judge: [] for judge in JUDGES}


@pytest.mark.parametrize("renamed", [{"nameOverride": "mute"}, {"fullnameOverride": "mute"}])
def test_alerts_know_what_is_called_otherwise(renamed: dict[str, str], tmp_path: Path) -> None:
    """Another name of the objects changes neither the job that all rules look at, nor which pods are counted."""
    ran = from_tree(values("full") | renamed, tmp_path)
    assert ran.code == 0, ran.err
    found = objects(ran.out)
    assert list(JUDGES["promise"](found)) == []
    (rules,) = of_kind(found, "PrometheusRule")
    exprs = [rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    (counted,) = {name for expr in exprs for name in re.findall(r'(?:statefulset|deployment)=~"(.+?)"', expr)}
    name = gateway(found)["metadata"]["name"]
    assert re.fullmatch(counted, name)
    assert re.fullmatch(counted, f"{name}-valkey")
    assert not re.fullmatch(counted, "another")


@pytest.mark.parametrize(("seconds", "limit"), [(1, 100), (0.5, 100), (30, 130), (1.5, 102)])
def test_seals_may_be_as_late_as_they_are_made(seconds: float, limit: int, tmp_path: Path) -> None:
    """A larger `audit.seal_seconds` is no alarm by itself."""
    ran = from_tree(changed(values("full"), config__audit={"seal_seconds": seconds}), tmp_path)
    assert ran.code == 0, ran.err
    (rules,) = of_kind(objects(ran.out), "PrometheusRule")
    every = [rule for group in rules["spec"]["groups"] for rule in group["rules"]]
    (stale,) = [rule["expr"] for rule in every if rule.get("alert") == "RedactionSealStale"]
    assert stale.endswith(f" > {limit}")


def test_no_files_no_objects(chart: Path) -> None:
    found = objects(template(SETS["full"], chart=chart).out)
    assert of_kind(found, "PrometheusRule") == component(found, "dashboard", "ConfigMap") == []


def test_a_file_without_alerts_is_refused(chart: Path) -> None:
    """An empty PrometheusRule would look as if somebody watched."""
    (chart / "files" / "alerts.yaml").write_text("rules: []\n")
    ran = template(SETS["full"], chart=chart)
    assert "files/alerts.yaml has no groups" in ran.err


@pytest.mark.parametrize("board", ["{}", '{"uid": "floor"}'])
def test_a_planted_empty_dashboard_is_found(board: str, chart: Path) -> None:
    (chart / "files" / "dashboards" / "floor.json").write_text(board)
    found = objects(template(SETS["full"], chart=chart).out)
    assert list(JUDGES["promise"](found)) == ["floor.json is no dashboard"]


def test_the_files_that_come_along_are_whole() -> None:
    """Every dashboard that ships is JSON, below what one ConfigMap takes."""
    for file in (CHART / "files").rglob("*.json"):
        assert json.loads(file.read_text())["title"]
        assert file.stat().st_size < 1_000_000
