"""The platform as its workloads see it: one realization of every role."""

from dataclasses import dataclass

from infra.artifact_store import ArtifactStore
from infra.compute import Compute
from infra.credentials import Credentials
from infra.database import Database
from infra.feature_store import FeatureStore
from infra.monitoring import Monitoring
from infra.online_store import OnlineStore
from infra.pipelines import Pipelines
from infra.policy_server import PolicyServer
from infra.serving import Serving
from infra.tracking import Tracking


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One realization of every role; which one is the stack file's choice."""

    credentials: Credentials
    database: Database
    artifact_store: ArtifactStore
    online_store: OnlineStore
    feature_store: FeatureStore
    tracking: Tracking
    pipelines: Pipelines
    policy_server: PolicyServer
    monitoring: Monitoring
    compute: Compute
    serving: Serving
