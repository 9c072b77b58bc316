"""Registry on AWS: ECR, whose tags never move and whose images are scanned.

Left out: replication to other regions, and signing, which is the build's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pulumi
from pulumi_aws import ecr

from infra.aws.account import Account, encryption_key
from infra.base import protection
from infra.base.images import Target
from infra.registry.settings import EcrSettings


@dataclass(frozen=True, kw_only=True)
class EcrArgs:
    """The settings, and what other components hand over."""

    settings: EcrSettings

    account: Account


class Ecr(pulumi.ComponentResource):
    """A private repository for each image target: immutable tags, scan on push, an own key, a limit to what it keeps.

    Realizes `infra.registry.Registry`.
    Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
    """

    repositories: Mapping[Target, pulumi.Output[str]]

    def __init__(self, name: str, args: EcrArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Ecr", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = encryption_key(f"{name}-key", f"{name}: images", args.account, child)
        lifecycle = json.dumps(lifecycle_rules(args.settings))
        repositories: dict[Target, pulumi.Output[str]] = {}
        for target in get_args(Target):
            made = ecr.Repository(
                f"{name}-{target}",
                name=f"{args.account.names}/{target}",
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration={"scan_on_push": True},
                encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}],
                # Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepository.html
                force_delete=args.settings.protection == "delete",
                opts=protection.options(self, args.settings.protection),
            )
            ecr.LifecyclePolicy(f"{name}-{target}-lifecycle", repository=made.name, policy=lifecycle, opts=child)
            repositories[target] = made.repository_url
        for prefix, upstream in args.settings.pull_through_cache.items():
            ecr.PullThroughCacheRule(
                f"{name}-cache-{prefix}",
                ecr_repository_prefix=prefix,
                upstream_registry_url=upstream.host,
                credential_arn=upstream.credential_arn,
                opts=child,
            )
        self.repositories = repositories
        self.register_outputs({"repositories": repositories})


def lifecycle_rules(settings: EcrSettings) -> dict[str, Any]:
    """What a repository forgets.

    Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html
    """
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": "What no tag names",
                "selection": {**untagged, "countNumber": settings.untagged_days},
                "action": {"type": "expire"},
            },
            {
                "rulePriority": 2,
                "description": "All but the newest images",
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": settings.keep_images,
                },
                "action": {"type": "expire"},
            },
        ]
    }
