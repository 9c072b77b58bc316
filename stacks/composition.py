"""What a stack consists of: the substrate, on it one realization of every role, the workloads, and the outputs."""

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

import pulumi

from infra.base.paths import CHECKOUT
from infra.exposure.direct import Direct
from infra.host import HostProvider, Supervisor
from infra.host.substrate import Local
from infra.substrate import Substrate
from stacks import outputs
from stacks.aws_settings import AwsStack
from stacks.base import Base
from stacks.roles import Roles
from stacks.settings import KubernetesStack, LocalStack, LocalSubstrateSettings, StackSettings
from stacks.surroundings import Surroundings
from stacks.workload_settings import REGISTERED
from workloads.lifecycle.component import Lifecycle, LifecycleArgs
from workloads.lifecycle.operations.start_page.component import Shown, StartPage, StartPageArgs

if TYPE_CHECKING:
    from stacks.cluster import Substrates


def declare(settings: StackSettings, surroundings: Surroundings) -> None:
    """The whole stack: platform, workloads, then what is built from what all of them registered, and the outputs."""
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
    watched = [base.watched, *(each.watched for each in by_name.values())]
    platform.monitoring.watch({name: spec for specs in watched for name, spec in specs.items()})
    platform.artifact_store.close()
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
            from stacks import cluster  # noqa: PLC0415  needs SDKs that `local` does not have

            return _on_a_cluster(settings, cluster.substrates(settings, surroundings))
        case AwsStack():
            from stacks import aws  # noqa: PLC0415  as above

            return _on_a_cluster(settings, aws.substrates(settings, surroundings))
        case _:
            assert_never(settings)


def _on_this_machine(settings: LocalStack, surroundings: Surroundings) -> Base:
    provider = HostProvider("host", root=str(surroundings.folder))
    substrate = _local(settings.substrate, provider, surroundings)
    workloads = {each.name: substrate for each in settings.definitions.values()}
    opts = pulumi.ResourceOptions(providers=[provider])
    return _base(Roles(settings=settings, substrate=substrate, workloads=workloads, exposure=Direct(), opts=opts))


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


def _on_a_cluster(settings: KubernetesStack | AwsStack, made: "Substrates") -> Base:
    roles = Roles(
        settings=settings,
        substrate=made.platform,
        workloads=made.workloads,
        exposure=made.exposure,
        opts=made.opts,
    )
    return replace(_base(roles), kubeconfig=made.kubeconfig, watched=made.gpus.watched(roles.monitoring))


def _base(roles: Roles) -> Base:
    """The platform, and what each workload asks for on its own substrate."""
    return Base(
        platform=replace(roles.platform(), compute=roles.own_compute),
        platforms=roles.platforms(),
        opts=roles.opts,
        exposure=roles.exposure,
    )
