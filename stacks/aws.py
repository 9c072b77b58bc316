"""What a stack on AWS stands on: account, network, cluster, nodes, namespaces, and the way in."""

import pulumi
import pulumi_aws
import pulumi_kubernetes
import pulumi_random

from infra import (
    autoscaler,
    budget,
    ci_access,
    cluster,
    exposure,
    gpu_node_pool,
    identity,
    network,
    node_pool,
    registry,
)
from infra.autoscaler.settings import ClusterAutoscalerSettings
from infra.aws.account import Account, bound_roles, tag_by_name
from infra.aws.substrate import Aws
from infra.base import names
from infra.base.aws_types import STACK_TAG
from infra.base.paths import CHECKOUT
from infra.cluster.volumes import EbsVolumes, EbsVolumesArgs
from infra.kube import authority
from infra.kube.substrate import Kubernetes
from infra.namespaces.aws import open_to_managed
from stacks.aws_settings import AwsStack, AwsSubstrateSettings
from stacks.cluster import Substrates, client_secret, guarded
from stacks.surroundings import Surroundings


def substrates(settings: AwsStack, surroundings: Surroundings) -> Substrates:
    """Make them, and what belongs to the account rather than to a namespace: registry, budget, CI's roles."""
    tag_by_name()
    account, on_aws = _account(settings.substrate, tuple(settings.registry.pull_through_cache))
    automation = ci_access.build("ci-access", settings.ci_access, account, on_aws)
    if automation is not None:
        bound_roles(automation.boundary_arn)
    budget.build("budget", settings.budget, account, on_aws)
    registry.build("registry", settings.registry, account, on_aws)
    net = network.build("network", settings.network, account, on_aws)
    resized = isinstance(settings.autoscaler, ClusterAutoscalerSettings)
    eks = cluster.build_on_aws("cluster", settings.cluster, account, net, on_aws, resized=resized)
    provider = pulumi_kubernetes.Provider(
        "kubernetes",
        kubeconfig=eks.kubeconfig,
        cluster_identifier=eks.arn,
        opts=pulumi.ResourceOptions(depends_on=list(eks.ready)),
    )
    aws_provider = on_aws.providers[0]  # type: ignore[index]  # a list, as made in _account
    opts = pulumi.ResourceOptions(providers=[aws_provider, provider, pulumi_random.Provider("random")])
    if eks.data_key_arn is not None:
        EbsVolumes("cluster-volumes", EbsVolumesArgs(account=account, key_arn=eks.data_key_arn), opts)
    bare = Kubernetes(
        provider=provider,
        namespace=pulumi.Output.from_input(names.PLATFORM),
        checkout=CHECKOUT,
        image=surroundings.image,
        supply=settings.substrate.supply,
        authority=_authority(settings),
    )
    substrate = Aws(
        provider=aws_provider,
        account=account,
        network=net,
        cluster=eks,
        kubernetes=bare,
        identity=identity.build_on_aws("identity", settings.identity, account, eks, on_aws),
    )
    scaler = autoscaler.build("autoscaler", settings.autoscaler, substrate, opts)
    nodes = node_pool.build("node-pool", settings.node_pool, substrate, scaler, opts)
    gpus = gpu_node_pool.build_on_aws("gpu-node-pool", settings.gpu_node_pool, substrate, scaler, opts)
    inside, workloads = guarded(settings, bare, surroundings, [*nodes.ready, *gpus.ready], opts)
    platform = _with_ways_out(names.PLATFORM, substrate, inside, opts)
    return Substrates(
        platform=platform,
        workloads={name: _with_ways_out(name, substrate, space, opts) for name, space in workloads.items()},
        opts=opts,
        exposure=exposure.build("exposure", settings.exposure, platform, client_secret(settings), opts),
        kubeconfig=eks.kubeconfig,
        gpus=gpus,
    )


def _account(settings: AwsSubstrateSettings, cached: tuple[str, ...]) -> tuple[Account, pulumi.ResourceOptions]:
    """The account, and the options with which something is made in it and tagged; `cached`: see `Account`."""
    tags = {STACK_TAG: settings.name, **settings.tags}
    provider = pulumi_aws.Provider(
        "aws",
        region=settings.region,
        allowed_account_ids=[settings.account_id],
        default_tags=pulumi_aws.ProviderDefaultTagsArgs(tags=tags),
    )
    account = Account(id=settings.account_id, region=settings.region, tags=tags, names=settings.names, cached=cached)
    return account, pulumi.ResourceOptions(providers=[provider])


def _authority(settings: AwsStack) -> str | None:
    """Certificates of the databases' servers; raises AuthorityError."""
    file = settings.database.root_certificate
    if file is None:
        return None
    region = settings.substrate.region
    bundle = f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"
    return authority.read(
        CHECKOUT / file, f"`curl -fo {file} {bundle}` gets those of database.root_certificate, or leave the key out"
    )


def _with_ways_out(name: str, aws: Aws, space: Kubernetes, opts: pulumi.ResourceOptions) -> Aws:
    """A guarded namespace, with the ways to managed stores."""
    ways = open_to_managed(f"{name}-namespace", aws.network, space.namespace, opts)
    known = authority.publish(f"{name}-database-authority", space, opts)
    return aws.within(space.namespace, *space.ready, *ways, *known, of_workload=space.of_workload)
