"""`python -m tests.upgrade.record VERSION`: records the state that today's program leaves, for upgrades from it.

Run at each release, beside whose stack files and names of metrics it stands. The engine is real, the providers are
simulated: ids and passwords are made up and nobody's. `loop` adds what the loop leaves, in the environment `workloads`.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import yaml

from infra.base.paths import CHECKOUT, environment_dir
from workloads.lifecycle.base import metrics

FOLDER = Path(__file__).parent
STACKS = tuple(stack for stack in ("dev", "prod") if (CHECKOUT / f"Pulumi.{stack}.yaml").exists())
"""`local` is left out: what it keeps are folders, and a preview of it needs this machine's ports."""


def metric_names():
    """Names that dashboards and rules of users read."""
    begin = (metrics.PREFIX, "evidently_")
    named = {each for each in vars(metrics).values() if isinstance(each, str) and each.startswith(begin)}
    return sorted(named - {metrics.PREFIX})


def simulated(stack, script):
    """Run a shell script about a simulated stack; what it prints."""
    command = [sys.executable, "-m", "stacks.commands.simulated", "--stack", stack, "--", "sh", "-ec", script]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def main(version):
    """Write one file for each stack, beside the stack files and the names of metrics."""
    folder = FOLDER / version
    folder.mkdir(exist_ok=True)
    for file in sorted(CHECKOUT.glob("Pulumi.*.yaml")):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "metrics.json").write_text(json.dumps(metric_names(), indent=1) + "\n")
    for stack in STACKS:
        script = "pulumi up --yes --skip-preview >&2; pulumi stack export --show-secrets"
        state = json.loads(simulated(stack, script))
        del state["deployment"]["secrets_providers"]  # the importer has another passphrase
        write(folder / f"{stack}.json.gz", state)
    python = environment_dir("workloads") / "bin" / "python"
    subprocess.run([python, "-m", "tests.upgrade.loop", folder], cwd=CHECKOUT, check=True)


def adopt(file, *workloads):
    """Let a recorded state be read with the passphrase of the stack in the current folder, which lists workloads."""
    (settings,) = Path.cwd().glob("Pulumi.*.yaml")
    written = yaml.safe_load(settings.read_text())
    if workloads:
        written["config"]["mlplatform:workloads"] = list(workloads)
        settings.write_text(yaml.safe_dump(written))
    state = json.loads(file.read_text())
    state["deployment"]["secrets_providers"] = {"type": "passphrase", "state": {"salt": written["encryptionsalt"]}}
    file.write_text(json.dumps(state))


def write(file, state):
    """The same state gives the same bytes."""
    file.write_bytes(gzip.compress(json.dumps(state, sort_keys=True).encode(), mtime=0))


def read(file):
    """What `write` wrote, with ARNs as AWS gives them: the simulator of 0.1.0 left the paths of roles out."""
    text = gzip.decompress(file.read_bytes()).decode()
    for role in json.loads(text)["deployment"]["resources"]:
        path = role["inputs"].get("path", "/") if role["type"] == "aws:iam/role:Role" else "/"
        if path != "/":
            name = role["outputs"]["name"]
            text = text.replace(f":role/{name}", f":role{path}{name}")
    return json.loads(text)


if __name__ == "__main__":
    if sys.argv[1] == "--adopt":
        adopt(Path(sys.argv[2]), *sys.argv[3:])
    else:
        main(sys.argv[1])
