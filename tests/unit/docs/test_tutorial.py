"""`docs/how-to/add-a-workload.md`, word by word: a workload of another repository, without an edit in this one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.base import paths
from tests.documents import TUTORIAL, blocks, tutorial, tutorial_files, write_package
from tools import pulumi_cli
from tools.environments import EXTENDED

pytestmark = pytest.mark.timeout(900)  # a minute of a quiet machine

PLACE = "path/to/greenhouse"
STACK_FILE = "Pulumi.local.yaml"

FOLLOWED = {
    f"make workload FROM={PLACE}": "list greenhouse in `mlplatform:workloads`",
    "make contract WORKLOAD=greenhouse": " passed",
}
"""Command -> what it has to print."""

INSTEAD = {
    "make up": "the tests of the stack's graph below; `tests/e2e/test_two_workloads.py` brings it up beside two others",
    "make doctor WORKLOAD=greenhouse": "it asks a running stack, as `tests/e2e/test_two_workloads.py` does",
}
"""Command -> why it is not run here."""

CONTRACT = "tests/unit/workloads/test_workload_contract"
LEFT_OUT = (
    f"--deselect={CONTRACT}_loop.py",
    f"--deselect={CONTRACT}_model.py::test_batch_scores_each_entity_once_as_the_server_does",
    f"--deselect={CONTRACT}_model.py::test_shuffled_outcomes_are_refused_with_a_reason",
    *(
        f"--deselect={CONTRACT}_erase.py::test_{name}"
        for name in (
            "audit_log_names_a_hash_and_no_key",
            "erased_entity_does_not_come_back_from_the_raw_file",
            "killed_erasure_is_completed",
            "row_that_is_written_after_the_erasure_goes_at_night",
            "second_erasure_says_when_the_first_was",
            "two_erasures_at_once_bring_nothing_back",
        )
    ),
)
"""Parts of the contract that take four fifths of its time, and are about the lifecycle's code more than a workload's;
three other workloads pass them in `make test`. That its entities can be erased, this one passes here."""

GRAPH = """
import json, sys
from simulated_pulumi.facts import Facts
from simulated_pulumi.runner import run
from stacks.commands import reference, schema
from tests import conftest, dev
from tests.graph import test_local

made = {"local": test_local.program, "dev": dev.program}
for stack, program in made.items():
    facts = Facts(project="mlplatform", stack=stack, outputs=conftest.OUTPUTS, timeout_seconds=conftest.PROGRAM_SECONDS)
    graph = run(program(**json.loads(sys.argv[1])), facts)
    components = [each.name for each in graph.all("mlplatform:index:Lifecycle")]
    namespaces = [each.get("metadata.name") for each in graph.all("Namespace")] if stack == "dev" else []
    print(json.dumps({"components": components, "namespaces": namespaces, "outputs": graph.outputs}, default=str))
print(json.dumps([schema.text() == schema.PATH.read_text(), reference.text() == reference.FILE.read_text()]))
"""


def commands():
    return [command for block in blocks(tutorial(), TUTORIAL) for command in block.commands]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder beside the checkout with the files of the tutorial."""
    return write_package(tmp_path_factory.mktemp("beside") / "greenhouse")


