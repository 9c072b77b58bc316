"""`python -m stacks.commands.sweep --stack NAME`: lists what a stack that is down left behind; exits with 1 then.

Looks at the cluster of a stack on Kubernetes by labels, at the account of one on AWS by tags. Named apart are keys that
wait for their end, and definitions of custom resources, which other stacks may use: with `controllers.keep_crds: true`
all are kept, with `false` those are deleted, the only change that is made here, that no object is left of.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

import yaml

from infra.base import names
from infra.base.aws_types import STACK_TAG
from infra.cluster import kubeconfig
from infra.cluster.settings import EksSettings, ExistingClusterSettings, KindClusterSettings
from stacks.aws_settings import AwsStack
from stacks.commands.aws_account import AccountError, AwsCli, Region, iam_region
from stacks.commands.kubectl import LABEL, ClusterError, Kubectl
from stacks.settings import KubernetesStack, LocalStack, StackFileError, read

WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
GROUPS = (
    "cert-manager.io",
    "envoyproxy.io",
    "gatekeeper.sh",
    "gateway.networking.k8s.io",
    "monitoring.coreos.com",
    "serving.kserve.io",
    "sparkoperator.k8s.io",
)
"""Whose definitions of custom resources the stack's controllers bring along; Helm leaves them behind."""


class SweepError(Exception):
    """It cannot be told what is left; one line that says why."""


class Cluster:
    """A cluster by one context of a kubeconfig."""

    def __init__(self, settings: ExistingClusterSettings, ours: Sequence[str], folder: Path) -> None:
        """`ours`: namespaces of the platform and of its workloads."""
        self._ours = set(ours)
        chosen = kubeconfig.only(Path(settings.kubeconfig).expanduser(), settings.context)
        self._kubectl = Kubectl(yaml.safe_dump(chosen), folder)

    def orphans(self) -> Iterator[str]:
        """What is left of the stack, each as `Kind/namespace/name` with what is wrong about it."""
        namespaces = {each["metadata"]["name"] for each in self._kubectl.get("namespaces")}
        for found in self._kubectl.get(self._listable(), "--all-namespaces", "--selector", LABEL):
            yield _name(found) + _finalizers(found)
        for webhook in self._kubectl.get(WEBHOOKS):
            gone = {space for space in _asked(webhook) if space not in namespaces}
            if gone:
                yield f"{_name(webhook)}: asks a Service in {', '.join(sorted(gone))}, which is gone"
        for volume in self._kubectl.get("persistentvolumes"):
            claim = volume["spec"].get("claimRef") or {}
            if claim.get("namespace") in self._ours - namespaces:
                yield f"{_name(volume)}: data of {claim['namespace']}/{claim['name']}, and its bill"

    def definitions(self) -> list[str]:
        """Definitions of custom resources of the stack's controllers."""
        found = (each["metadata"]["name"] for each in self._kubectl.get("customresourcedefinitions"))
        return [name for name in found if name.endswith(GROUPS)]

    def unused(self) -> list[str]:
        """Those of them that nobody has an object of."""
        return [name for name in self.definitions() if not self._kubectl.get(name, "--all-namespaces")]

    def delete_definitions(self, names_: Sequence[str]) -> None:
        """Delete definitions, and wait until they are gone."""
        if names_:
            self._kubectl.run("delete", "customresourcedefinitions", *names_, "--ignore-not-found")

    def _listable(self) -> list[str]:
        return self._kubectl.run("api-resources", "--verbs=list,delete", "--output=name").split()


def kind_orphans(settings: KindClusterSettings) -> list[str]:
    """The cluster itself, if it is there still."""
    try:
        done = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SweepError("there is no `kind`, so that it cannot be told whether its cluster is gone") from error
    return [f"kind cluster {settings.name}"] if settings.name in done.stdout.split() else []


def _name(found: Mapping[str, Any]) -> str:
    metadata = found["metadata"]
    return "/".join(filter(None, (found["kind"], metadata.get("namespace"), metadata["name"])))


