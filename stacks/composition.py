"""What a stack consists of: the substrate, on it one realization of every role, the workloads, and the outputs."""

from collections.abc import Mapping
from dataclasses import replace
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
from infra.base.paths import CHECKOUT
from infra.exposure import Exposure
from infra.exposure.direct import Direct
from infra.host import HostProvider, Supervisor
from infra.host.substrate import Local
from infra.platform import Platform
from infra.substrate import Substrate
from stacks import outputs
from stacks.aws_settings import AwsStack
from stacks.base import Base
from stacks.settings import KubernetesStack, LocalStack, LocalSubstrateSettings, StackSettings
from stacks.surroundings import Surroundings
from stacks.workload_settings import REGISTERED
from workloads.lifecycle.component import Lifecycle, LifecycleArgs
from workloads.lifecycle.operations.start_page.component import Shown, StartPage, StartPageArgs

TRACKING_SERVER = "workloads.lifecycle.registry.tracking_server:app"
"""MLflow's server with a login, for a stack on this machine."""


def declare(settings: StackSettings, surroundings: Surroundings) -> None:
    """The whole stack: platform, workloads, start page, outputs."""
    base = build(settings, surroundings)
    platform, opts = base.platform, base.opts
    definitions = settings.definitions
    made = {
        name: Lifecycle(
            definitions[name].name,
            LifecycleArgs(
                reference=REGISTERED[name],
                definition=definitions[name],
                settings=block,
                platform=base.platforms[definitions[name].name],
                stack=surroundings.stack,
            ),
            opts,
        )
        for name, block in settings.blocks.items()
    }
    platform.monitoring.start_alerting()
    default = definitions[settings.default].name
    by_name = {definitions[name].name: each for name, each in made.items()}
    shown = {name: _shown(base, each, outputs.ending_of(name, default)) for name, each in by_name.items()}
    arguments = StartPageArgs(
        compute=platform.compute,
        default=default,
        shown=shown,
        logins=outputs.logins(platform),
        view_tokens={name: each.view_token for name, each in by_name.items()},
        prediction_probes={name: each.prediction_probe for name, each in by_name.items()},
        # Elsewhere the gateway, or the port that a person forwards, decides who reaches it.
        credentials=platform.credentials if isinstance(base.exposure, Direct) else None,
    )
    page = StartPage("start-page", arguments, opts)
    outputs.export_by_workload(by_name, default, base.exposure)
    outputs.export(shown[default].links, base, page, by_name[default])


def _shown(base: Base, workload: Lifecycle, ending: str) -> Shown:
    endpoints = outputs.endpoints(base.platform, workload)
    return Shown(
        reference=workload.reference,
        probed=endpoints,
        links=outputs.links(endpoints, base.exposure, ending),
    )


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
    substrate = _local(settings.substrate, provider, surroundings)
    opts = pulumi.ResourceOptions(providers=[provider])
    exposure = Direct()
    workloads = {each.name: substrate for each in settings.definitions.values()}
    return _base(settings, substrate, workloads, exposure, opts)


def _local(settings: LocalSubstrateSettings, provider: HostProvider, surroundings: Surroundings) -> Substrate:
    path = surroundings.path()
    supervisor = Supervisor("supervisor", search_path=path, opts=pulumi.ResourceOptions(provider=provider))
    return Local(
        supervisor=supervisor,
        checkout=CHECKOUT,
        python=str(CHECKOUT / ".venv" / "bin" / "python"),
        search_path=path,
        keep_data=settings.keep_data,
        environment=surroundings.environment,
    )


def _on_a_cluster(settings: KubernetesStack, surroundings: Surroundings) -> Base:
    from stacks.cluster import substrates  # noqa: PLC0415  needs SDKs that `local` does not have

    made = substrates(settings, surroundings)
    base = _base(settings, made.platform, made.workloads, made.exposure, made.opts)
    return replace(base, kubeconfig=made.kubeconfig)


def _on_aws(settings: AwsStack, surroundings: Surroundings) -> Base:
    from stacks.aws import substrates  # noqa: PLC0415  needs SDKs that `local` does not have

    made = substrates(settings, surroundings)
    base = _base(settings, made.platform, made.workloads, made.exposure, made.opts)
    made.gpus.watch(base.platform.monitoring)
    return replace(base, kubeconfig=made.kubeconfig)


def _base(
    settings: StackSettings,
    substrate: Substrate,
    workloads: Mapping[str, Substrate],
    exposure: Exposure,
    opts: pulumi.ResourceOptions,
) -> Base:
    """The platform on `substrate`, and what each workload asks for on its own of `workloads`."""
    identities = identity.build("identity", settings.identity, substrate, opts)
    first = settings.definitions[settings.default].name
    platform = _platform(settings, substrate, workloads[first], identities=identities, exposure=exposure, opts=opts)
    platforms = {first: platform}
    for name, theirs in workloads.items():
        if name != first:
            platforms[name] = replace(
                platform,
                compute=compute.build(f"{name}-compute", settings.compute, theirs, identities, opts),
                serving=serving.build(f"{name}-serving", settings.serving, theirs, identities, opts),
            )
    own = compute.build("platform-compute", settings.compute, substrate, identities, opts)
    return Base(platform=replace(platform, compute=own), platforms=platforms, opts=opts, exposure=exposure)


def _platform(
    settings: StackSettings,
    substrate: Substrate,
    workloads: Substrate,
    *,
    identities: identity.Identity,
    exposure: Exposure,
    opts: pulumi.ResourceOptions,
) -> Platform:
    """One realization of every role: servers and stores on `substrate`, what the first workload asks for on another."""
    names = [each.name for each in settings.definitions.values()]
    artifacts = artifact_store.build("artifact-store", settings.artifact_store, substrate, names, opts)
    registries = {
        each.module_name: each.former.registry or f"{each.name}-feature-registry"
        for each in settings.definitions.values()
    }
    online = online_store.build("online-store", settings.online_store, substrate, [*registries], opts)
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
            feature_store.Stores(
                artifacts=artifacts, online=online, database=sql, identity=identities, registries=registries
            ),
            opts,
        ),
        tracking=tracking.build(
            "tracking",
            settings.tracking,
            substrate,
            tracking.Stores(artifacts=artifacts, database=sql, identity=identities),
            opts,
            app=TRACKING_SERVER,
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
        monitoring=monitoring.build("monitoring", settings.monitoring, substrate, opts, settings.secrets_of_receivers),
        compute=compute.build("compute", settings.compute, workloads, identities, opts),
        serving=serving.build("serving", settings.serving, workloads, identities, opts),
    )
