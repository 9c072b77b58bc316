"""What a stack consists of: the substrate, on it one realization of every role, the workloads, and the outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

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
from infra.core.paths import CHECKOUT
from infra.core.substrate import Local, Substrate
from infra.host import HostProvider, Supervisor
from infra.platform import Platform
from stacks import outputs
from stacks.settings import LocalStack, LocalSubstrateSettings, StackSettings, search_path
from workloads.loan_default.component import LoanDefault, LoanDefaultArgs
from workloads.loan_default.start_page.component import StartPage, StartPageArgs


def declare(settings: StackSettings, folder: Path, path: Callable[[], str] = search_path) -> None:
    """The whole stack: platform, workloads, start page, outputs; arguments as `build` takes them."""
    platform, opts = build(settings, folder, path)
    loan_default = LoanDefault("loan-default", LoanDefaultArgs(settings=settings.loan_default, platform=platform), opts)
    platform.monitoring.start_alerting()
    endpoints = outputs.endpoints(platform, loan_default)
    page = StartPage("start-page", StartPageArgs(compute=platform.compute, probed=endpoints, links=endpoints), opts)
    outputs.export(endpoints, page, loan_default)


def build(
    settings: StackSettings, folder: Path, path: Callable[[], str] = search_path
) -> tuple[Platform, pulumi.ResourceOptions]:
    """The platform, and the options with which workloads are put onto it.

    `folder`: where a local stack keeps everything; `path`: gives the PATH of its processes.
    """
    match settings:
        case LocalStack():
            return _on_this_machine(settings, folder, path())
        case _:
            assert_never(settings)


def _on_this_machine(settings: LocalStack, folder: Path, path: str) -> tuple[Platform, pulumi.ResourceOptions]:
    provider = HostProvider("host", root=str(folder))
    substrate = _local(settings.substrate, provider, path)
    opts = pulumi.ResourceOptions(providers=[provider])
    return _platform(settings, substrate, opts), opts


def _local(settings: LocalSubstrateSettings, provider: HostProvider, path: str) -> Substrate:
    supervisor = Supervisor("supervisor", search_path=path, opts=pulumi.ResourceOptions(provider=provider))
    return Local(
        supervisor=supervisor,
        checkout=CHECKOUT,
        python=str(CHECKOUT / ".venv" / "bin" / "python"),
        search_path=path,
        keep_data=settings.keep_data,
    )


def _platform(settings: StackSettings, substrate: Substrate, opts: pulumi.ResourceOptions) -> Platform:
    artifacts = artifact_store.build("artifact-store", settings.artifact_store, substrate, opts)
    online = online_store.build("online-store", settings.online_store, substrate, opts)
    identities = identity.build("identity", settings.identity, substrate, opts)
    sql = database.build("database", settings.database, substrate, opts)
    return Platform(
        credentials=credentials.build("credentials", settings.credentials, substrate, opts),
        database=sql,
        artifact_store=artifacts,
        online_store=online,
        feature_store=feature_store.build(
            "feature-store",
            settings.feature_store,
            substrate,
            feature_store.Stores(artifacts=artifacts, online=online, database=sql, identity=identities),
            opts,
        ),
        tracking=tracking.build(
            "tracking",
            settings.tracking,
            substrate,
            tracking.Stores(artifacts=artifacts, database=sql, identity=identities),
            opts,
        ),
        pipelines=pipelines.build("pipelines", settings.pipelines, substrate, opts),
        policy_server=policy_server.build("policy-server", settings.policy_server, substrate, opts),
        monitoring=monitoring.build("monitoring", settings.monitoring, substrate, opts),
        compute=compute.build("compute", settings.compute, substrate, identities, opts),
        serving=serving.build("serving", settings.serving, substrate, identities, opts),
    )
