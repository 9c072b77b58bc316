"""Volumes of pods on AWS: the class that claims get that name none; EKS marks none as the default.

Source: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions-standard.html
"""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta, storage

from infra.aws.account import Account


@dataclass(frozen=True, kw_only=True)
class EbsVolumesArgs:
    """What they are encrypted with, and whose they are."""

    account: Account

    key_arn: pulumi.Input[str]
    """KMS key that EBS' driver may use."""


class EbsVolumes(pulumi.ComponentResource):
    """Volumes of EBS that can grow, are encrypted by our own key, tagged as the stack's, and go with their claims.

    Source: https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/parameters.md
    """

    def __init__(self, name: str, args: EbsVolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:EbsVolumes", name, None, opts)

        tags = enumerate(sorted(args.account.tags.items()), start=1)
        storage.v1.StorageClass(
            f"{name}-class",
            metadata=meta.v1.ObjectMetaArgs(
                name="encrypted", annotations={"storageclass.kubernetes.io/is-default-class": "true"}
            ),
            provisioner="ebs.csi.aws.com",
            parameters={
                "type": "gp3",
                "encrypted": "true",
                "kmsKeyId": args.key_arn,
                **{f"tagSpecification_{number}": f"{key}={value}" for number, (key, value) in tags},
            },
            allow_volume_expansion=True,
            # A volume is in one zone: that of the node that its pod is put on.
            volume_binding_mode="WaitForFirstConsumer",
            reclaim_policy="Delete",
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

        self.register_outputs({})
