"""The registry on AWS."""

import json
from typing import get_args

import pytest
from pulumi_aws import ecr
from pydantic import ValidationError

from infra import registry
from infra.base.images import Target
from infra.registry.settings import EcrSettings
from tests.aws import ACCOUNT, options

pytestmark = pytest.mark.aws


@pytest.fixture
def graph(pulumi_run):
    return lambda **changes: pulumi_run(
        lambda: registry.build("registry", EcrSettings(kind="ecr", **changes), ACCOUNT, options())
    )


def test_every_image_has_a_scanned_repository_with_immutable_tags(graph):
    made = graph().all(ecr.Repository)
    assert {each.get("name") for each in made} == {f"mlplatform/{target}" for target in get_args(Target)}
    for each in made:
        each.assert_inputs({"imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": True}})
        assert each.get("encryptionConfigurations[0].encryptionType") == "KMS"


def test_repository_expires_untagged_images_and_all_but_the_newest(graph):
    made = graph(keep_images=5, untagged_days=3)
    rules = json.loads(made.all(ecr.LifecyclePolicy)[0].get("policy"))["rules"]
    assert [(each["selection"]["countType"], each["selection"]["countNumber"]) for each in rules] == [
        ("sinceImagePushed", 3),
        ("imageCountMoreThan", 5),
    ]


def test_a_cache_is_made_for_every_upstream_that_the_stack_file_names(graph):
    assert not graph().all(ecr.PullThroughCacheRule)
    made = graph(pull_through_cache={"mirror": {"host": "registry.example.com"}})
    made.one(ecr.PullThroughCacheRule).assert_inputs(
        {"ecrRepositoryPrefix": "mirror", "upstreamRegistryUrl": "registry.example.com"}
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_images": 1},
        {"untagged_days": 0},
        {"pull_through_cache": {"UPPER": {"host": "registry.example.com"}}},
        {"pull_through_cache": {"mirror": {"host": "https://registry.example.com"}}},
    ],
)
def test_a_wrong_registry_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        EcrSettings(kind="ecr", **wrong)


@pytest.mark.parametrize(("protection", "forced"), [("protect", False), ("retain", False), ("delete", True)])
def test_images_go_with_their_repository_only_where_settings_say_so(graph, protection, forced):
    made = graph(protection=protection).all(ecr.Repository)
    assert {each.get("forceDelete") for each in made} == {forced}
    assert {each.protect for each in made} == {protection == "protect"}
