"""What a process shows of its metrics: each series with the workload as a label, and, until 2.0.0, by its former name.

Emitters count without either: a process is about one workload, which it knows once it has read its environment.
"""

from collections.abc import Callable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from workloads.lifecycle.base import metrics
from workloads.lifecycle.workload import Workload

COUNTED = CollectorRegistry()
"""Where the model server and the loops count."""


def show(workload: Workload) -> None:
    """Show what this process counts on the page that `prometheus_client` gives by default; once per process."""
    REGISTRY.register(_Shown(COUNTED, workload))


def shown(counted: CollectorRegistry, workload: Workload) -> CollectorRegistry:
    """The registry to write or push in place of `counted`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(counted, workload))
    return registry


class _Shown(Collector):
    def __init__(self, counted: CollectorRegistry, workload: Workload) -> None:
        self._counted = counted
        self._labels = {metrics.LABEL_WORKLOAD: workload.name}
        self._former = workload.former.metrics
        self._former_values = {
            metrics.UNKNOWN_ENTITY: "_".join(["unknown", *(each.name for each in workload.entities)])
        }

    def collect(self) -> Iterator[Metric]:
        for family in self._counted.collect():
            yield _renamed(family, "", "", lambda labels: labels | self._labels)
            if self._former and family.name.startswith(metrics.PREFIX):
                yield _renamed(family, metrics.PREFIX, self._former, self._with_former_values)

    def _with_former_values(self, labels: dict[str, str]) -> dict[str, str]:
        return {label: self._former_values.get(value, value) for label, value in labels.items()}


def _renamed(family: Metric, prefix: str, new: str, relabelled: Callable[[dict[str, str]], dict[str, str]]) -> Metric:
    """A copy with another prefix and other labels."""
    copy = Metric(new + family.name.removeprefix(prefix), family.documentation, family.type, family.unit)
    copy.samples = [
        sample._replace(name=new + sample.name.removeprefix(prefix), labels=relabelled(sample.labels))
        for sample in family.samples
    ]
    return copy
