"""What a stack file can say about the role registry; without any provider's SDK, which `local` does not have."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from infra.base.protection import Protection
from infra.base.settings import Settings

CredentialArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(-cn|-us-gov)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:ecr-pullthroughcache/[\w/+=.@-]+$",
        max_length=600,
    ),
]


class UpstreamSettings(Settings):
    """A public registry whose images ECR keeps a copy of."""

    host: Annotated[str, Field(pattern=r"^[a-z0-9.-]+\.[a-z]+$")]
    """Name of the registry's host, without scheme and path."""

    credential_arn: CredentialArn | None = None
    """Secret with user name and token, where the registry wants them; its name starts with `ecr-pullthroughcache/`."""


class EcrSettings(Settings):
    """Repositories in ECR, one for each image target."""

    kind: Literal["ecr"]

    protection: Protection = "protect"
    """What becomes of the images when the repositories are to be deleted; ECR refuses to delete one that has any,
    unless this is `delete`."""

    keep_images: Annotated[int, Field(ge=2, le=1000)] = 30
    """Images that a repository keeps; older ones are deleted, so it must cover every release that may come back."""

    untagged_days: Annotated[int, Field(ge=1, le=365)] = 14
    """Days after which what no tag names any more is deleted."""

    pull_through_cache: Mapping[
        Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", min_length=2, max_length=30)], UpstreamSettings
    ] = Field(default_factory=dict)
    """Prefix of repositories to the registry that they are copied from."""


RegistrySettings = EcrSettings
