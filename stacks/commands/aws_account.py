"""An account's region as the program `aws` sees it, with the credentials of the shell; changes nothing."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from infra.base.aws_types import partition_of

CALL_SECONDS = 60


def iam_region(region: str) -> str:
    """The region of a region's partition that answers for IAM."""
    return IAM_REGIONS[partition_of(region)]


IAM_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Partition to the region in which what has no region (roles, budgets) is asked for.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


class AccountError(Exception):
    """The account cannot be asked; one line that says why."""


class Region(Protocol):
    """What is asked about the leftovers in one region of an account."""

    def tagged(self, key: str, value: str) -> Mapping[str, Mapping[str, str]]:
        """ARN to tags of what carries a tag; raises AccountError."""

    def going(self, arn: str) -> bool:
        """Whether something that is listed still was deleted already, or waits for it; raises AccountError."""

    def log_group(self, name: str) -> str | None:
        """ARN of a log group, None where there is none; raises AccountError."""


@dataclass(frozen=True, kw_only=True)
class AwsCli:
    """One region of the account that the shell has credentials of."""

    region: str

    program: str = "aws"

    def quota(self, code: str) -> float:
        """Value of a quota of EC2; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/service-quotas/get-service-quota.html
        """
        told = self._ask("service-quotas", "get-service-quota", "--service-code", "ec2", "--quota-code", code)
        return float(told["Quota"]["Value"])

    def hosted_zone(self, zone_id: str) -> str:
        """Domain of a hosted zone of Route 53; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/route53/get-hosted-zone.html
        """
        told = self._ask("route53", "get-hosted-zone", "--id", zone_id)
        return str(told["HostedZone"]["Name"]).rstrip(".")

    def service_linked_roles(self) -> frozenset[str]:
        """Services that have a role of their own in the account, e.g. `spot.amazonaws.com`; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/iam/list-roles.html
        """
        told = self._ask("iam", "list-roles", "--path-prefix", "/aws-service-role/")
        return frozenset(each["Path"].split("/")[2] for each in told["Roles"])

    def zones_of(self, instance_types: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Type to the zones that it is sold in, without those that it is sold nowhere in; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-instance-type-offerings.html
        """
        told = self._ask(
            "ec2",
            "describe-instance-type-offerings",
            "--location-type",
            "availability-zone",
            "--filters",
            f"Name=instance-type,Values={','.join(instance_types)}",
        )
        found: dict[str, set[str]] = {}
        for offer in told["InstanceTypeOfferings"]:
            found.setdefault(offer["InstanceType"], set()).add(offer["Location"])
        return {each: frozenset(zones) for each, zones in found.items()}

    def addon_versions(self, kubernetes: str) -> Mapping[str, frozenset[str]]:
        """Add-on of EKS to the versions that are offered for a version of Kubernetes; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/eks/describe-addon-versions.html
        """
        told = self._ask("eks", "describe-addon-versions", "--kubernetes-version", kubernetes)
        return {
            each["addonName"]: frozenset(offer["addonVersion"] for offer in each["addonVersions"])
            for each in told["addons"]
        }

    def pod_identities(self, cluster: str) -> frozenset[str]:
        """`namespace/service account` of those that a role is bound to on an EKS cluster; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/eks/list-pod-identity-associations.html
        """
        told = self._ask("eks", "list-pod-identity-associations", "--cluster-name", cluster)
        return frozenset(f"{each['namespace']}/{each['serviceAccount']}" for each in told["associations"])

    def cluster_version(self, name: str) -> str | None:
        """Kubernetes' version of an EKS cluster, None where there is none; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/eks/describe-cluster.html
        """
        told = self._ask_for("ResourceNotFoundException", "eks", "describe-cluster", "--name", name)
        return None if told is None else str(told["cluster"]["version"])

    def node_versions(self, cluster: str) -> dict[str, str]:
        """Managed node group of an EKS cluster to its version of Kubernetes; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/eks/describe-nodegroup.html
        """
        names = self._ask("eks", "list-nodegroups", "--cluster-name", cluster)["nodegroups"]
        words = ("eks", "describe-nodegroup", "--cluster-name", cluster, "--nodegroup-name")
        return {name: str(self._ask(*words, name)["nodegroup"]["version"]) for name in names}

    def upgrade_errors(self, cluster: str, version: str) -> list[str]:
        """What EKS has found that keeps a cluster from a version, one text each; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/eks/list-insights.html
        """
        asked = {"categories": ["UPGRADE_READINESS"], "kubernetesVersions": [version], "statuses": ["ERROR"]}
        told = self._ask("eks", "list-insights", "--cluster-name", cluster, "--filter", json.dumps(asked))
        return [f"{each['name']}: {each['insightStatus']['reason']}" for each in told["insights"]]

    def has_parameter(self, path: str) -> bool:
        """Whether AWS publishes a parameter; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/ssm/get-parameter.html
        """
        return self._ask_for("ParameterNotFound", "ssm", "get-parameter", "--name", path) is not None

    def tagged(self, key: str, value: str) -> dict[str, dict[str, str]]:
        """ARN to tags of what carries a tag, IAM's in the region of IAM alone; raises AccountError.

        The tagging API lists no roles, so that IAM is asked for them.
        Source: https://docs.aws.amazon.com/cli/latest/reference/resourcegroupstaggingapi/get-resources.html,
        https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
        """
        told = self._ask("resourcegroupstaggingapi", "get-resources", "--tag-filters", f"Key={key},Values={value}")
        listed = [(each["ResourceARN"], each["Tags"]) for each in told["ResourceTagMappingList"]]
        if self.region == iam_region(self.region):
            listed += [(each["Arn"], each.get("Tags") or []) for each in self._roles()]
        tags = {arn: {tag["Key"]: tag["Value"] for tag in given} for arn, given in listed}
        return {arn: given for arn, given in tags.items() if given.get(key) == value}

    def _roles(self) -> list[dict[str, Any]]:
        """Every role of the account, with its tags, in one question.

        Source: https://docs.aws.amazon.com/cli/latest/reference/iam/get-account-authorization-details.html
        """
        told = self._ask("iam", "get-account-authorization-details", "--filter", "Role")
        return list(told["RoleDetailList"])

    def going(self, arn: str) -> bool:
        """Whether something that is listed still was deleted already, or waits for its deletion; raises AccountError.

        Sources: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html,
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NatGateway.html,
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
        """
        service, what = arn.split(":", 5)[2::3]
        kind, _, name = what.partition("/")
        match service, kind:
            case "kms", "key":
                told = self._ask("kms", "describe-key", "--key-id", arn)
                return bool(told["KeyMetadata"]["KeyState"] == "PendingDeletion")
            case "ec2", "natgateway":
                told = self._ask("ec2", "describe-nat-gateways", "--nat-gateway-ids", name)
                return all(each["State"] in ("deleting", "deleted") for each in told["NatGateways"])
            case "ec2", "instance":
                told = self._ask("ec2", "describe-instances", "--instance-ids", name)
                found = [each for some in told["Reservations"] for each in some["Instances"]]
                return all(each["State"]["Name"] in ("shutting-down", "terminated") for each in found)
        return False

    def log_group(self, name: str) -> str | None:
        """ARN of a log group, None where there is none; raises AccountError.

        Source: https://docs.aws.amazon.com/cli/latest/reference/logs/describe-log-groups.html
        """
        told = self._ask("logs", "describe-log-groups", "--log-group-name-prefix", name)
        found = (each["arn"] for each in told["logGroups"] if each["logGroupName"] == name)
        return next((str(arn).removesuffix(":*") for arn in found), None)

    def _ask_for(self, absent: str, *words: str) -> Any:
        """What is told of one thing; None where the error with this name says that it is not there."""
        try:
            return self._ask(*words)
        except AccountError as error:
            if f"({absent})" in str(error):
                return None
            raise

    def _ask(self, *words: str) -> Any:
        command = [self.program, *words, "--region", self.region, "--output", "json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CALL_SECONDS)
        except FileNotFoundError:
            raise AccountError(f"{self.program} is not installed: see https://aws.amazon.com/cli/") from None
        except subprocess.TimeoutExpired:
            raise AccountError(f"`{' '.join(command)}` took longer than {CALL_SECONDS} s") from None
        if done.returncode != 0:
            raise AccountError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        return json.loads(done.stdout)
