"""Every command that a document shows, on one running stack; those that cannot run here, by what stands in for them."""

import json
import subprocess

import pytest

from infra.base import paths
from tests.documents import DOCUMENTS, TUTORIAL, commands

from .stack import REAL_DATA, UP_SECONDS

pytestmark = pytest.mark.timeout(UP_SECONDS)
DRILL = "make drill"

REGISTRY = "docker.io/library/registry:3.0.0"
NO_DOCKER = "it needs Docker, and a cluster that `kind` makes there"

ELSEWHERE = {
    f"docker run --detach --restart=always --publish 127.0.0.1:5001:5000 --name kind-registry {REGISTRY}": (
        NO_DOCKER,
        "grep REGISTRY_IMAGE infra/base/pins.py",
        REGISTRY,
    ),
    "docker rm --force --volumes kind-registry": (
        NO_DOCKER,
        "grep kind-registry infra/host/kinds/kind_cluster.py",
        "REGISTRY",
    ),
    "make images REGISTRY=127.0.0.1:5001/mlplatform": (
        NO_DOCKER,
        "make -n images REGISTRY=127.0.0.1:5001/mlplatform",
        '-m tools.images --registry "127.0.0.1:5001/mlplatform"',
    ),
    "make preview STACK=dev": (
        "the suite `engine` makes previews",
        "make -n preview STACK=dev",
        "stacks.commands.preview",
    ),
    "make up STACK=dev": (NO_DOCKER, "make -n up STACK=dev", "-m policies up"),
    "make forward STACK=dev": (NO_DOCKER, "make -n forward STACK=dev", "-m stacks.commands.forward"),
    "export MODEL=$(make -s outputs STACK=dev | python3 -c 'import json, sys; "
    'print(json.load(sys.stdin)["prediction_url"])\')\n'
    """curl -sSf -w '\\n' "$MODEL" -H 'Content-Type: application/json' -d '{"instances": [[45, 72000, 680, 3]]}'""": (
        NO_DOCKER,
        "make -n outputs STACK=dev",
        "pulumi stack output --stack dev --json",
    ),
    "make doctor STACK=dev": (NO_DOCKER, "make -n doctor STACK=dev", "-m stacks.commands.doctor --stack dev"),
    'make down STACK=dev LOSE="artifact-store database monitoring online-store pipelines"': (
        NO_DOCKER,
        'make -n down STACK=dev LOSE="artifact-store database monitoring online-store pipelines"',
        "--lose artifact-store database monitoring online-store pipelines",
    ),
    DRILL: (
        "its limits are those of a quiet machine: `make soak` runs it, below",
        f"{DRILL} --dry-run",
        "--bad-release",
    ),
    "make simulate": ("the suite `workloads` simulates days of it", "make -n simulate", "-m tests.simulation"),
    "make test": ("it is the run that this test belongs to", "make -n test", "-m tools.suites"),
    "export PULUMI_BACKEND_URL=s3://example-mlplatform-state\n"
    'pulumi stack init prod --secrets-provider="awskms://alias/mlplatform-state?region=eu-west-1"': (
        "it needs a bucket and a key on AWS",
        (
            'eval "$(make -s env STACK=prod)"; cp Pulumi.yaml {folder}; mkdir {folder}/state; cd {folder}\n'
            "export PULUMI_BACKEND_URL=file://{folder}/state\n"
            "pulumi stack init prod --secrets-provider=passphrase; cat Pulumi.prod.yaml"
        ),
        "encryptionsalt",
    ),
}
"""Command -> why it is not run here, what is run in its place, and what that must print."""

EXPECTED = {
    "make up": '{"predictions":',
    "make retrain": '"status": "promoted"',
    "make rollback": '"served_seconds"',
    "make status": '"champion"',
    "make outputs": '"alertmanager_url"',
    "make doctor": "found their part at work",
    "make edge REPORT=path/to/edge": "run.py",
    "make erase CUSTOMER=1002": "erased: ",
    "make evidence": "the chain holds",
    'make stage RUN="python -m workloads.lifecycle.registry.versions --rollback"': '"version"',
    'make stage RUN="python -m workloads.lifecycle.monitoring.check"': '"rows"',
    'make stage RUN="python -m workloads.lifecycle.pipelines.nightly"': '"parity_checked"',
    'make stage RUN="python -m workloads.lifecycle.monitoring.outcomes --import outcomes.json"': "1 outcomes stored",
}
"""What a command must print, where its exit status does not say enough."""

FIRST = ("make up", "make retrain")
"""What gives the others something to work on."""


def here():
    """The commands that run, in an order in which each has what it needs."""
    followed = (document for document in DOCUMENTS if document != TUTORIAL)
    found = [command for command in commands(followed) if command not in ELSEWHERE]
    return sorted(found, key=lambda each: FIRST.index(each) if each in FIRST else len(FIRST))


@pytest.fixture(scope="module")
def written(stack, first_up, tmp_path_factory):
    """The files that the documents speak of; the stack has the drill's short durations meanwhile."""
    assert first_up
    folder = tmp_path_factory.mktemp("documents")
    outcomes, data = folder / "outcomes.json", REAL_DATA
    outcomes.write_text(json.dumps({"outcomes": [{"request_id": "a-request-of-a-runbook", "outcome": 1}]}))
    if not data.exists():
        data = folder / "raw.csv"
        code = "import pathlib, sys; from workloads.loan_default.generator import generate; "
        code += "generate(pathlib.Path(sys.argv[1]), 30_000, 42)"
        python = paths.environment_dir("workloads") / "bin" / "python"
        subprocess.run([python, "-c", code, data], cwd=paths.CHECKOUT, check=True)
    kept = dict(stack.environ)
    stack.environ |= {"DRILL": "1"}
    stack.environ.pop("DATA", None)
    yield {
        "path/to/uci_credit_card_default.csv": str(data),
        "path/to/mended.csv": str(data),
        "path/to/edge": str(folder / "edge"),
        "path/to/backup": str(folder / "backup"),
        "outcomes.json": str(outcomes),
    }
    stack.environ = kept
    stack.up()


@pytest.mark.e2e
def test_each_described_command_is_one_that_the_documents_show():
    assert {*ELSEWHERE, *EXPECTED, *FIRST} <= set(commands())


@pytest.mark.e2e
@pytest.mark.tier("document-commands")
@pytest.mark.parametrize("command", here())
def test_a_command_of_the_documents_does_what_it_says(stack, written, command):
    line = command
    for name, real in written.items():
        line = line.replace(name, real)
    assert EXPECTED.get(command, "") in stack.sh(line)


@pytest.mark.e2e
@pytest.mark.tier("document-commands")
@pytest.mark.parametrize("command", ELSEWHERE)
def test_stand_in_for_a_command_that_cannot_run_here_does_its_part(stack, tmp_path, command):
    _why, instead, expected = ELSEWHERE[command]
    assert expected in stack.sh(instead.format(folder=tmp_path))


@pytest.mark.soak
@pytest.mark.usefixtures("written")
def test_the_fire_drills_close_the_loop(stack):
    printed = stack.sh(DRILL)
    assert "the loop closed in" in printed
    print(printed)  # noqa: T201  the timelines, for the reader of a run with -s
