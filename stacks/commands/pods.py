"""`python -m stacks.commands.pods --stack NAME`: the stack's pods that do not run, why, and what to do about it.

Run by `make up` after an update that failed. Reads the stack's state from standard input (`pulumi stack export
--show-secrets`) for the kubeconfig of its cluster; a state without one leads to no output. Leaves out pods of other
namespaces than the platform's and its workloads'.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from infra.base import names
from stacks.commands.kubectl import ClusterError, Kubectl
from stacks.settings import StackFileError, read

Object = Mapping[str, Any]

LOG_LINES = 10
PULLS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
"""Source: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/images/types.go"""
PROVIDER = "pulumi:providers:kubernetes"
REFUSED = "FailedCreate"
"""Reason of the event of a controller whose pod the API server refused."""

FIXES = {
    "pull": "push the image (`make images` for the stack's own), correct its name in the stack file, or let the nodes "
    "reach its registry (`substrate.supply.registry` names a mirror)",
    "memory": "raise the memory that the stack file gives to it: it used more than its limit",
    "crash": "correct what its log says; `make up` tries again",
    "schedule": "add nodes or lower what the pods ask for: no node has room, or none has the labels that they need",
    "configuration": "`make up`: a Secret or ConfigMap that the pod names is missing",
    "quota": "raise `namespaces.platform_quota` or `namespaces.workload_quota` in the stack file, or ask for less",
    "refused": "correct what the API server refuses; `make policy` lists the rules",
    "ready": "correct what its log says: it runs, and its readiness probe fails",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with one pod or with what should have made one."""

    subject: str
    """`pod namespace/name`, or the kind, namespace and name of the pods' owner."""

    reason: str

    fix: str
    """A key of `FIXES`."""

    image: str = ""
    container: str = ""
    """Container whose log tells more; empty where there is no log."""

    previous: bool = False
    """Whether the log is of the container's last run, because it waits for the next."""


def problems(pods: Sequence[Object], events: Sequence[Object]) -> list[Problem]:
    """What is wrong with pods, and what controllers were refused, in the order of their names."""
    found = {problem for pod in pods for problem in _of_pod(pod)} | set(_refusals(events))
    return sorted(found, key=lambda each: (each.subject, each.reason))


def _of_pod(pod: Object) -> Iterator[Problem]:
    metadata, status = pod["metadata"], pod.get("status", {})
    subject = f"pod {metadata['namespace']}/{metadata['name']}"
    if "deletionTimestamp" in metadata or status.get("phase") == "Succeeded":
        return
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Problem(
                subject=subject,
                reason=f"is not scheduled: {condition.get('message', 'no reason given')}",
                fix="schedule",
            )
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        problem = _of_container(subject, container)
        if problem is not None:
            yield problem


def _of_container(subject: str, status: Object) -> Problem | None:
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
    named = partial(Problem, subject=subject, image=str(status["image"]))
    waiting, ended = state.get("waiting"), state.get("terminated")
    reason = str(waiting.get("reason", "")) if waiting else ""
    if waiting and reason in PULLS:
        said = str(waiting.get("message") or reason)
        return named(reason=f"its image cannot be pulled ({reason}): {said}", fix="pull")
    if waiting and reason.startswith("Create"):
        return named(reason=f"{reason}: {waiting.get('message', '')}", fix="configuration")
    logged = partial(named, container=str(status["name"]))
    failed = ended or (last if waiting else None)
    if failed and failed.get("exitCode"):
        fix = "memory" if failed.get("reason") == "OOMKilled" else "crash"
        how, restarts = failed.get("reason", "Error"), status["restartCount"]
        text = f"ended with {failed['exitCode']} ({how}), started again {restarts} times"
        return logged(reason=text, fix=fix, previous=ended is None)
    if "running" in state and not status.get("ready") and status.get("started"):
        return logged(reason="runs and is not ready", fix="ready")
    return None


def _refusals(events: Sequence[Object]) -> Iterator[Problem]:
    for event in events:
        if event.get("reason") == REFUSED:
            about, said = event["involvedObject"], str(event.get("message", ""))
            fix = "quota" if "exceeded quota" in said else "refused"
            subject = f"{about['kind']} {about['namespace']}/{about['name']}"
            # The pod's generated name would make each refusal look like another one.
            yield Problem(subject=subject, reason=said.partition(" is forbidden: ")[2] or said, fix=fix)


def described(problem: Problem, log: str) -> str:
    """The lines that are printed of a problem; `log` is the end of its container's."""
    lines = [f"{problem.subject}: {problem.reason}"]
    if problem.image:
        lines.append(f"  image: {problem.image}")
    lines += [f"  | {line}" for line in log.strip().splitlines()[-LOG_LINES:]]
    return "\n".join([*lines, f"  fix: {FIXES[problem.fix]}"])


def found_in(cluster: Kubectl, namespaces: Sequence[str]) -> list[str]:
    """Descriptions of every problem in some namespaces; raises ClusterError."""
    pods = [pod for space in namespaces for pod in cluster.get("pods", f"--namespace={space}")]
    selected = f"--field-selector=reason={REFUSED}"
    events = [event for space in namespaces for event in cluster.get("events", f"--namespace={space}", selected)]
    return [described(problem, _log(cluster, problem)) for problem in problems(pods, events)]


def _log(cluster: Kubectl, problem: Problem) -> str:
    """The end of the log of a problem's container; what `kubectl` says where there is none."""
    if not problem.container:
        return ""
    space, _, pod = problem.subject.removeprefix("pod ").partition("/")
    which = ["--previous"] if problem.previous else []
    try:
        return cluster.run(
            *("logs", f"--namespace={space}", pod, f"--container={problem.container}", f"--tail={LOG_LINES}"), *which
        )
    except ClusterError as error:
        return f"(no log: {error})"


def kubeconfig(state: Object) -> str:
    """The kubeconfig of the stack's provider, empty for a stack that has made none."""
    for resource in (state.get("deployment") or {}).get("resources") or ():
        if resource.get("type") == PROVIDER and (resource.get("inputs") or {}).get("kubeconfig"):
            return _plain(resource["inputs"]["kubeconfig"])
    return ""


def _plain(value: Any) -> str:
    """A value of the state; secrets come in an envelope with the plain text as JSON."""
    return str(json.loads(value["plaintext"]) if isinstance(value, Mapping) else value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong; the status is 0 even so, because the update that failed has said that it did."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.pods", description=__doc__)
    parser.add_argument("--stack", required=True)
    stack = parser.parse_args(arguments).stack
    try:
        text = sys.stdin.read()
        found, chosen = kubeconfig(json.loads(text) if text.strip() else {}), read(stack).on_cluster
        if not found or chosen is None:
            return 0
        namespaces = [names.PLATFORM, *(each.name for each in chosen.definitions.values())]
        with tempfile.TemporaryDirectory(prefix="mlp-pods-") as folder:
            lines = found_in(Kubectl(found, Path(folder)), namespaces)
    except (ClusterError, StackFileError, ValueError) as error:
        sys.stderr.write(f"the pods cannot be asked why: {error}\n")
        return 0
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
