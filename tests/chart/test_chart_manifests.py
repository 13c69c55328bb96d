"""The chart as helm renders it: whole, valid, safe, and with faults that are found."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from charts import CHART, ROOT, SETS, objects, rendered, run
from looks import gateway, of_kind
from planted import FAULTS, kind
from verdicts import JUDGES

import gateway as product

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATES = "\n".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())


@pytest.mark.parametrize("name", SETS)
def test_lint_is_content(name: str) -> None:
    """Helm has nothing to say against the chart with any of its value sets."""
    ran = run("lint", "--strict", "--quiet", "--values", SETS[name], CHART)
    assert (ran.code, ran.out.strip()) == (0, ""), ran.out + ran.err


@pytest.mark.parametrize("name", SETS)
def test_no_judge_finds_a_fault(name: str) -> None:
    """Valid for Kubernetes 1.34 with no unknown field, nothing against level restricted, every promise kept."""
    found = objects(rendered(name))
    assert {judge: list(sees(found)) for judge, sees in JUDGES.items()} == {judge: [] for judge in JUDGES}


def test_the_sets_show_every_template() -> None:
    """No template is left out of what the judges see, the alerts' and dashboards' apart, whose files are looked at
    where they are planted."""
    sources = set(re.findall(r"^# Source: [^/]+/(.*)$", "".join(map(rendered, SETS)), re.MULTILINE))
    there = {str(file.relative_to(CHART)) for file in (CHART / "templates").rglob("*.yaml")}
    assert sources == there


def test_two_releases_do_not_meet() -> None:
    """No name and no selector of one release is one of another in the same namespace."""
    ran = run("template", "other", CHART, "--values", SETS["full"])
    ours, others = objects(rendered("full")), objects(ran.out)
    names = [{(item["kind"], item["metadata"]["name"]) for item in found} for found in (ours, others)]
    assert {item for item in names[0] & names[1] if item[0] != "ServiceAccount"} == set()
    labels = gateway(others)["spec"]["template"]["metadata"]["labels"]
    for service in of_kind(ours, "Service"):
        assert not service["spec"]["selector"].items() <= labels.items()


def test_no_secret_hangs_on_what_is_there() -> None:
    """`lookup` finds nothing in a dry run or with another tool: what it guards would be made anew, or deleted."""
    assert not re.search(r"\blookup\b", TEMPLATES)
    assert not re.search(r"^kind: Secret$", TEMPLATES, re.MULTILINE)
    assert not re.search(r"\b(rand\w+|gen\w*(Cert|Key|CA)\w*|now|uuidv4)\b", TEMPLATES)


def test_rendering_is_repeatable() -> None:
    """The same values make the same bytes: nothing rolls that did not change."""
    assert run("template", "rgw", CHART, "--values", SETS["full"]).out == rendered("full")


def test_versions_are_the_projects() -> None:
    """The chart runs the gateway that it came with, and asks for a cluster that has what it uses."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"] == product.__version__
    assert (chart["name"], chart["description"]) == (project["name"], project["description"])
    assert chart["kubeVersion"] == ">=1.30.0-0"
    old = run("template", "rgw", CHART, "--values", SETS["small"], "--kube-version", "1.29.9")
    assert old.code != 0
    assert "kubeVersion" in old.err


def test_it_packs(tmp_path: Path) -> None:
    """The package has all that is rendered from, nothing of what only helps to work on it, and renders the same."""
    assert run("package", CHART, "--destination", tmp_path).code == 0
    (package,) = tmp_path.glob("*.tgz")
    assert package.name == f"redaction-gateway-{product.__version__}.tgz"
    ran = run("template", "rgw", package, "--values", SETS["full"])
    assert ran.out == rendered("full")
    shown = run("show", "all", package).out
    assert "# What the chart is told." in shown
    assert "helm install" in shown


@pytest.mark.parametrize("name", SETS)
def test_the_next_step_is_told(name: str) -> None:
    """After the installation it says how to see whether it works, and what is missing before anybody can call."""
    ran = run("install", "rgw", CHART, "--namespace", "telephony", "--dry-run=client", "--values", SETS[name])
    assert ran.code == 0, ran.err
    notes = ran.out.split("\nNOTES:\n")[1]
    assert "helm --namespace telephony test rgw" in notes
    assert ("keys new --client" in notes) is (name != "full")
    assert ("Nobody reaches the API" in notes) is (name == "small")
    assert ("trial Valkey" in notes) is (name == "trial")


# ── faults that are planted ──


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """The judge whose business it is sees the fault that was put into the rendered objects."""
    judge, plant = FAULTS[name]
    found = objects(rendered("full"))
    plant(found)
    assert list(JUDGES[judge](found))


@pytest.mark.parametrize(("place", "value"), [(3, "everysec"), (5, "allkeys-lru"), (1, "no")])
def test_a_forgetful_trial_store_is_found(place: int, value: str) -> None:
    """The chart's own Valkey is held to what the gateway asks of a store."""
    found = objects(rendered("trial"))
    kind(found, "StatefulSet", "valkey")["spec"]["template"]["spec"]["containers"][0]["args"][place] = value
    assert [fault for fault in JUDGES["promise"](found) if "forgets" in fault]
