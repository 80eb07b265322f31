"""What the seven dashboards are made of: queries, panels, variables, annotations, links.

Built with Grafana's own foundation SDK for Grafana 11, in InfluxQL, which InfluxDB 1.8, 2.x and 3.x
all answer. The SDK checks types and almost nothing else; `tests/dashboards` checks the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model

SOURCE: Final = model.DataSourceRef(type_val="influxdb", uid="${datasource}")
TAG: Final = "forewarn"
CLUSTER: Final = '"cluster" =~ /^$cluster$/'
NAMESPACE: Final = '"namespace" =~ /^$namespace$/'
WORKLOAD: Final = '"workload" =~ /^$workload$/'
NODE: Final = '"node" =~ /^$node$/'
LABEL_NAMES: Final = r"/\w+=/g"
EVERY: Final = "$timeFilter GROUP BY time($__interval)"

# Okabe and Ito's colours: told apart by people who see red and green alike.
BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
RED: Final = "#D55E00"
GREEN: Final = "#009E73"
GREY: Final = "#8E8E8E"
SEVERITY: Final[Mapping[str, str]] = {"critical": RED, "warning": ORANGE, "info": BLUE}


class Query(Dataquery):
    """An InfluxQL query of a panel."""

    def __init__(self, text: str, alias: str = "", *, is_table: bool = False) -> None:
        self.text = " ".join(text.split())
        self.alias = alias
        self.is_table = is_table
        self.ref = "A"

    def to_json(self) -> dict[str, object]:
        """Return Grafana's form of it."""
        return {
            "refId": self.ref,
            "datasource": SOURCE,
            "rawQuery": True,
            "query": self.text,
            "alias": self.alias,
            "resultFormat": "table" if self.is_table else "time_series",
        }


class _Ready(Builder[Dataquery]):
    """A query as the SDK wants to be given one."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def build(self) -> Dataquery:
        """Return the query."""
        return self._query


def rows(text: str) -> Query:
    """Return a query whose answer is a table."""
    return Query(text, is_table=True)


def lines(
    title: str,
    *queries: Query,
    about: str,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    bars: bool = False,
    colours: Mapping[str, str] | None = None,
    floor: float | None = 0,
    gap: float = 1.0,
) -> timeseries.Panel:
    """Return a panel of lines, or of stacked bars, over time; `gap`: hours that a line bridges."""
    panel: timeseries.Panel = _panel(timeseries.Panel(), title, queries, about, width, height)
    panel.unit(unit).span_nulls(gap * 3_600_000).show_points(look.VisibilityMode.NEVER).line_width(
        2
    )
    panel.legend(
        common.VizLegendOptions()
        .display_mode(look.LegendDisplayMode.LIST)
        .placement(look.LegendPlacement.BOTTOM)
        .show_legend(True)
    ).tooltip(
        common.VizTooltipOptions()
        .mode(look.TooltipDisplayMode.MULTI)
        .sort(look.SortOrder.DESCENDING)
    )
    if floor is not None:
        panel.min(floor)
    if bars:
        panel.draw_style(look.GraphDrawStyle.BARS).fill_opacity(70).line_width(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [_colour(colour)])
    if any("$tag_label" in query.alias for query in queries):
        # A metric's labels are one tag, `name=value,…`: a legend needs the values only.
        plain = {"regex": LABEL_NAMES, "renamePattern": ""}
        panel.with_transformation(model.DataTransformerConfig("renameByRegex", options=plain))
    return panel


def band(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw P10 to P90 as a band, the limit as a dashed step, what was expected as a thin line."""
    invisible = [model.DynamicConfigValue("custom.lineWidth", 0), _colour(BLUE)]
    return (
        panel.override_by_name("measured", [_colour(GREEN)])
        .override_by_name("P10", invisible)
        .override_by_name(
            "P90",
            [
                *invisible,
                model.DynamicConfigValue("custom.fillBelowTo", "P10"),
                model.DynamicConfigValue("custom.fillOpacity", 20),
            ],
        )
        .override_by_name("P50", [_colour(BLUE), model.DynamicConfigValue("custom.lineWidth", 1)])
        .override_by_name(
            "limit",
            [
                _colour(RED),
                model.DynamicConfigValue("custom.lineInterpolation", "stepAfter"),
                model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
            ],
        )
    )


