"""What a stack file can say about the role controllers; without any provider's SDK, which `local` does not have."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from infra.base import names
from infra.base.settings import Settings


class OfficialChartsSettings(Settings):
    """Controllers by their official charts, at the versions that `infra.kube.charts` pins."""

    kind: Literal["official-charts"]

    keep_crds: bool = True
    """Whether definitions of custom resources, and with them every certificate, model server and gateway of others,
    outlive the stack. With `false` cert-manager's and KServe's go with the stack; those of the other charts, which
    Helm never deletes, are deleted by `make down` on an existing cluster, unless objects of them are left."""

    model_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = "models.internal"
    """Domain of the routes that KServe makes for model servers, inside of the cluster only."""

    runtimes: bool = False
    """Whether KServe's own model servers can be asked for; workloads of this repository bring their own."""

    spark_namespaces: Sequence[names.DnsLabel] | None = None
    """Namespaces in which Spark applications may run; empty installs no Spark operator, None takes the workloads'."""


ControllersSettings = OfficialChartsSettings
