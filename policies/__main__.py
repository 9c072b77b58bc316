"""`python -m policies`: judge a preview, an update, a state or manifests; print Gatekeeper's part; renew the table."""

import argparse
import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from policies import destruction, documentation, exemptions, gate, gatekeeper, kinds, report
from policies.catalogue import FOLDER, PACK, REPORT, SETTINGS, STEPS_JUDGED
from policies.model import PolicyError, Resource, one_line
from policies.settings import KEY, PolicySettings, parse

NAMESPACES = {"mlplatform.dev/judged": "true"}
"""Label of the namespaces that admission guards; `infra.kube.objects.JUDGED`."""


def main() -> int:
    """Exit with 1 when a mandatory rule is broken, with 2 when the verdict could not be reached."""
    parser = argparse.ArgumentParser(prog="python -m policies", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preview = commands.add_parser("preview", help="what `up` would make and lose")
    state = commands.add_parser("state", help="what the last `up` made")
    state.add_argument("--stack", default="", help="whose state; default: the one that is selected")
    update = commands.add_parser("up", help="an update that is made only when its preview breaks no mandatory rule")
    update.add_argument("--yes", "-y", action="store_true", help="do not ask before the update")
    for command in (preview, state, update):
        _reports(command)
        command.add_argument("arguments", nargs="*", metavar="-- FLAG", help="flags for pulumi")
    check = commands.add_parser("check", help="Kubernetes manifests, e.g. a rendered chart")
    _reports(check)
    check.add_argument("files", nargs="+", type=Path)
    for command in (
        check,
        commands.add_parser("gatekeeper", help="ConstraintTemplates, Constraints and SyncSet as YAML"),
    ):
        command.add_argument("--stack", default="", help="whose levels and parameters hold")
    commands.add_parser("docs", help=f"renew the table in {documentation.FILE.relative_to(FOLDER.parent)}")
    given = parser.parse_args()
    try:
        return _run(given)
    except PolicyError as error:
        sys.stderr.write(f"policies: {error}\n")
        return 2


def _reports(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, help="file for the report in JSON")
    command.add_argument("--sarif", type=Path, help="file for the report in SARIF, for code scanning")


def _run(given: argparse.Namespace) -> int:
    if given.command == "docs":
        documentation.FILE.write_text(documentation.text())
        return 0
    if given.command == "gatekeeper":
        sys.stdout.write(yaml.safe_dump_all(_gatekeeper(given.stack), sort_keys=False))
        return 0
    if given.command == "check":
        return _published(_checked(given.files, _settings(given.stack), given.stack), given)
    return _engine(given) if given.command != "up" else _update(given)


def _published(verdict: gate.Report, given: argparse.Namespace) -> int:
    sys.stdout.write(report.as_text(verdict))
    for file, written in ((given.json, report.as_json), (given.sarif, report.as_sarif)):
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(written(verdict))
    return int(verdict.failed)


def _update(given: argparse.Namespace) -> int:
    """Preview, judge, ask, and make the update that was judged: the engine stops at a step that is not in its plan.

    By itself the engine judges a stack at the end of an update, when it is too late.
    """
    if not given.yes and not sys.stdin.isatty():
        raise PolicyError("nobody is there to be asked before the update: give `--yes`")
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        if code := _engine(given, plan):
            return code
        if not given.yes and input("Make this update? [yes/no] ").strip().lower() not in ("y", "yes"):
            sys.stdout.write("nothing was changed\n")
            return 1
        command = ["pulumi", "up", "--yes", "--skip-preview", "--policy-pack", str(PACK), "--plan", str(plan)]
        environment = os.environ | {STEPS_JUDGED: "1"}
        return subprocess.run([*command, *given.arguments], env=environment, check=False).returncode


def _engine(given: argparse.Namespace, plan: Path | None = None) -> int:
    """Run the engine with the pack, show what it shows, and add what only its steps tell; keep the plan if asked."""
    with tempfile.TemporaryDirectory() as folder:
        written, log = Path(folder) / "report.json", Path(folder) / "events"
        if given.command != "state":
            command = ["pulumi", "preview", "--policy-pack", str(PACK), "--event-log", str(log)]
            command += ["--save-plan", str(plan)] if plan else []
        else:
            command = ["pulumi", "policy", "analyze", "--policy-pack", str(PACK), *_of(given.stack)]
        # The CLI knows --event-log under this variable only, as Pulumi's Automation API uses it.
        environment = os.environ | {REPORT: str(written), "PULUMI_DEBUG_COMMANDS": "true"}
        if given.command == "state":
            environment[SETTINGS] = _configured(given.stack)
        with _piped(log) as events:
            code = subprocess.run([*command, *given.arguments], env=environment, check=False).returncode
        if not written.exists():
            return code or 2
        verdict = report.from_json(written.read_text())
        if given.command != "state":
            losses = destruction.losses(destruction.steps(events.result()))
            verdict = gate.with_losses(verdict, losses, exemptions.load(), _today())
    return _published(verdict, given) or code


@contextlib.contextmanager
def _piped(path: Path) -> Iterator[Future[str]]:
    """What others write to a pipe that is made at `path`, once they and the block have ended.

    The engine's events hold the stack's secrets, so no file may keep them, also when this process is killed.
    """
    os.mkfifo(path, mode=0o600)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a reader that blocks would wait for a writer here
    writing = os.open(path, os.O_WRONLY)
    os.set_blocking(reading, True)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_read, reading)
        try:
            yield future
        finally:
            os.close(writing)


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as stream:
        return stream.read()


