"""What every stack file on a cluster says, wherever the cluster runs."""

from typing import ClassVar, Self

from pydantic import model_validator

from infra.admission.settings import AdmissionSettings
from infra.base.settings import Secret
from infra.compute.settings import ComputeOnKubernetesSettings
from infra.controllers.settings import ControllersSettings
from infra.credentials.settings import RandomCredentialsSettings
from infra.feature_store.settings import FeastOnKubernetesSettings
from infra.monitoring.settings import PrometheusOnKubernetesSettings
from infra.namespaces.settings import NamespacesSettings
from infra.policy_server.settings import OpaOnKubernetesSettings
from infra.serving.settings import KserveOnKubernetesSettings
from infra.tracking.settings import MlflowOnKubernetesSettings
from policies.settings import PolicySettings
from stacks.alert_settings import AlertsSettings
from stacks.workload_settings import refuse_files_of_this_machine


class ClusterStack(AlertsSettings):
    """One block per role whose realization runs in the cluster, and one per workload."""

    reads_files_of_this_machine: ClassVar[bool] = False

    admission: AdmissionSettings
    controllers: ControllersSettings
    namespaces: NamespacesSettings
    credentials: RandomCredentialsSettings
    feature_store: FeastOnKubernetesSettings
    tracking: MlflowOnKubernetesSettings
    policy_server: OpaOnKubernetesSettings
    monitoring: PrometheusOnKubernetesSettings
    compute: ComputeOnKubernetesSettings
    serving: KserveOnKubernetesSettings
    policies: PolicySettings = PolicySettings()
    login_client_secret: Secret | None = None
    """Secret of the client at the login's provider, where exposure has one: `pulumi config set --secret`."""

    @property
    def on_cluster(self) -> Self:
        """The stack, for commands about clusters; None in a stack without one."""
        return self

    @property
    def region(self) -> str | None:
        """The cloud's region that the stack is in; None where it is in no cloud that the stack knows."""
        return None

    @property
    def kubernetes_version(self) -> str | None:
        """The version of Kubernetes that the stack file names, e.g. `1.36`; None where it names none."""
        return None

    @model_validator(mode="after")
    def _no_file_of_this_machine(self) -> Self:
        return refuse_files_of_this_machine(self)
