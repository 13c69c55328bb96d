"""Cases as a file for `promtool test rules`, and what it says of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from programs import needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cases import Case

    Change = Callable[[dict[str, Any]], dict[str, Any]]

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "files" / "alerts.yaml"
FIRES, QUIET, ENDS = "fires", "stays quiet", "ends"
LOOKS = {"15s": "15s", "2m": "4m"}  # how often rules are evaluated, by how far samples are apart
GIVEN_BY_PROMETHEUS: dict[str, dict[str, str]] = {"RedactionGatewayAbsent": {}, "RedactionPodsMissing": {}}


def _unchanged(rule: dict[str, Any]) -> dict[str, Any]:
    return rule


def rules() -> list[dict[str, Any]]:
    """Every alert of the file."""
    return _rules("alert")


def _rules(kind: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def written(cases: Iterable[Case]) -> Iterator[dict[str, Any]]:
    for number, case in enumerate(cases):
        yield _test(case, f"{number} {case.alert} {FIRES}", case.fires, firing=True)
        for why, series in {**case.quiet, **_elsewhere(case)}.items():
            yield _test(case, f"{number} {case.alert} {QUIET}: {why}", series, firing=False)
        for why, series in case.ended.items():
            yield _test(case, f"{number} {case.alert} {ENDS}: {why}", series, firing=False, ever=False)


def _elsewhere(case: Case) -> dict[str, Mapping[str, str]]:
    """What is wrong with something else is not ours to tell."""
    if case.alert == "RedactionGatewayAbsent":  # that it is another's is what it is for
        return {}
    return {"another's": {name.replace("redaction-gateway", "other"): values for name, values in case.fires.items()}}


def _test(case: Case, name: str, series: Mapping[str, str], *, firing: bool, ever: bool = True) -> dict[str, Any]:
    # No alert has a label `test`: the name stands there because promtool names what failed by its expression.
    which = f'alertname="{case.alert}",alertstate="firing",severity="{case.severity}",test!="{name}"'
    selector = f"ALERTS{{{which}}}"
    given = GIVEN_BY_PROMETHEUS.get(case.alert, {"job": "redaction-gateway", "namespace": "desk"})
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": case.severity, **given, **case.labels}
    words = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    expected = [{"labels": f"ALERTS{{{words}}}", "value": 1}] if firing else []
    expr = f"max_over_time({selector}[{case.at}])" if ever and not firing else selector
    return {
        "name": name,
        "interval": case.step,
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": case.at, "exp_samples": expected}],
    }


def failures(cases: Sequence[Case], directory: Path, change: Change = _unchanged) -> set[str]:
    """The names of the tests that fail, with every alert as `change` makes it. Each alert is tried apart, with what is
    recorded for it: to try all of them with each case takes a hundred times as long."""
    every = list(written(cases))
    files = []
    for alert in {case.alert: case for case in cases}:
        chosen = [test for test in every if test["name"].split()[1] == alert]
        own = _own(alert, change)
        rule_file, file = directory / f"{alert}.yaml", directory / f"{alert}-test.yaml"
        rule_file.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": own}]}))
        content = {"rule_files": [rule_file.name], "evaluation_interval": LOOKS[chosen[0]["interval"]], "tests": chosen}
        file.write_text(yaml.safe_dump(content, width=10_000))
        files.append(file)
    return _failed(files)


def _own(alert: str, change: Change) -> list[dict[str, Any]]:
    """Its rules, and those that record what they ask for."""
    own = [change(rule) for rule in rules() if rule["alert"] == alert]
    asked = " ".join(rule["expr"] for rule in own)
    return [*(record for record in _rules("record") if record["record"] in asked), *own]


def _failed(files: list[Path]) -> set[str]:
    ran = subprocess.run(
        [needed("promtool"), "test", "rules", *files], capture_output=True, text=True, timeout=120, check=False
    )
    names = set(re.findall(r'test!=\\"(.*?)\\"', ran.stdout + ran.stderr))
    assert (ran.returncode == 0) == (not names), ran.stdout + ran.stderr
    return names
