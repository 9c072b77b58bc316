"""Grafana dashboards as what they show, and those about the cluster itself: its GPUs and what is asked of its nodes.

Built with Grafana's own SDK, so that a wrong key fails here and not on a page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="prometheus")
"""The data source that kube-prometheus-stack's Grafana has."""
COLUMNS, PANEL_HEIGHT, PANELS_IN_A_ROW = 24, 8, 3
REFRESH, SHOWN = "30s", "now-6h"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot over time."""

    title: str

    unit: str
    """Grafana's name of the unit, e.g. `s`, `percentunit`, `reqps`, `short`.
    Source: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options/#unit"""

    queries: Sequence[tuple[str, str]]
    """PromQL and the legend of its series, `{{label}}` stands for a label's value."""

    description: str = ""

    limit: float | None = None
    """Value above which it is bad; drawn as a line."""

    floor: float | None = None
    """Value below which it is bad; drawn as a line. A panel has a limit or a floor."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str

    panels: Sequence[Panel]


def render(uid: str, title: str, rows: Sequence[Row]) -> str:
    """Grafana's JSON of a dashboard; the same rows give the same text."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["mlplatform"])
        .readonly()
        .refresh(REFRESH)
        .time(SHOWN, "now")
        .timezone("utc")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for row in rows:
        made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True).encode(made.build())


def _panel(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATASOURCE)
        .unit(panel.unit)
        .span(COLUMNS // PANELS_IN_A_ROW)
        .height(PANEL_HEIGHT)
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for number, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        made.with_target(query)
    line = panel.limit if panel.limit is not None else panel.floor
    if line is not None:
        below, above = ("green", "red") if panel.limit is not None else ("red", "green")
        made.thresholds(
            dashboard.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=None, color=below), models.Threshold(value=line, color=above)])
        ).thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE))
    return made


def cluster() -> str:
    """What is asked of the nodes, what is used, and what the GPUs do.

    Metrics of kube-state-metrics, of the nodes, and of NVIDIA's DCGM exporter.
    Source: https://github.com/NVIDIA/dcgm-exporter/blob/main/etc/default-counters.csv
    """
    gpus = 'kube_pod_container_resource_requests{resource="nvidia_com_gpu"}'
    return render(
        "mlplatform-cluster",
        "mlplatform: cluster and GPUs",
        [
            Row(
                title="GPUs",
                panels=[
                    Panel(
                        title="Utilisation",
                        unit="percent",
                        queries=[("avg by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)", "{{Hostname}} {{gpu}}")],
                        description="A GPU that is paid for and idle is what the alert of its pool speaks of.",
                    ),
                    Panel(
                        title="GPUs: there, asked for",
                        unit="short",
                        queries=[
                            ('sum(kube_node_status_allocatable{resource="nvidia_com_gpu"})', "allocatable"),
                            (f"sum({gpus})", "requested"),
                        ],
                    ),
                    Panel(
                        title="Memory used",
                        unit="decmbytes",
                        queries=[("DCGM_FI_DEV_FB_USED", "{{Hostname}} {{gpu}}")],
                    ),
                ],
            ),
            Row(
                title="Nodes",
                panels=[
                    Panel(
                        title="CPU asked for, of what there is",
                        unit="percentunit",
                        queries=[(_share("cpu"), "{{node}}")],
                        limit=0.9,
                    ),
                    Panel(
                        title="Memory asked for, of what there is",
                        unit="percentunit",
                        queries=[(_share("memory"), "{{node}}")],
                        limit=0.9,
                    ),
                    Panel(
                        title="Pods that wait for a node",
                        unit="short",
                        queries=[('sum by (namespace) (kube_pod_status_phase{phase="Pending"})', "{{namespace}}")],
                    ),
                ],
            ),
            Row(
                title="Quotas",
                panels=[
                    Panel(
                        title="Used of each namespace's quota",
                        unit="percentunit",
                        queries=[
                            (
                                (
                                    'kube_resourcequota{type="used"} / ignoring(type) '
                                    '(kube_resourcequota{type="hard"} > 0)'
                                ),
                                "{{namespace}} {{resource}}",
                            )
                        ],
                        limit=0.9,
                    ),
                    Panel(
                        title="Volumes: used",
                        unit="percentunit",
                        queries=[
                            (
                                "kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes",
                                "{{namespace}} {{persistentvolumeclaim}}",
                            )
                        ],
                        limit=0.85,
                    ),
                ],
            ),
        ],
    )


def _share(resource: str) -> str:
    asked = f'sum by (node) (kube_pod_container_resource_requests{{resource="{resource}"}})'
    return f'{asked} / sum by (node) (kube_node_status_allocatable{{resource="{resource}"}})'
