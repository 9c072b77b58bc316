"""A workload with the longest name that a definition may have fits the limits of all that is named after it."""

import re

import pytest

from tests import prod as on_aws
from tests.dev import program as dev
from tests.graph.test_local import program as local
from workloads.lifecycle import discovery
from workloads.lifecycle.schema import NAME_LENGTH
from workloads.loan_default.definition import LOAN_DEFAULT

NAME = "n" * (NAME_LENGTH - 2) + "-9"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")
CRON_JOB, ROLE, SUFFIX = 52, 64, 8
"""Characters of a CronJob's name, of a role's on AWS, and of what the provider appends to a logical name.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


@pytest.fixture(autouse=True)
def renamed(monkeypatch):
    found = LOAN_DEFAULT.model_copy(update={"name": NAME})
    monkeypatch.setattr(discovery, "find", lambda _: found)


@pytest.fixture(scope="module")
def prod():
    """Once for all tests: the program takes seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(discovery, "find", lambda _: LOAN_DEFAULT.model_copy(update={"name": NAME}))
        return on_aws.graph(on_aws.program())


def objects(graph):
    return [each for each in graph.resources if each.type.startswith("kubernetes:") and "metadata" in each.inputs]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_names_and_labels_of_objects_fit_kubernetes(stack, prod, pulumi_run):
    graph = prod if stack == "prod" else pulumi_run(dev())
    named = [(each.type, str(each.get("metadata.name", ""))) for each in objects(graph)]
    of_workload = [(kind, name) for kind, name in named if NAME in name]
    assert len(of_workload) > 8
    assert [found for found in of_workload if not DNS_LABEL.fullmatch(found[1])] == []
    assert [name for kind, name in of_workload if kind.endswith(":CronJob") and len(name) > CRON_JOB] == []
    labels = {value for each in objects(graph) for value in (each.get("metadata.labels", None) or {}).values()}
    assert [value for value in labels if isinstance(value, str) and not LABEL.fullmatch(value)] == []


def test_roles_on_aws_have_room_for_what_the_provider_appends(prod):
    roles = [each.name for each in prod.all("aws:iam/role:Role") if NAME in each.name]
    assert len(roles) > 3
    assert [name for name in roles if len(name) + SUFFIX > ROLE] == []


def test_stack_on_this_machine_takes_the_name(pulumi_run):
    files = [each.get("path") for each in pulumi_run(local()).all("host:index:Folder")]
    assert any(NAME in path for path in files)
