import itertools

import pytest
import yaml

from infra.base import names
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE
from workloads.lifecycle.pipelines.kubeflow import (
    AUTHORITY,
    AUTHORITY_FOLDER,
    PLAIN_VARIABLES,
    SECRET_VARIABLES,
    Images,
    compile_to,
)
from workloads.lifecycle.pipelines.stages import STAGES as TABLE

ENVIRONMENT = Environment(workload="workloads.loan_default.definition:LOAN_DEFAULT")
STAGES = ["ingest", "train", "validate", "features", "register", "deploy"]
NOT_OF_STAGES = {
    "AIRFLOW_LOGIN",
    "AIRFLOW_URL",
    "FORMER_TOKENS",
    "OUTCOMES_TOKEN",
    "PIPELINE_DEFINITIONS",
    "STAGE_ENVIRONMENTS",
    "INGESTION_RUN",
    "LABELLED_WINDOW",
    "RETRAIN_URL",
    "RETRAIN_TOKEN",
    "RETRAIN_TOKEN_FILE",
    "RETRAIN_DATABASE",
    "KFP_HOST",
    "PROMETHEUS_LOGIN",
    "PROMETHEUS_URL",
    "PUSHGATEWAY_LOGIN",
    "ALERT_TOKEN",
    "SCHEDULE_TOKEN",
    "SIGN_TOKEN",
    "VIEW_TOKEN",
    "SIGNING_KEY",
    "VERIFYING_KEY_FILE",
    "RELEASE_POLICY_SHA256",
    "MLFLOW_TRACKING_USERNAME",  # these three are logins of the local stack; its stages inherit them
    "MLFLOW_TRACKING_PASSWORD",
    "OPA_TOKEN",
} | {f"{target}_IMAGE" for target in ("INGEST", "WORKLOAD", "TRAIN_GPU")}
IMAGES = Images("repo/ingest@sha256:1", "repo/workload@sha256:2", "repo/train-gpu@sha256:3")


def compiled(tmp_path, images):
    compile_to(tmp_path / "pipeline.yaml", ENVIRONMENT, images)
    pipeline, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    return pipeline, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("pipeline"), IMAGES)


def tasks_of(spec):
    """Each stage's key and task."""
    return {task["taskInfo"]["name"]: (key, task) for key, task in spec[0]["root"]["dag"]["tasks"].items()}


def label(spec, stage):
    component = tasks_of(spec)[stage][1]["componentRef"]["name"]
    return spec[0]["components"][component]["executorLabel"]


def executor(spec, stage):
    return spec[0]["deploymentSpec"]["executors"][label(spec, stage)]["container"]


def test_the_stages_follow_each_other_without_conditions(spec):
    tasks = tasks_of(spec)
    assert list(tasks) == STAGES == [stage.name for stage in TABLE]
    for before, after in itertools.pairwise(STAGES):
        assert tasks[before][0] in tasks[after][1]["dependentTasks"]
    assert not any("triggerPolicy" in task for _, task in tasks.values())


def test_each_task_runs_its_stage_of_its_workload_with_given_inputs(spec):
    for stage, (_, task) in tasks_of(spec).items():
        given = {name: each["runtimeValue"]["constant"] for name, each in given_to(task).items()}
        assert (given["stage"], given["workload"]) == (stage, ENVIRONMENT.workload)
        assert given["arguments"].startswith("--run={{$.inputs.parameters['pipelinechannel--run']}}")
    _, validate = tasks_of(spec)["validate"]
    assert "--run-id={{$.inputs" in given_to(validate)["arguments"]["runtimeValue"]["constant"]


def given_to(task):
    return {name: each for name, each in task["inputs"]["parameters"].items() if "pipelinechannel" not in name}


def test_each_stage_runs_in_its_image(spec):
    found = {stage: executor(spec, stage)["image"] for stage in STAGES}
    assert found == dict.fromkeys(STAGES, IMAGES.workload) | {"ingest": IMAGES.ingest, "train": IMAGES.train_gpu}


def test_only_training_asks_for_a_gpu_and_tolerates_its_taint(spec):
    asked = {stage: executor(spec, stage)["resources"].get("accelerator") for stage in STAGES}
    assert asked.pop("train")["resourceCount"] == "1"
    assert set(asked.values()) == {None}
    (toleration,) = spec[1][label(spec, "train")]["tolerations"]
    assert (toleration["key"], toleration["operator"]) == ("nvidia.com/gpu", "Exists")


def test_without_a_gpu_image_nothing_asks_for_one(tmp_path):
    spec = compiled(tmp_path, Images())
    assert "accelerator" not in executor(spec, "train")["resources"]
    assert "tolerations" not in spec[1][label(spec, "train")]


def test_memory_is_limited_and_nothing_is_cached(spec):
    for stage in STAGES:
        assert float(executor(spec, stage)["resources"]["memoryLimit"]) >= 1
        assert "enableCache" not in tasks_of(spec)[stage][1]["cachingOptions"]


def test_everything_is_retried_but_the_gate(spec):
    retried = {stage: task.get("retryPolicy", {}).get("maxRetryCount") for stage, (_, task) in tasks_of(spec).items()}
    assert retried == dict.fromkeys(STAGES, 2) | {"validate": None}


def test_every_stage_gets_every_variable_and_secrets_from_the_secret(spec):
    known = {name.upper() for name in Environment.model_fields} - {
        "SETTINGS",
        "WORK_DIR",
        "WORK_DIRS",
        "APPROVER",
        "PORT",
        "LISTEN_ADDRESS",
        *NOT_OF_STAGES,
    }
    aws = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert set(PLAIN_VARIABLES) | set(SECRET_VARIABLES) == known | aws | {SETTINGS_VARIABLE}
    for stage in STAGES:
        config = spec[1][label(spec, stage)]
        plain = {item["envVar"] for item in config["configMapAsEnv"][0]["keyToEnv"]}
        secret = {item["envVar"] for item in config["secretAsEnv"][0]["keyToEnv"]}
        assert (plain, secret) == (set(PLAIN_VARIABLES), set(SECRET_VARIABLES))


def test_every_stage_has_the_databases_certificates_if_there_are_any(spec):
    assert (AUTHORITY, AUTHORITY_FOLDER) == (names.DATABASE_AUTHORITY, names.DATABASE_AUTHORITY_FOLDER)
    for config in spec[1].values():
        (mounted,) = config["configMapAsVolume"]
        assert (mounted["mountPath"], mounted["optional"]) == (AUTHORITY_FOLDER, True)
        assert AUTHORITY in str(mounted)
