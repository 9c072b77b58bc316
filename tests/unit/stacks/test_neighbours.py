"""A second platform in an AWS account has names of its own, or is refused before anything is made."""

import json
import shutil

import pytest
import yaml
from pulumi_aws import ecr, eks, iam

from infra.base import images
from infra.base.paths import CHECKOUT
from stacks import neighbours
from tests import prod

OWN = {
    "substrate": {"name": "staging", "names": "staging"},
    "cluster": {
        "name": "staging",
        "admin_role_arns": [
            "arn:aws:iam::111122223333:role/platform-admin",
            "arn:aws:iam::111122223333:role/staging/staging-ci-up",
        ],
        "viewer_role_arns": ["arn:aws:iam::111122223333:role/staging/staging-ci-preview"],
    },
    "exposure": {"domain": "staging.example.com"},
    "ci_access": {"provider_arn": "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
}
"""What a copy of prod's file must say otherwise."""


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
    graphs = [prod.graph(prod.program()), prod.graph(prod.program(**OWN))]
    names = []
    for graph in graphs:
        roles = {each.get("name") for each in graph.all(iam.Role) if each.inputs.get("name")}
        policies = {each.get("name") for each in graph.all(iam.Policy)}
        repositories = {each.get("name") for each in graph.all(ecr.Repository)}
        names.append(roles | policies | repositories | {each.get("name") for each in graph.all(eks.Cluster)})
    assert "ci-up" in names[0]
    assert {"staging-ci-up", "staging-boundary", "staging/serve", "staging"} <= names[1]
    assert names[0] & names[1] == set()
    assert {each.get("path") for each in graphs[1].all(iam.Role)} == {"/staging/"}


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
