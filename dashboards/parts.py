"""What both dashboards are made of: variables, selectors, and panels that always have a unit, thresholds where there is
a good and a bad, and a description of what to make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WELL, WARY, BAD = "green", "orange", "red"
Steps = tuple[tuple[float | None, str], ...]
PLAIN: Steps = ((None, "blue"),)
NONE_IS_WELL: Steps = ((None, WELL), (1, BAD))
ONE_IS_WELL: Steps = ((None, BAD), (1, WELL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`legend` is a template of Grafana: ``{{backend}}``."""

    expr: str
    legend: str


def ours(name: str, *matchers: str) -> str:
    """The series of the chosen gateways."""
    chosen = ", ".join(('namespace=~"$namespace"', 'job=~"$job"', *matchers))
    return f"{name}{{{chosen}}}"


def backends(name: str, *matchers: str) -> str:
    """Those of the chosen recorders."""
    return ours(name, 'backend=~"$backend"', *matchers)


def quantile(share: float, histogram: str, by: str = "") -> str:
    """`histogram` is a selector of its buckets; `by` other labels to keep."""
    kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(histogram, kept)})"


def rate(selector: str, by: str) -> str:
    return f"sum by ({by}) (rate({selector}[$__rate_interval]))"


def number(  # noqa: PLR0913 -- a panel has as many sides
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    steps: Steps = PLAIN,
    words: Mapping[str, tuple[str, str]] | None = None,
    empty: str = "no data",
    span: int = 4,
    height: int = 4,
    decimals: int | None = None,
) -> stat.Panel:
    """One value now. `words` shows values as words, each with its colour."""
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(looks.BigValueColorMode.BACKGROUND if len(steps) > 1 or words else looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .no_value(empty)
        .span(span)
        .height(height)
    )
    if len(queries) > 1 or "{{" in queries[0].legend:
        panel.text_mode(looks.BigValueTextMode.VALUE_AND_NAME)
    if decimals is not None:
        panel.decimals(decimals)
    if words is not None:
        panel.mappings([_mapping(words)])
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, letter).instant())
    return panel


def lines(
    title: str,
    text: str,
    *queries: Query,
    unit: str,
    steps: Steps = PLAIN,
    stacked: bool = False,
    most: float | None = None,
    span: int = 8,
) -> timeseries.Panel:
    """Values over time. Thresholds are drawn where there is a good and a bad."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .thresholds(_thresholds(steps))
        .fill_opacity(60 if stacked else 10)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .placement(looks.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .display_mode(looks.LegendDisplayMode.TABLE)
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .span(span)
        .height(8)
    )
    if len(steps) > 1:
        dashed = common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED)
        panel.thresholds_style(dashed)
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if most is not None:
        panel.max(most)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, letter).range())
    return panel


def board(*, uid: str, title: str, text: str, other: tuple[str, str]) -> dashboard.Dashboard:
    """An empty dashboard with the variables, and a link to the other one: its uid and its title."""
    link = dashboard.DashboardLink(other[1]).type(models.DashboardLinkType.LINK).url(f"/d/{other[0]}")
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["redaction-gateway"])
        .readonly()
        .refresh("10s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("namespace", "Namespace", "label_values(redaction_begun_total, namespace)"))
        .with_variable(_variable("job", "Job", 'label_values(redaction_begun_total{namespace=~"$namespace"}, job)'))
        .link(link.include_vars(True).keep_time(True))
    )


def backend_variable() -> dashboard.QueryVariable:
    return _variable("backend", "Recorder", f"label_values({ours('backend_circuit_open')}, backend)")


def written(built: dashboard.Dashboard) -> str:
    """The JSON, in the one form in which it is kept."""
    board = built.build()
    for number, panel in enumerate(board.panels or [], 1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2).encode(board) + "\n"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Everything is chosen at first, series without such a label included: outside Kubernetes there is no namespace."""
    everything = models.VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter).datasource(SOURCE)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _mapping(words: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    options = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return models.ValueMap(options=options)
