"""A second platform in an AWS account has names of its own, or is refused before anything is made."""

import json
import shutil

import pytest
import yaml
from pulumi_aws import iam

from infra.base import images
from infra.base.paths import CHECKOUT
from stacks import neighbours
from stacks.commands.validate import declared
from tests import aws_variants, prod
from tests.validated import fixed_names

OWN = {}
"""What a copy of prod's file must say otherwise, by block."""
for key, value in aws_variants.SECOND.items():
    block, _, name = key.partition(".")
    OWN.setdefault(block, {})[name] = list(value) if isinstance(value, tuple) else value


@pytest.fixture
def folder(tmp_path):
    """Prod's file and a copy of it."""
    for name in ("prod", "staging"):
        shutil.copy(CHECKOUT / "Pulumi.prod.yaml", tmp_path / f"Pulumi.{name}.yaml")
    return tmp_path


def change(folder, changes):
    file = folder / "Pulumi.staging.yaml"
    read = yaml.safe_load(file.read_text())
    for block, values in changes.items():
        read["config"][f"mlplatform:{block}"] |= values
    file.write_text(yaml.safe_dump(read))


def test_copied_stack_file_is_refused_with_both_files_and_the_setting(folder):
    said = neighbours.shared("staging", folder)
    assert "Pulumi.staging.yaml and Pulumi.prod.yaml are two platforms in the account 111122223333" in said
    assert "mlplatform:substrate.name is prod in both" in said


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("substrate", "name"),
        ("substrate", "names"),
        ("cluster", "name"),
        ("exposure", "domain"),
        ("ci_access", "provider_arn"),
    ],
)
def test_each_name_that_must_differ_is_asked_for(folder, block, key):
    left = {name: dict(values) for name, values in OWN.items()}
    del left[block][key]
    change(folder, left)
    assert f"mlplatform:{block}.{key} is " in neighbours.shared("staging", folder)


def test_stacks_with_own_names_stand_beside_each_other(folder):
    change(folder, OWN)
    assert neighbours.shared("staging", folder) is None
    assert neighbours.shared("prod", folder) is None


@pytest.mark.parametrize("changed", [{"account_id": "444455556666"}, {"kind": "kubernetes"}])
def test_stack_elsewhere_shares_no_names(folder, changed):
    change(folder, {"substrate": changed})
    assert neighbours.shared("staging", folder) is None


def test_cluster_of_the_same_name_may_stand_in_another_region(folder):
    change(folder, {name: values for name, values in OWN.items() if name != "cluster"})
    assert "cluster.name" in neighbours.shared("staging", folder)
    change(folder, {"substrate": {"region": "eu-central-1"}})
    assert neighbours.shared("staging", folder) is None


def test_fixed_names_of_two_platforms_have_nothing_in_common():
    first, second = (
        declared.resources(settings, name)
        for name, settings in (("prod", prod.settings()), ("staging", aws_variants.variant("second-in-the-account")))
    )
    names, others = fixed_names(first), fixed_names(second)
    assert {("iam/role", "ci-up"), ("ecr/repository", "mlplatform/serve"), ("eks/cluster", "mlplatform")} <= names
    assert {("iam/role", "staging-ci-up"), ("iam/policy", "staging-boundary"), ("eks/cluster", "staging")} <= others
    assert names & others == set()
    assert {each["inputs"].get("path") for each in second if each["type"] == "aws:iam/role:Role"} == {"/staging/"}


def test_nodes_make_the_repositories_of_a_cache_and_no_others():
    cache = {"kind": "ecr", "pull_through_cache": {"mirror": {"host": "registry.example.com"}}}
    made = prod.graph(prod.program(registry=cache))
    (statement,) = json.loads(made.one(iam.RolePolicy, "autoscaler-node-role-policy").get("policy"))["Statement"]
    assert statement["Resource"] == ["arn:aws:ecr:eu-west-1:111122223333:repository/mirror/*"]
    assert statement["Action"] == ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]


def test_stack_has_images_of_its_own_where_its_file_is_there(tmp_path):
    shared = tmp_path / "images.json"
    assert images.file_of("staging", shared) == shared
    own = tmp_path / "images.staging.json"
    own.write_text("{}")
    assert images.file_of("staging", shared) == own
    assert images.file_of("prod", shared) == shared