def _of(stack: str) -> list[str]:
    return ["--stack", stack] if stack else []


def _configured(stack: str) -> str:
    """The stack file's block, which `pulumi policy analyze` does not hand to packs. Raises: PolicyError."""
    done = subprocess.run(["pulumi", "config", "--json", *_of(stack)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PolicyError(f"the stack's configuration cannot be read: {' '.join(done.stderr.split())}")
    value: str = json.loads(done.stdout).get(KEY, {}).get("value", "")
    return value


def _checked(files: Sequence[Path], settings: PolicySettings, stack: str) -> gate.Report:
    resources = [resource for file in files for resource in _manifests(file)]
    return gate.judge(resources, settings, exemptions.load(), _today(), stack=stack)


def _manifests(file: Path) -> Iterator[Resource]:
    """The objects in a file; lists are taken apart."""
    try:
        documents = list(yaml.load_all(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file} is no YAML: {one_line(error)}") from error
    for number, document in enumerate(documents, 1):
        items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else [document]
        for thing in items if isinstance(items, list) else [items]:
            if isinstance(thing, dict) and isinstance(thing.get("kind"), str):
                yield _resource(thing)
            elif thing is not None:
                raise PolicyError(
                    f"{file}, document {number} holds {str(thing)[:60]!r}, which is no Kubernetes object: "
                    "an object has a kind, such as Deployment"
                )


def _resource(thing: dict[str, Any]) -> Resource:
    thing = kinds.complete(thing)
    identity = kinds.identity(thing)
    token = f"kubernetes:{thing['apiVersion']}:{thing['kind']}"
    return Resource(urn=identity, type=token, name=identity.rpartition("/")[2], properties=thing)


def _gatekeeper(stack: str) -> list[dict[str, Any]]:
    made = gatekeeper.constraints(_settings(stack), exemptions.load(), NAMESPACES, stack, _today())
    return [*gatekeeper.templates(), gatekeeper.inventory(), *made]


def _settings(stack: str) -> PolicySettings:
    """The block of a stack file; rules' own defaults without a stack."""
    if not stack:
        return PolicySettings()
    file = FOLDER.parent / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise PolicyError(f"there is no stack {stack!r}: {file.name} is missing")
    try:
        written = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"{file} is no YAML: {one_line(error)}") from error
    return parse(((written or {}).get("config") or {}).get(KEY, {}))


def _today() -> dt.date:
    return dt.datetime.now(tz=dt.UTC).date()


if __name__ == "__main__":
    sys.exit(main())
