"""Online store: Redis, from which features are read at prediction time."""

from collections.abc import Sequence
from typing import Protocol, assert_never

import pulumi

from infra.aws.substrate import Aws
from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes
from infra.online_store.acl import Access
from infra.online_store.local import RedisOnHost, RedisOnHostArgs
from infra.online_store.login import Login
from infra.online_store.settings import (
    ElastiCacheSettings,
    OnlineStoreSettings,
    RedisOnHostSettings,
    RedisOnKubernetesSettings,
)
from infra.substrate import Substrate, narrow


class OnlineStore(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    url: pulumi.Output[str]
    """`redis://host:port`, `rediss://` where `tls`, without credentials."""

    address: pulumi.Output[str]
    """`host:port`."""

    tls: bool
    """Whether clients must encrypt; the certificate is one that every client's own list of authorities knows."""

    ready: pulumi.Resource
    """What a consumer that needs the store at once depends on."""

    def login(self, project: str, access: Access) -> Login:
        """Who processes of a Feast project are to the store; on a host everybody is the same.

        Raises: KeyError for a project that `build` was not told of.
        """


def build(
    name: str,
    settings: OnlineStoreSettings,
    substrate: Substrate,
    projects: Sequence[str],
    opts: pulumi.ResourceOptions | None = None,
) -> OnlineStore:
    """Make the realization that the stack file names, for these Feast projects."""
    match settings:
        case RedisOnHostSettings():
            return RedisOnHost(name, RedisOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
        case RedisOnKubernetesSettings():
            from infra.online_store.kubernetes import RedisOnKubernetes, RedisOnKubernetesArgs

            args = RedisOnKubernetesArgs(settings=settings, substrate=narrow(substrate, Kubernetes), projects=projects)
            return RedisOnKubernetes(name, args, opts)
        case ElastiCacheSettings():
            from infra.online_store.aws import ElastiCache, ElastiCacheArgs

            aws = ElastiCacheArgs(settings=settings, substrate=narrow(substrate, Aws), projects=projects)
            return ElastiCache(name, aws, opts)
        case _:
            assert_never(settings)
