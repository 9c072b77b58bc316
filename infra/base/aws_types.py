"""Types of values that settings on AWS share; plain Python, because stack files are read without any provider's SDK."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

STACK_TAG = "mlplatform:stack"
"""Tag that tells what belongs to a stack: bills are split and leftovers found by it."""

FIXED_NAMES = "mlplatform"
"""What fixed names in an account begin with where it has one platform."""

RESOURCE_TAG = "mlplatform:resource"
"""Tag with the logical name of what carries it: by it `adopt` imports what an interrupted update made."""

Region = Annotated[str, Field(pattern=r"^(af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov)-[a-z]+-[1-9]$")]
"""A region, e.g. `eu-west-1`; its partition follows from it, `aws-cn` in China and `aws-us-gov` in GovCloud."""

Zone = Annotated[str, Field(pattern=r"^(af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov)-[a-z]+-[1-9][a-f]$")]
"""An availability zone of a region, e.g. `eu-west-1a`."""

AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
"""Twelve digits, in quotes: YAML would take them for a number."""

_OTHER_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}

RoleArn = Annotated[
    str, Field(pattern=r"^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@/_-]+$", max_length=600)
]
"""E.g. `arn:aws:iam::111122223333:role/admin`."""

KeyArn = Annotated[str, Field(pattern=r"^arn:aws(-cn|-us-gov)?:kms:[a-z0-9-]+:[0-9]{12}:key/[a-z0-9-]+$")]
"""ARN of a KMS key; aliases move, so they are not accepted."""

OidcProviderArn = Annotated[
    str, Field(pattern=r"^arn:aws(-cn|-us-gov)?:iam::[0-9]{12}:oidc-provider/[A-Za-z0-9._/-]+$", max_length=600)
]
"""ARN of an identity provider in IAM, e.g. `arn:aws:iam::111122223333:oidc-provider/login.example.com`."""

SecurityGroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]
"""E.g. `sg-0123456789abcdef0`."""

InstanceType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
"""An EC2 instance type, e.g. `m7i.large`."""

ReleaseVersion = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)+(-[0-9a-f]+)?$")]
"""Release of the image of a managed node group, e.g. `1.36.2-20261101` of Amazon Linux: Kubernetes' version and a date.
Source: https://docs.aws.amazon.com/eks/latest/userguide/eks-linux-ami-versions.html"""

RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653]
"""Days that CloudWatch can keep logs.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"""


def _bucket(name: str) -> str:
    """Refuse what S3 keeps for itself; raises ValueError."""
    if ".." in name or re.fullmatch(r"[0-9.]+", name) or name.startswith(_OWN_STARTS) or name.endswith(_OWN_ENDS):
        raise ValueError(
            f"{name!r} is no name of a bucket: S3 takes neither two dots in a row, nor an IP address, nor names that "
            f"start with {', '.join(_OWN_STARTS)} or end with {', '.join(_OWN_ENDS)}"
        )
    return name


_OWN_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_OWN_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"), AfterValidator(_bucket)]
"""Name of a bucket in S3.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""


def _network(cidr: str) -> str:
    """Refuse what is no IPv4 network in canonical form; raises ValueError."""
    try:
        if "/" not in cidr:
            raise ValueError("it has no length")  # noqa: TRY301
        ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ValueError(f"{cidr!r} is no IPv4 network ({error}); give e.g. `10.40.0.0/16`") from None
    return cidr


Cidr = Annotated[str, AfterValidator(_network)]
"""An IPv4 network, e.g. `10.40.0.0/16`."""


def overlaps(one: str, other: str) -> bool:
    """Whether two networks share an address."""
    return ipaddress.IPv4Network(one).overlaps(ipaddress.IPv4Network(other))


def partition_of(region: str) -> str:
    """The partition that a region is in, with which every ARN begins: `aws`, `aws-cn` or `aws-us-gov`.

    Source: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
    """
    return next((name for start, name in _OTHER_PARTITIONS.items() if region.startswith(start)), "aws")


def dns_suffix_of(region: str) -> str:
    """How names of the region's services end.

    Source: https://docs.aws.amazon.com/general/latest/gr/rande.html
    """
    return "amazonaws.com.cn" if partition_of(region) == "aws-cn" else "amazonaws.com"


def region_of(zone: str) -> str:
    """`eu-west-1` for `eu-west-1a`."""
    return zone[:-1]


def iam_name(names: str, name: str) -> str:
    """A fixed name of IAM, which knows no two of one name in an account, whatever their paths."""
    return name if names == FIXED_NAMES else f"{names}-{name}"
