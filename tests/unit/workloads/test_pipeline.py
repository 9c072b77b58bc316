import itertools

import pytest
import yaml

from infra.core import names
from workloads.loan_default.pipeline import (
    AUTHORITY,
    AUTHORITY_FOLDER,
    PLAIN_VARIABLES,
    SECRET_VARIABLES,
    Images,
    compile_to,
)
from workloads.loan_default.settings import SETTINGS_VARIABLE, Environment

STAGES = ["ingest", "train", "validate", "features", "register", "deploy"]
NOT_OF_STAGES = {
    "INGESTION_RUN",
    "LABELLED_WINDOW",
    "RETRAIN_URL",
    "RETRAIN_TOKEN",
    "RETRAIN_TOKEN_FILE",
    "RETRAIN_DATABASE",
    "KFP_HOST",
} | {f"{target}_IMAGE" for target in ("INGEST", "WORKLOAD", "TRAIN_GPU")}
IMAGES = Images("repo/ingest@sha256:1", "repo/workload@sha256:2", "repo/train-gpu@sha256:3")


def compiled(tmp_path, images):
    compile_to(tmp_path / "pipeline.yaml", images)
    pipeline, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("pipeline"), IMAGES)


def executor(spec, stage):
    return spec[0]["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]


def test_the_stages_follow_each_other_without_conditions(spec):
    tasks = spec[0]["root"]["dag"]["tasks"]
    assert set(tasks) == set(STAGES)
    for before, after in itertools.pairwise(STAGES):
        assert before in tasks[after]["dependentTasks"]
    assert not any("triggerPolicy" in task for task in tasks.values())


def test_each_stage_runs_in_its_image(spec):
    found = {stage: executor(spec, stage)["image"] for stage in STAGES}
    assert found == dict.fromkeys(STAGES, IMAGES.workload) | {"ingest": IMAGES.ingest, "train": IMAGES.train_gpu}


def test_only_training_asks_for_a_gpu_and_tolerates_its_taint(spec):
    asked = {stage: executor(spec, stage)["resources"].get("accelerator") for stage in STAGES}
    assert asked.pop("train")["resourceCount"] == "1"
    assert set(asked.values()) == {None}
    (toleration,) = spec[1]["exec-train"]["tolerations"]
    assert (toleration["key"], toleration["operator"]) == ("nvidia.com/gpu", "Exists")


def test_without_a_gpu_image_nothing_asks_for_one(tmp_path):
    spec = compiled(tmp_path, Images())
    assert "accelerator" not in executor(spec, "train")["resources"]
    assert "tolerations" not in spec[1]["exec-train"]


def test_memory_is_limited_and_nothing_is_cached(spec):
    for stage in STAGES:
        assert float(executor(spec, stage)["resources"]["memoryLimit"]) >= 1
        assert "enableCache" not in spec[0]["root"]["dag"]["tasks"][stage]["cachingOptions"]


def test_everything_is_retried_but_the_gate(spec):
    retried = {
        stage: task.get("retryPolicy", {}).get("maxRetryCount")
        for stage, task in spec[0]["root"]["dag"]["tasks"].items()
    }
    assert retried == dict.fromkeys(STAGES, 2) | {"validate": None}


def test_every_stage_gets_every_variable_and_secrets_only_from_the_secret(spec):
    known = {name.upper() for name in Environment.model_fields} - {
        "SETTINGS",
        "WORK_DIR",
        "APPROVER",
        "PORT",
        "LISTEN_ADDRESS",
        *NOT_OF_STAGES,
    }
    aws = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert set(PLAIN_VARIABLES) | set(SECRET_VARIABLES) == known | aws | {SETTINGS_VARIABLE}
    for stage in STAGES:
        config = spec[1][f"exec-{stage}"]
        plain = {item["envVar"] for item in config["configMapAsEnv"][0]["keyToEnv"]}
        secret = {item["envVar"] for item in config["secretAsEnv"][0]["keyToEnv"]}
        assert (plain, secret) == (set(PLAIN_VARIABLES), set(SECRET_VARIABLES))


def test_every_stage_has_the_certificates_of_the_database_where_the_stack_has_any(spec):
    assert (AUTHORITY, AUTHORITY_FOLDER) == (names.DATABASE_AUTHORITY, names.DATABASE_AUTHORITY_FOLDER)
    for config in spec[1].values():
        (mounted,) = config["configMapAsVolume"]
        assert (mounted["mountPath"], mounted["optional"]) == (AUTHORITY_FOLDER, True)
        assert AUTHORITY in str(mounted)


def test_every_stage_reports_its_failure_under_its_name(spec):
    for stage in STAGES:
        assert f'errors.report_failure("{stage}")' in str(executor(spec, stage)["command"])
