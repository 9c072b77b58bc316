"""What a stack file can say about the role pipelines; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.settings import LoopbackPort, Settings
from infra.database.settings import MysqlOnKubernetesSettings, RdsMysqlSettings
from infra.namespaces.settings import Quota


class KfpInProcessSettings(Settings):
    """`kfp.local`: the process that starts a pipeline runs its stages as child processes; there is no server."""

    kind: Literal["kfp-in-process"]


class AirflowOnHostSettings(Settings):
    """Apache Airflow on this machine; its tasks start the stages as processes. Installs 130 packages of its own."""

    kind: Literal["airflow-on-host"]

    port: LoopbackPort | None = None
    """Port of its pages and API; None takes a free one at the first `up` and keeps it."""

    concurrent_stages: Annotated[int, Field(ge=1, le=16)] = 2
    """Stages, of all workloads together, that run at once; each of its workers keeps 108 MB."""


class _Kfp(Settings):
    """Kubeflow Pipelines standalone, in a namespace of its own, where pipelines' steps run as well."""

    quota: Quota = Quota()
    """What KFP and all steps that run at once may use."""

    workflow_ttl_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    """Seconds after its end at which a run's pods and their logs are deleted; what KFP knows of the run stays."""


class KfpOnKubernetesSettings(_Kfp):
    """Kubeflow Pipelines standalone, in a namespace of its own, where pipelines' steps run as well."""

    kind: Literal["kfp-on-kubernetes"]

    mysql: MysqlOnKubernetesSettings = MysqlOnKubernetesSettings()
    """A server for what KFP knows of pipelines and runs."""


class KfpOnAwsSettings(_Kfp):
    """Kubeflow Pipelines standalone with what it knows on RDS and its artifacts on S3, without keys."""

    kind: Literal["kfp-on-aws"]

    mysql: RdsMysqlSettings = RdsMysqlSettings()
    """A server for what KFP knows of pipelines and runs."""


HostPipelinesSettings = Annotated[KfpInProcessSettings | AirflowOnHostSettings, Field(discriminator="kind")]
"""On this machine."""

PipelinesSettings = Annotated[KfpInProcessSettings | KfpOnKubernetesSettings, Field(discriminator="kind")]
"""On any cluster."""

AwsPipelinesSettings = Annotated[
    KfpInProcessSettings | KfpOnKubernetesSettings | KfpOnAwsSettings, Field(discriminator="kind")
]
"""On AWS."""
