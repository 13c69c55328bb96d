"""The dashboards are what their code says, whole, readable, and miss no metric."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.metrics import MetricWrapperBase
from promtool import ROOT, RULES

from dashboards.__main__ import ALL, FILES
from dashboards.parts import written
from gateway.metrics import Metrics
from gateway.model import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = sorted(ALL)
WIDTH = 24
# What process_* has beyond it that nobody needs to look at.
JUSTIFIED = {"process_virtual_memory_bytes": "reserved, not used: what is used is the resident part"}
FOREIGN = {"up", "ALERTS"}
FOREIGN |= {"kube_statefulset_status_replicas_available", "kube_statefulset_replicas"}
FOREIGN |= {"kube_deployment_status_replicas_available", "kube_deployment_spec_replicas"}


def board(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((FILES / name).read_bytes())
    return found


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def exprs() -> Iterator[str]:
    """Every expression of dashboards and alerts."""
    for name in NAMES:
        yield from (target["expr"] for panel in panels(name) for target in panel["targets"])
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_the_code_draws(name: str) -> None:
    """`make dashboards` would change nothing; and no other file is there."""
    assert (FILES / name).read_text() == written(ALL[name]()), "run make dashboards"
    assert {file.name for file in FILES.iterdir()} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_grafana_reads_the_file_as_it_was_meant(name: str) -> None:
    """Read by the types of Grafana's schema and written again it is the same: no field has a name of ours."""
    read = Dashboard.from_json(board(name))
    assert orjson.loads(JSONEncoder().encode(read)) == board(name)


@pytest.mark.parametrize("name", NAMES)
def test_panels_do_not_overlap(name: str) -> None:
    """Each has its own place on a grid 24 wide, rows included, which has no holes; and its own number."""
    taken: set[tuple[int, int]] = set()
    for panel in board(name)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["w"] > 0
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == WIDTH * (1 + max(y for _, y in taken))
    numbers = [panel["id"] for panel in board(name)["panels"]]
    assert len(numbers) == len({*numbers})


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_can_be_read(name: str) -> None:
    """A title of its own, a description, a unit, and a name for every line; thresholds, or one
    colour for all."""
    titles = [panel["title"] for panel in panels(name)]
    assert len(titles) == len({*titles})
    for panel in panels(name):
        fields = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith((".", ":"))
        assert fields["unit"]
        assert fields["thresholds"]["steps"]
        assert panel["targets"]
        assert all(target["legendFormat"] for target in panel["targets"])
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len({*letters})


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_there_and_used(name: str) -> None:
    """Data source, namespace, job and recorder; no query asks for another, none asks another data source."""
    variables = {one["name"] for one in board(name)["templating"]["list"]}
    assert variables == {"datasource", "namespace", "job", "backend"}
    text = (FILES / name).read_text()
    assert {*re.findall(r"\$\{?([a-z]\w*)", text)} == variables
    sources = [target["datasource"]["uid"] for panel in panels(name) for target in panel["targets"]]
    assert {*sources} == {"${datasource}"}


def test_the_dashboards_lead_to_each_other() -> None:
    uids = {board(name)["uid"] for name in NAMES}
    links = {link["url"].removeprefix("/d/") for name in NAMES for link in board(name)["links"]}
    assert links == uids
    assert len(uids) == len(NAMES)


def registry() -> dict[str, tuple[str, ...]]:
    """Every metric by the names of its series, with its labels."""
    metrics = Metrics({"pbx": Vendor.VERBA}, version="1", certificates=["listen.tls.certificate"])
    found: dict[str, tuple[str, ...]] = {}
    for collector, names in metrics.registry._collector_to_names.items():
        labels = collector._labelnames if isinstance(collector, MetricWrapperBase) else ()
        for name in names:
            if not name.endswith("_created"):
                found[name] = tuple(labels)
    return found


def named() -> set[str]:
    """Every name that stands before a selector, or in a function, in any expression."""
    text = " ".join(exprs())
    return {*re.findall(r"\b([a-zA-Z_]\w*)(?=\{)", text)}


def test_every_metric_is_looked_at() -> None:
    """By a panel or an alert: what nobody looks at need not be counted."""
    seen = {re.sub(r"_(bucket|count|sum|total|info)$", "", name) for name in named()}
    there = {re.sub(r"_(bucket|count|sum|total|info)$", "", name) for name in [*registry(), *process()]}
    assert there - seen == JUSTIFIED.keys()


def process() -> set[str]:
    metrics = Metrics({}, version="1")
    return {*re.findall(r"^(process_\w+) ", metrics.render().body.decode(), re.MULTILINE)}


def test_no_expression_asks_for_what_is_not_there() -> None:
    """Names and labels: a selector that matches nothing looks like all is well."""
    known = registry() | dict.fromkeys(process(), ())
    given = {"namespace", "job", "instance", "le"}
    for expr in exprs():
        for name, matchers in re.findall(r"\b([a-zA-Z_]\w*)\{(.*?)\}", expr):
            if name in FOREIGN:
                continue
            assert name in known, expr
            assert {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\"", matchers)} <= {*known[name]} | given, expr


def test_make_writes_them() -> None:
    """The target that the first test tells of."""
    assert "-m dashboards" in (ROOT / "Makefile").read_text()