def number(
    title: str,
    *queries: Query,
    about: str,
    unit: str = "short",
    width: int = 4,
    height: int = 4,
    reduce: str = "lastNotNull",
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),),
    none: str = "0",
    shift: str | None = None,
) -> stat.Panel:
    """Return a panel of one number each; `steps` colour it from a value on."""
    panel: stat.Panel = _panel(stat.Panel(), title, queries, about, width, height)
    panel.unit(unit).no_value(none).graph_mode(look.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs([reduce]))
    panel.color_mode(look.BigValueColorMode.VALUE).thresholds(_thresholds(steps))
    if shift is not None:
        panel.time_shift(shift)
    return panel


def gauges(
    title: str,
    *queries: Query,
    about: str,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    most: int = 0,
) -> bargauge.Panel:
    """Return a panel of horizontal bars, one per series; `most`: the longest of them, in order."""
    panel: bargauge.Panel = _panel(bargauge.Panel(), title, queries, about, width, height)
    panel.unit(unit).min(0).orientation(look.VizOrientation.HORIZONTAL)
    panel.display_mode(look.BarGaugeDisplayMode.GRADIENT).thresholds(_thresholds(((None, BLUE),)))
    if not most:
        return panel.reduce_options(common.ReduceDataOptions().calcs(["sum"]))
    total = {"reducers": ["sum"], "mode": "seriesToRows"}
    panel.with_transformation(model.DataTransformerConfig("reduce", options=total))
    order = {"sort": [{"field": "Total", "desc": True}]}
    panel.with_transformation(model.DataTransformerConfig("sortBy", options=order))
    return panel.reduce_options(common.ReduceDataOptions().values(True).limit(most).calcs([]))


def listing(
    title: str,
    query: Query,
    *,
    about: str,
    width: int = 24,
    height: int = 9,
    units: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    sort: tuple[str, bool] | None = None,
) -> table.Panel:
    """Return a table; `units` and `links` by column, `sort` by column and whether descending."""
    panel: table.Panel = _panel(table.Panel(), title, [query], about, width, height)
    panel.filterable(True)
    for column, unit in (units or {}).items():
        panel.override_by_name(column, [model.DynamicConfigValue("unit", unit)])
    for column, url in (links or {}).items():
        link = {"title": f"open {column}", "url": url, "targetBlank": True}
        panel.override_by_name(column, [model.DynamicConfigValue("links", [link])])
    if sort is not None:
        by = common.TableSortByFieldState().display_name(sort[0]).desc(sort[1])
        panel.sort_by([by])
    return panel


def heat(title: str, query: Query, *, about: str, width: int = 12, height: int = 9) -> Any:
    """Return a heat map: a row per series, a column per interval."""
    panel: heatmap.Panel = _panel(heatmap.Panel(), title, [query], about, width, height)
    return panel.calculate(False).show_legend()


def states(
    title: str,
    *queries: Query,
    about: str,
    steps: Sequence[tuple[float | None, str]],
    unit: str = "percent",
    width: int = 24,
    height: int = 9,
) -> statetimeline.Panel:
    """Return a state timeline: a row per series, coloured by `steps`."""
    panel: statetimeline.Panel = _panel(statetimeline.Panel(), title, queries, about, width, height)
    return (
        panel.unit(unit)
        .merge_values(True)
        .show_value(look.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(steps))
    )


