"""What a stack consists of: the substrate, on it one realization of every role, the workloads, and the outputs."""

from dataclasses import dataclass
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
from infra.exposure import Exposure
from infra.exposure.direct import Direct
from infra.host import HostProvider, Supervisor
from infra.platform import Platform
from stacks import outputs
from stacks.aws_settings import AwsStack
from stacks.settings import KubernetesStack, LocalStack, LocalSubstrateSettings, StackSettings
from stacks.surroundings import Surroundings
from workloads.loan_default.component import LoanDefault, LoanDefaultArgs
from workloads.loan_default.start_page.component import StartPage, StartPageArgs


@dataclass(frozen=True, kw_only=True)
class Base:
    """What workloads are put onto."""

    platform: Platform

    opts: pulumi.ResourceOptions
    """With which workloads are made: they name the providers."""

    exposure: Exposure

    kubeconfig: pulumi.Output[str] | None = None
    """How the stack's cluster is reached, where there is one; secret."""


def declare(settings: StackSettings, surroundings: Surroundings) -> None:
    """The whole stack: platform, workloads, start page, outputs."""
    base = build(settings, surroundings)
    platform, opts = base.platform, base.opts
    loan_default = LoanDefault("loan-default", LoanDefaultArgs(settings=settings.loan_default, platform=platform), opts)
    platform.monitoring.start_alerting()
    probed = outputs.endpoints(platform, loan_default)
    links = outputs.links(probed, base.exposure)
    page = StartPage("start-page", StartPageArgs(compute=platform.compute, probed=probed, links=links), opts)
    outputs.export(links, base, page, loan_default)


def build(settings: StackSettings, surroundings: Surroundings) -> Base:
    """The platform on the substrate that the stack file names."""
    match settings:
        case LocalStack():
            return _on_this_machine(settings, surroundings)
        case KubernetesStack():
            return _on_a_cluster(settings, surroundings)
        case AwsStack():
            return _on_aws(settings, surroundings)
        case _:
            assert_never(settings)


def _on_this_machine(settings: LocalStack, surroundings: Surroundings) -> Base:
    provider = HostProvider("host", root=str(surroundings.folder))
    substrate = _local(settings.substrate, provider, surroundings.path())
    opts = pulumi.ResourceOptions(providers=[provider])
    exposure = Direct()
    platform = _platform(settings, substrate, substrate, exposure, opts)
    return Base(platform=platform, opts=opts, exposure=exposure)


def _local(settings: LocalSubstrateSettings, provider: HostProvider, path: str) -> Substrate:
    supervisor = Supervisor("supervisor", search_path=path, opts=pulumi.ResourceOptions(provider=provider))
    return Local(
        supervisor=supervisor,
        checkout=CHECKOUT,
        python=str(CHECKOUT / ".venv" / "bin" / "python"),
        search_path=path,
        keep_data=settings.keep_data,
    )


def _on_a_cluster(settings: KubernetesStack, surroundings: Surroundings) -> Base:
    from stacks.cluster import substrates  # noqa: PLC0415  needs SDKs that `local` does not have

    made = substrates(settings, surroundings)
    return Base(
        platform=_platform(settings, made.platform, made.workloads, made.exposure, made.opts),
        opts=made.opts,
        exposure=made.exposure,
        kubeconfig=made.kubeconfig,
    )


def _on_aws(settings: AwsStack, surroundings: Surroundings) -> Base:
    from stacks.aws import substrates  # noqa: PLC0415  needs SDKs that `local` does not have

    made = substrates(settings, surroundings)
    platform = _platform(settings, made.platform, made.workloads, made.exposure, made.opts)
    made.gpus.watch(platform.monitoring)
    return Base(platform=platform, opts=made.opts, exposure=made.exposure, kubeconfig=made.kubeconfig)


def _platform(
    settings: StackSettings,
    substrate: Substrate,
    workloads: Substrate,
    exposure: Exposure,
    opts: pulumi.ResourceOptions,
) -> Platform:
    """One realization of every role: servers and stores on `substrate`, what workloads ask for on `workloads`."""
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
            hosts=exposure.hosts(outputs.TRACKING),
        ),
        pipelines=pipelines.build(
            "pipelines",
            settings.pipelines,
            substrate,
            pipelines.Stores(artifacts=artifacts, database=sql, identity=identities),
            opts,
        ),
        policy_server=policy_server.build("policy-server", settings.policy_server, substrate, opts),
        monitoring=monitoring.build("monitoring", settings.monitoring, substrate, opts),
        compute=compute.build("compute", settings.compute, workloads, identities, opts),
        serving=serving.build("serving", settings.serving, workloads, identities, opts),
    )
