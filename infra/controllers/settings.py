"""What a stack file can say about the role controllers; without any provider's SDK, which `local` does not have."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from infra.core import names
from infra.core.settings import Settings


class OfficialChartsSettings(Settings):
    """Controllers by their official charts, at the versions that `infra.core.charts` pins."""

    kind: Literal["official-charts"]

    keep_crds: bool = True
    """Whether cert-manager's custom resource definitions, and so every certificate, outlive the stack. Helm leaves
    those of other charts behind in any case, but for KServe's, which go with the stack."""

    model_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = "models.internal"
    """Domain of the routes that KServe makes for model servers, inside of the cluster only."""

    runtimes: bool = False
    """Whether KServe's own model servers can be asked for; the loan-default model brings its own."""

    spark_namespaces: Sequence[names.DnsLabel] = (names.LOAN_DEFAULT,)
    """Namespaces in which Spark applications may run; empty installs no Spark operator."""


ControllersSettings = OfficialChartsSettings
