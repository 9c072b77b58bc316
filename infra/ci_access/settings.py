"""What a stack file can say about the role CI access; without any provider's SDK, which `local` does not have."""

from typing import Annotated, Literal

from pydantic import Field

from infra.base.aws_types import BucketName, KeyArn, OidcProviderArn
from infra.base.settings import Settings


class NoCiAccessSettings(Settings):
    """CI does not reach the account; people run `pulumi up`."""

    kind: Literal["none"]


class GithubOidcSettings(Settings):
    """Roles for GitHub Actions, without keys: one reads for previews, one writes for `up`, one pushes images."""

    kind: Literal["github-oidc"]

    repository: Annotated[
        str, Field(pattern=r"^([A-Za-z0-9-]+/[A-Za-z0-9._-]+|[A-Za-z0-9-]+@[0-9]+/[A-Za-z0-9._-]+@[0-9]+)$")
    ]
    """`owner/name`, or `owner@id/name@id` where GitHub writes the subject of tokens so; no wildcard."""

    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]+$")] = "main"
    """The branch whose runs may write, look for drift, and push images."""

    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "prod"
    """GitHub's environment that a run which writes must be in; it asks for approval. Those of runs that read are called
    after it, with `-preview` (which asks for approval, too) and `-drift` (which admits the branch alone)."""

    state_bucket: BucketName
    """The bucket that holds the state, in the backend's URL `s3://<bucket>`."""

    secrets_key_arn: KeyArn
    """The key of the stack's secrets provider `awskms://…`."""

    provider_arn: OidcProviderArn | None = None
    """The account's provider for GitHub's tokens, of which there can be one only; None makes it."""


CiAccessSettings = Annotated[NoCiAccessSettings | GithubOidcSettings, Field(discriminator="kind")]
