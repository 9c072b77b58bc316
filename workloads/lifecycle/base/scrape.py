"""A process's own metrics page, read by name: what it counted since its start."""

from collections.abc import Collection, Iterator

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import trust

_SECONDS = 2.0


class Page:
    """The samples of one answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    @classmethod
    def of_model_server(cls, environment: Environment) -> "Page":
        """Ask the model server; of several replicas one answers. Raises WorkloadError."""
        url = httpx.URL(environment.need("model_url")).copy_with(path="/metrics")
        try:
            return cls(httpx.get(url, timeout=_SECONDS, verify=trust()).raise_for_status().text)
        except httpx.HTTPError as error:
            raise WorkloadError(f"the model server's metrics at {url}: {error}") from error

    def total(self, name: str, label: str = "", values: Collection[str] = ()) -> float:
        """Sum of a metric's samples, of those only whose `label` has one of `values` when a label is given."""
        return sum(sample.value for sample in self._of(name) if not label or sample.labels.get(label) in values)

    def by(self, name: str, label: str) -> dict[str, float]:
        """A metric's values by one of its labels."""
        return {sample.labels[label]: sample.value for sample in self._of(name)}

    def labels(self, name: str, value: float) -> list[dict[str, str]]:
        """The labels of each sample of a metric that has a value."""
        return [sample.labels for sample in self._of(name) if sample.value == value]

    def _of(self, name: str) -> Iterator[Sample]:
        return (sample for sample in self._samples if sample.name == name)
