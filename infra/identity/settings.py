"""What a stack file can say about the role identity; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.base.aws_types import OidcProviderArn
from infra.base.settings import Settings


class StoreKeysSettings(Settings):
    """Each process gets keys of a store that it needs: on a cluster its workload's, on a host the store's own."""

    kind: Literal["store-keys"]


class PodIdentitySettings(Settings):
    """A role for each task and controller, assumed by EKS Pod Identity; nothing of it is in the cluster."""

    kind: Literal["pod-identity"]


class IrsaSettings(Settings):
    """A role for each task and controller, assumed with its service account's token; where there is no Pod Identity."""

    kind: Literal["irsa"]

    oidc_provider_arn: OidcProviderArn | None = None
    """ARN of the cluster's provider in IAM, where it exists already; None creates it."""


IdentitySettings = StoreKeysSettings | PodIdentitySettings | IrsaSettings
