"""Policy server: OPA, which decides at release time whether a model may serve."""

from typing import Protocol

import pulumi

from infra.core.substrate import Local, Substrate, narrow
from infra.policy_server.local import OpaOnHost, OpaOnHostArgs
from infra.policy_server.settings import PolicyServerSettings


class PolicyServer(Protocol):
    """What every realization gives; consumers accept this and nothing narrower."""

    url: pulumi.Output[str]
    """Base URL of OPA's REST API."""

    ready: pulumi.Resource
    """What a consumer that needs the server at once depends on."""


def build(
    name: str, settings: PolicyServerSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> PolicyServer:
    """Make the realization that the stack file names."""
    return OpaOnHost(name, OpaOnHostArgs(settings=settings, substrate=narrow(substrate, Local)), opts)
