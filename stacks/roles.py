"""One realization of every role, each made when somebody first asks for it: the order follows from what needs what."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

import pulumi

from infra import (
    artifact_store,
    compute,
    credentials,
    database,
    feature_store,
    identity,
    monitoring,
    online_store,
    pipelines,
    policy_server,
    serving,
    tracking,
)
from infra.artifact_store import ArtifactStore
from infra.compute import Compute
from infra.credentials import Credentials
from infra.database import Database
from infra.exposure import Exposure
from infra.feature_store import FeatureStore
from infra.identity import Identity
from infra.monitoring import Monitoring
from infra.online_store import OnlineStore
from infra.pipelines import Pipelines
from infra.platform import Platform
from infra.policy_server import PolicyServer
from infra.serving import Serving
from infra.substrate import Substrate
from infra.tracking import Tracking
from stacks import outputs
from stacks.settings import StackSettings

TRACKING_SERVER = "workloads.lifecycle.registry.tracking_server:app"
"""MLflow's server with a login, for a stack on this machine."""

ORDER = tuple(field.name for field in fields(Platform))
"""In which they are asked for; any other gives the same stack."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles of a stack, by the names of `Platform`."""

    settings: StackSettings

    substrate: Substrate
    """Servers and stores stand on it."""

    workloads: Mapping[str, Substrate]
    """By name of the workload, where stands what it asks compute and serving for."""

    exposure: Exposure

    opts: pulumi.ResourceOptions

    @property
    def first(self) -> str:
        """Name of the default workload, whose compute and serving have the roles' own names."""
        return self.settings.definitions[self.settings.default].name

    def platform(self) -> Platform:
        """All of them."""
        return Platform(**{role: getattr(self, role) for role in ORDER})

    def platforms(self) -> dict[str, Platform]:
        """The same as each workload sees it, by name."""
        platform = self.platform()
        return {
            name: platform
            if name == self.first
            else replace(platform, compute=self._compute(f"{name}-", name), serving=self._serving(f"{name}-", name))
            for name in self.workloads
        }

    def _compute(self, prefix: str, workload: str) -> Compute:
        substrate = self.workloads[workload]
        return compute.build(f"{prefix}compute", self.settings.compute, substrate, self.identity, self.opts)

    def _serving(self, prefix: str, workload: str) -> Serving:
        substrate = self.workloads[workload]
        return serving.build(f"{prefix}serving", self.settings.serving, substrate, self.identity, self.opts)

    @cached_property
    def compute(self) -> Compute:
        """That of the default workload."""
        return self._compute("", self.first)

    @cached_property
    def serving(self) -> Serving:
        """That of the default workload."""
        return self._serving("", self.first)

    @cached_property
    def own_compute(self) -> Compute:
        """That of the platform's own servers."""
        return compute.build("platform-compute", self.settings.compute, self.substrate, self.identity, self.opts)

    @cached_property
    def identity(self) -> Identity:
        """How tasks prove who they are."""
        return identity.build("identity", self.settings.identity, self.substrate, self.opts)

    @cached_property
    def credentials(self) -> Credentials:
        """What draws passwords and tokens."""
        return credentials.build("credentials", self.settings.credentials, self.substrate, self.opts)

    @cached_property
    def database(self) -> Database:
        """The SQL database."""
        return database.build("database", self.settings.database, self.substrate, self.opts)

    @cached_property
    def artifact_store(self) -> ArtifactStore:
        """The store of objects, for the workloads of the stack."""
        names = [each.name for each in self.settings.definitions.values()]
        return artifact_store.build("artifact-store", self.settings.artifact_store, self.substrate, names, self.opts)

    @cached_property
    def _registries(self) -> dict[str, str]:
        """By Feast project, the name of its registry's database."""
        return {
            each.module_name: each.former.registry or f"{each.name}-feature-registry"
            for each in self.settings.definitions.values()
        }

    @cached_property
    def online_store(self) -> OnlineStore:
        """Of the workloads' Feast projects."""
        projects = [*self._registries]
        return online_store.build("online-store", self.settings.online_store, self.substrate, projects, self.opts)

    @cached_property
    def feature_store(self) -> FeatureStore:
        """Of the workloads' Feast projects."""
        stores = feature_store.Stores(
            artifacts=self.artifact_store,
            online=self.online_store,
            database=self.database,
            identity=self.identity,
            registries=self._registries,
        )
        return feature_store.build("feature-store", self.settings.feature_store, self.substrate, stores, self.opts)

    @cached_property
    def tracking(self) -> Tracking:
        """Runs and the registry of models."""
        stores = tracking.Stores(artifacts=self.artifact_store, database=self.database, identity=self.identity)
        return tracking.build(
            "tracking",
            self.settings.tracking,
            self.substrate,
            stores,
            self.opts,
            app=TRACKING_SERVER,
            hosts=self.exposure.hosts(outputs.TRACKING),
        )

    @cached_property
    def pipelines(self) -> Pipelines:
        """What runs the stages."""
        stores = pipelines.Stores(artifacts=self.artifact_store, database=self.database, identity=self.identity)
        return pipelines.build("pipelines", self.settings.pipelines, self.substrate, stores, self.opts)

    @cached_property
    def policy_server(self) -> PolicyServer:
        """What judges releases."""
        return policy_server.build("policy-server", self.settings.policy_server, self.substrate, self.opts)

    @cached_property
    def monitoring(self) -> Monitoring:
        """Metrics and alerts."""
        secrets = self.settings.secrets_of_receivers
        return monitoring.build("monitoring", self.settings.monitoring, self.substrate, self.opts, secrets)
