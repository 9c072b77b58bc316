"""Policy server: OPA, which decides at release time whether a model may serve."""

from collections.abc import Mapping
from typing import Protocol, assert_never

import pulumi

from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes
from infra.policy_server.local import OpaOnHost, OpaOnHostArgs
from infra.policy_server.settings import OpaOnHostSettings, OpaOnKubernetesSettings, PolicyServerSettings
from infra.substrate import Substrate, narrow


class PolicyServer(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    url: pulumi.Output[str]
    """Base URL of OPA's REST API."""

    policy_sha256: str
    """Digest of the release policy that the server holds, which its answers name too."""

    ready: pulumi.Resource
    """What a consumer that needs the server at once depends on."""

    token: pulumi.Output[str] | None
    """Bearer token that the server asks for; secret. None where network policies decide who reaches it."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """Environment variables by which a caller has the token; empty where there is none."""


def build(
    name: str, settings: PolicyServerSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> PolicyServer:
    """Make the realization that the stack file names."""
    match settings:
        case OpaOnHostSettings():
            return OpaOnHost(name, OpaOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
        case OpaOnKubernetesSettings():
            from infra.policy_server.kubernetes import OpaOnKubernetes, OpaOnKubernetesArgs

            args = OpaOnKubernetesArgs(settings=settings, substrate=narrow(substrate, Kubernetes))
            return OpaOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
