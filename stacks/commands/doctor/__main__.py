"""Probes a running stack; exits with 1 when a part does not do its work.

Run as `python -m stacks.commands.doctor --stack NAME`.
Reads the stack's outputs as JSON (`pulumi stack output --json --show-secrets`). What could not be asked fails, too.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from infra.base.paths import state_dir
from infra.cluster.kubeconfig import KubeconfigError
from stacks.aws_settings import AwsStack
from stacks.commands.aws_account import AccountError, AwsCli
from stacks.commands.doctor import account, cluster, host, receivers, stores
from stacks.commands.kubectl import ClusterError, Kubectl
from stacks.settings import StackFileError, StackSettings, read, workload_named
from workloads.lifecycle.operations.doctor.probes import Answer, Finding, Probe, examine, missing
from workloads.lifecycle.operations.doctor.probes import probes as server_probes
from workloads.lifecycle.workload import Workload

MARKS = {"ok": "ok", "warning": "WARN", "unknown": "????", "failed": "FAIL"}
WORST_FIRST = ("failed", "unknown", "warning", "ok")
VERDICTS = {"failed": "failed", "unknown": "could not be asked", "warning": "warned"}
KUBECONFIG = "kubeconfig"


def probes(
    stack: str, definition: Workload, settings: StackSettings, outputs: Mapping[str, str], folder: Path
) -> tuple[Probe, ...]:
    """Everything that can be asked of a stack and one of its workloads; a kubeconfig goes into `folder`."""
    of_servers, workload = server_probes(definition), definition.name
    if settings.on_cluster is None:
        here = state_dir() / stack
        return (
            *of_servers,
            _probe("offline and online", ("mlflow_url",), lambda: stores.parity(stack, workload, None)),
            _probe("artifact store", ("mlflow_url",), lambda: stores.objects(stack, workload, None)),
            _probe("disk", ("mlflow_url",), lambda: host.room(here)),
            _probe("databases", ("mlflow_url",), lambda: host.databases(here / "data")),
        )
    chosen, asked = settings.on_cluster, Kubectl(outputs.get(KUBECONFIG, ""), folder)
    on_cluster = (
        _probe("admission", (KUBECONFIG,), lambda: cluster.admission(asked, chosen)),
        _probe("identity", (KUBECONFIG,), lambda: cluster.identity(asked, chosen)),
        _probe("GPUs", (KUBECONFIG,), lambda: cluster.gpus(asked, chosen)),
        _probe("offline and online", (KUBECONFIG,), lambda: stores.parity(stack, workload, asked)),
        _probe("artifact store", (KUBECONFIG,), lambda: stores.objects(stack, workload, asked)),
    )
    on_aws = () if settings.on_aws is None else _on_aws(stack, settings.on_aws, asked, outputs)
    return (*of_servers, *on_cluster, *on_aws)


def _on_aws(stack: str, settings: AwsStack, asked: Kubectl, outputs: Mapping[str, str]) -> tuple[Probe, ...]:
    aws = AwsCli(region=settings.substrate.region)

    def bindings() -> Finding:
        from stacks.commands import access_matrix  # noqa: PLC0415  imports the clouds' SDKs

        pods = access_matrix.pods(access_matrix.declared(stack))
        return account.bindings(aws, asked, settings, outputs[KUBECONFIG], pods)

    return (
        _probe("roles of pods", (KUBECONFIG,), bindings),
        _probe("quotas", (), lambda: account.quotas(aws, settings)),
    )


def _probe(name: str, needs: tuple[str, ...], ask: Callable[[], Finding]) -> Probe:
    def told(_outputs: Mapping[str, str]) -> Finding:
        try:
            return ask()
        except ClusterError as error:
            return Finding(
                status="unknown", detail=str(error), fix="does the kubeconfig reach the cluster, and may you ask it?"
            )
        except AccountError as error:
            return Finding(status="unknown", detail=str(error), fix="does the shell have credentials of the account?")

    return Probe(name=name, needs=needs, ask=told)


def report(answers: Sequence[Answer], unasked: Sequence[str] = ()) -> str:
    """One line for each probe, the worst first, with its fix, what was not asked, and a verdict with warnings."""
    width = max((len(answer.probe) for answer in answers), default=0)
    lines = []
    for answer in sorted(answers, key=lambda each: WORST_FIRST.index(each.finding.status)):
        finding = answer.finding
        lines.append(f"{MARKS[finding.status]:<5} {answer.probe:<{width}}  {finding.detail}")
        if finding.fix:
            lines.append(f"{'':<5} {'':<{width}}  -> {finding.fix}")
    lines += [f"{'-':<5} {each}" for each in unasked]
    counts = {status: sum(each.finding.status == status for each in answers) for status in VERDICTS}
    others = [f"{counts[status]} {words}" for status, words in VERDICTS.items() if counts[status]]
    at_work = f"{len(answers) - sum(counts.values())} of" if others else "all"
    verdict = ", ".join([f"{at_work} {len(answers)} probes found their part at work", *others])
    return "\n".join([*lines, "", verdict])


def as_json(answers: Sequence[Answer]) -> str:
    """The answers for machines: a list of probe, finding and seconds."""
    return json.dumps([asdict(answer) for answer in answers], indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command: examine and report."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.doctor", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--outputs", default="-", metavar="FILE", help="the stack's outputs (default: standard input)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--send-test-alert", action="store_true", help="send everybody in monitoring.receivers an alert, up to 50 s"
    )
    given = parser.parse_args(arguments)
    try:
        settings = read(given.stack)
        workload = settings.definitions[workload_named(settings)]
        text = sys.stdin.read() if given.outputs == "-" else Path(given.outputs).read_text(encoding="utf-8")
        outputs = {str(name): value for name, value in json.loads(text or "{}").items() if isinstance(value, str)}
    except (StackFileError, KubeconfigError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, ValueError, AttributeError) as error:
        sys.stderr.write(f"--outputs cannot be read: {error}\n")
        return 2
    if not outputs:
        sys.stderr.write(f"the stack has no outputs to probe: is it up? (`make up STACK={given.stack}`)\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="mlp-doctor-") as folder:
        known = probes(given.stack, workload, settings, outputs, Path(folder))
        if given.send_test_alert:
            people = settings.monitoring.receivers
            tell = partial(receivers.tell, outputs, people, workload.name)
            known = (*known, _probe("receivers", ("alertmanager_url",), tell))
        answers = examine(outputs, known)
    unasked = [
        f"{probe.name}: the stack has no {', '.join(missing(probe, outputs))}"
        for probe in known
        if missing(probe, outputs)
    ]
    sys.stdout.write((as_json(answers) if given.json else report(answers, unasked)) + "\n")
    return int(any(answer.finding.status in ("failed", "unknown") for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