@pytest.fixture(scope="module")
def environ(tmp_path_factory):
    """Variables of a shell whose environments are thin ones over those of the checkout, which stay as they are."""
    cache, real = tmp_path_factory.mktemp("cache") / "mlplatform", paths.cache_dir()
    own = cache / "envs" / paths.checkout_key()
    own.mkdir(parents=True)
    for below, above in ((real, cache), (paths.environment_dir("infra").parent, own)):
        for entry in below.iterdir():
            if entry.name not in {"envs", "packages", "bin", "engine", *EXTENDED}:
                (above / entry.name).symlink_to(entry)
    for name in EXTENDED:
        environment = paths.environment_dir(name)
        if not environment.is_dir():
            pytest.skip(f"the environment {name} is not installed")
        subprocess.run([environment / "bin" / "python", "-m", "venv", "--without-pip", own / name], check=True)
        (below,) = environment.glob("lib/python3*/site-packages")
        (above,) = (own / name).glob("lib/python3*/site-packages")
        (above / "below.pth").write_text(f"import site; site.addsitedir({str(below)!r})\n")
    places = {"XDG_CACHE_HOME": str(cache.parent), "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    environ = {**os.environ, **places, "PYTHON": sys.executable, "PYTEST_ADDOPTS": " ".join(LEFT_OUT)}
    if pulumi_cli.chosen() is None:
        pytest.skip("the Pulumi CLI is not installed")
    said(f"'{sys.executable}' -c 'from tools import pulumi_cli; pulumi_cli.install()'", environ)
    return environ


def said(command, environ):
    ended = subprocess.run(
        ["sh", "-c", command], cwd=paths.CHECKOUT, env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
    return ended.stdout + ended.stderr


def python(environ, name):
    return str(Path(environ["XDG_CACHE_HOME"], "mlplatform", "envs", paths.checkout_key(), name, "bin", "python"))


@pytest.fixture(scope="module")
def followed(place, environ):
    """What each command of the tutorial said, in its order."""
    before = state_of_checkout()
    told = {}
    for command in commands():
        if command not in INSTEAD:
            told[command] = said(command.replace(PLACE, str(place)), environ)
    assert state_of_checkout() == before
    return told


def state_of_checkout():
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=paths.CHECKOUT, capture_output=True, text=True, check=True).stdout


def test_each_command_of_the_tutorial_is_followed_or_has_a_reason():
    assert commands() == [*FOLLOWED, *INSTEAD]


@pytest.mark.tier("tutorial")
@pytest.mark.parametrize("command", FOLLOWED)
def test_command_of_the_tutorial_says_what_it_should(followed, command):
    assert FOLLOWED[command] in followed[command]


def test_tutorial_has_no_more_code_than_a_reader_follows():
    assert 50 < sum(len(content.splitlines()) for content in tutorial_files().values()) < 110


@pytest.mark.tier("tutorial")
@pytest.mark.usefixtures("followed")
def test_stack_that_lists_the_workload_declares_it(environ):
    blocks_of_file = {
        key.removeprefix("mlplatform:"): value for key, value in yaml.safe_load(tutorial_files()[STACK_FILE]).items()
    }
    command = [python(environ, "infra"), "-c", GRAPH, json.dumps(blocks_of_file)]
    ended = subprocess.run(command, cwd=paths.CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    local, dev, same = map(json.loads, ended.stdout.splitlines())
    for graph in (local, dev):
        assert "greenhouse" in graph["components"]
        assert graph["outputs"]["workloads"]["greenhouse"] == "greenhouse"
        assert "/models/greenhouse" in graph["outputs"]["endpoints"]["greenhouse"]["prediction_url"]
    assert "greenhouse" in dev["namespaces"]
    assert same == [True, True], "schema and reference name an installed workload"


@pytest.mark.tier("tutorial")
@pytest.mark.usefixtures("followed")
def test_stages_process_finds_the_workload_by_its_name(environ):
    code = "from workloads.lifecycle.base import environment; print(environment.load().definition.title)"
    found = subprocess.run(
        [python(environ, "workloads"), "-c", code],
        cwd=paths.CHECKOUT,
        env={**environ, "WORKLOAD": "greenhouse"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "Greenhouse\n"


@pytest.mark.tier("tutorial")
@pytest.mark.usefixtures("followed")
def test_environments_of_the_checkout_know_nothing_of_it():
    code = "from importlib import metadata; print(*metadata.entry_points(group='mlplatform.workloads').names)"
    for name in EXTENDED:
        command = [paths.environment_dir(name) / "bin" / "python", "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert "greenhouse" not in found