def board(
    uid: str,
    title: str,
    about: str,
    variables: Sequence[Builder[Any]],
    ahead: str = "",
    *,
    panels: Sequence[Builder[Any]] = (),
) -> dashboard.Dashboard:
    """Return a dashboard with what all have; `ahead`: how far into the future it looks."""
    made = (
        dashboard.Dashboard(title)
        .uid(f"forewarn-{uid}")
        .description(about)
        .tags([TAG])
        .timezone("browser")
        .time("now-24h", f"now+{ahead}" if ahead else "now")
        .refresh("1m")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("dashboards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .link(
            dashboard.DashboardLink("console")
            .type(model.DashboardLinkType.LINK)
            .url("${console}")
            .target_blank(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("data source").type("influxdb")
        )
    )
    for variable in variables:
        made.with_variable(variable)
    made.with_variable(
        dashboard.TextBoxVariable("console").label("console").default_value("http://127.0.0.1:8080")
    )
    for annotation in ANNOTATIONS:
        made.annotation(annotation)
    for panel in panels:
        made.with_panel(panel)
    return made


def choice(
    name: str, measurement: str, where: str = "", *, several: bool = True, label: str = ""
) -> dashboard.QueryVariable:
    """Return a variable with the values of the tag `name`, one or several or all of them."""
    query = f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{name}"'
    made = (
        dashboard.QueryVariable(name)
        .label(label or name)
        .datasource(SOURCE)
        .query(query + (f" WHERE {where}" if where else ""))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    return made.multi(True).include_all(True).all_value(".*") if several else made


def options(name: str, values: Sequence[str], chosen: str = "") -> dashboard.CustomVariable:
    """Return a variable with values of ours; none chosen: all of them, by ``.*``."""
    made = dashboard.CustomVariable(name)
    if chosen:
        current = model.VariableOption(selected=True, text=chosen, value=chosen)
        return made.values(",".join(values)).current(current)
    current = model.VariableOption(selected=True, text="all", value=".*")
    return made.values(",".join(("all : .*", *values))).current(current)


CLUSTERS: Final = choice("cluster", "node")
NAMESPACES: Final = choice("namespace", "container", CLUSTER)
WORKLOADS: Final = choice("workload", "container", f"{CLUSTER} AND {NAMESPACE}")
NODES: Final = choice("node", "node", CLUSTER)


class _Annotation(model.AnnotationQuery):
    """An annotation by InfluxQL, which the SDK has no model of."""

    def __init__(self, name: str, query: str, colour: str, *, end: str = "") -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=colour)
        self._columns = {"textColumn": "summary", "tagsColumn": "tag", "timeEndColumn": end}
        self._query = query

    def to_json(self) -> dict[str, object]:
        """Return Grafana's form of it."""
        target = {
            "refId": "Anno",
            "rawQuery": True,
            "resultFormat": "table",
            "query": self._query,
            **self._columns,
        }
        return {**super().to_json(), "target": target, "fromAnnotations": True, **self._columns}


class _ReadyAnnotation(Builder[model.AnnotationQuery]):
    def __init__(self, annotation: _Annotation) -> None:
        self._annotation = annotation

    def build(self) -> model.AnnotationQuery:
        return self._annotation


ANNOTATIONS: Final = (
    _ReadyAnnotation(
        _Annotation(
            "incidents",
            'SELECT "summary", "severity" AS "tag", "ended_ms" FROM "incident" '
            f"WHERE {CLUSTER} AND $timeFilter",
            RED,
            end="ended_ms",
        )
    ),
    _ReadyAnnotation(
        _Annotation(
            "changes",
            'SELECT "summary", "rule" AS "tag" FROM "change" '
            f"""WHERE {CLUSTER} AND "rule" <> 'config-change' AND $timeFilter""",
            BLUE,
        )
    ),
    _ReadyAnnotation(
        _Annotation(
            "node conditions",
            'SELECT "summary", "rule" AS "tag" FROM "finding" WHERE '
            f"""{CLUSTER} AND "rule" =~ /^node-(not-ready|pressure|taint)$/ AND $timeFilter""",
            ORANGE,
        )
    ),
)


def _panel(panel: Any, title: str, queries: Sequence[Query], about: str, w: int, h: int) -> Any:
    for ref, query in zip("ABCDEFGHIJ", queries, strict=False):
        query.ref = ref
        panel.with_target(_Ready(query))
    return panel.title(title).description(about).datasource(SOURCE).span(w).height(h)


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    made = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def _colour(colour: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