def _finalizers(found: Mapping[str, Any]) -> str:
    left = found["metadata"].get("finalizers")
    return f": waits for {', '.join(left)}" if left and found["metadata"].get("deletionTimestamp") else ""


def _asked(webhook: Mapping[str, Any]) -> set[str]:
    services = ((each.get("clientConfig") or {}).get("service") or {} for each in webhook.get("webhooks") or [])
    return {service["namespace"] for service in services if "namespace" in service}


def regions(settings: AwsStack) -> list[str]:
    """Regions in which something of a stack may be, its own one first."""
    home, replica = settings.substrate.region, settings.artifact_store.replica_region
    return list(dict.fromkeys([home, iam_region(home), *([replica] if replica else [])]))


def logs_of_control_plane(settings: AwsStack, home: Region) -> str | None:
    """ARN of the log group of the cluster that the stack makes, if it exists, from any creator; raises AccountError.

    EKS makes it again, without tags, from logs that arrive after it was deleted.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html
    """
    return home.log_group(settings.cluster.log_group) if isinstance(settings.cluster, EksSettings) else None


def on_aws(settings: AwsStack, asked: Sequence[Region]) -> tuple[list[str], list[str]]:
    """What is left, and what waits for its end: ARNs by the stack's tag, and by the one that controllers set.

    `asked`: the stack's own region first.
    Source: https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/tagging.md
    """
    tags = [(STACK_TAG, settings.substrate.name)]
    if isinstance(settings.cluster, EksSettings):
        tags.append((f"kubernetes.io/cluster/{settings.cluster.name}", "owned"))
    left: list[str] = []
    waiting: list[str] = []
    for region in asked:
        for arn in sorted({arn for tag in tags for arn in region.tagged(*tag)}):
            (waiting if region.going(arn) else left).append(arn)
    logs = logs_of_control_plane(settings, asked[0])
    return [*left, *([logs] if logs and logs not in left else [])], waiting


def on_cluster(settings: KubernetesStack) -> tuple[list[str], list[str]]:
    """What is left, and what became of definitions of custom resources, which is done here as the stack file says."""
    if isinstance(settings.cluster, KindClusterSettings):
        return kind_orphans(settings.cluster), []
    ours = [names.PLATFORM, *(each.name for each in settings.definitions.values())]
    with tempfile.TemporaryDirectory(prefix="mlp-sweep-") as folder:
        cluster = Cluster(settings.cluster, ours, Path(folder))
        left = list(cluster.orphans())
        deleted = [] if settings.controllers.keep_crds else cluster.unused()
        cluster.delete_definitions(deleted)
        found = {"deleted": deleted, "kept": cluster.definitions()}
    noted = (
        f"{what}: {len(each)} definitions of custom resources, e.g. {each[0]}" for what, each in found.items() if each
    )
    return left, list(noted)


def _swept(stack: str) -> tuple[list[str], list[str]] | None:
    """What is left, and what else there is to say; None for a stack on this machine."""
    match chosen := read(stack):
        case AwsStack():
            left, waiting = on_aws(chosen, [AwsCli(region=region) for region in regions(chosen)])
            return left, [f"kept: {arn} waits for its end" for arn in waiting]
        case KubernetesStack():
            return on_cluster(chosen)
        case LocalStack():
            return None
        case _:
            assert_never(chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 when nothing is left, 1 when something is, 2 when it cannot be told."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.sweep", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(arguments).stack
    try:
        swept = _swept(stack)
    except ClusterError as error:
        sys.stderr.write(f"the cluster cannot be asked what is left: {error}\n")
        return 2
    except (SweepError, AccountError, StackFileError, kubeconfig.KubeconfigError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if swept is None:
        return 0
    left, noted = swept
    for each in noted:
        sys.stdout.write(f"{each}\n")
    for each in left:
        sys.stderr.write(f"left behind by {stack}: {each}\n")
    if not left:
        sys.stdout.write(f"nothing of {stack} is left\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
