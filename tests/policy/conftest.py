"""What the tests of policies share: OPA on the samples."""

import json
import os
import subprocess

import pytest
from pytest_pulumi_kubernetes import MissingToolError

from infra.base import paths
from policies import catalogue, interpreter, samples
from policies.catalogue import FOLDER


@pytest.fixture(scope="session", autouse=True)
def _tools_on_path():
    """OPA stands where the installer puts it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in interpreter.COLLECTED_SELDOM.items():  # gator, and OPA with the rules' own tests
            patch.setenv(name, value)
        patch.setenv("PATH", os.pathsep.join([str(paths.tools_dir() / "bin"), os.environ["PATH"]]))
        yield


def run_opa(*arguments, code=0, **options):
    done = subprocess.run(
        [interpreter.executable(), *arguments], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory):
    """The samples of every rule in Rego as data for OPA: `data.samples.<package>.<verdict>`."""
    found = {rule.package: {"allowed": [], "disallowed": []} for rule in catalogue.rego_rules().values()}
    for sample in samples.rego():
        entry = {"input": sample.document["input"], "inventory": sample.document["inventory"]}
        found[sample.rule.package][sample.verdict].append(entry | {"id": identity(sample.objects[0])})
    for sample in samples.release():
        verdicts = found.setdefault(sample.rule.package, {"allowed": [], "disallowed": []})
        verdicts[sample.verdict].append({"input": sample.facts})
    found["challenger"] = samples.challenger()
    file = tmp_path_factory.mktemp("samples") / "samples.json"
    file.write_text(json.dumps({"samples": found}))
    return file


def identity(thing):
    """As the library in Rego says it."""
    metadata = thing.get("metadata", {})
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{thing['kind']}/{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def sources(*patterns):
    return sorted(str(file) for pattern in patterns for file in FOLDER.glob(pattern))


@pytest.fixture(scope="session")
def gator(kube_tools):
    """Gatekeeper's own command for tests of policies."""
    try:
        return str(kube_tools.find("gator"))
    except MissingToolError as error:
        pytest.skip(str(error))
