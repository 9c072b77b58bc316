import json

import pytest

from workloads.lifecycle.base.environment import load
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE


def test_missing_variable_of_a_stage_is_named_and_others_default():
    environment = load({})
    with pytest.raises(WorkloadError, match=r"MLFLOW_TRACKING_URI is not set; it must say: MLflow server"):
        environment.need("mlflow_tracking_uri")


def test_an_empty_variable_counts_as_not_set():
    assert load({"DATA": ""}).data == ""


def test_settings_come_as_json():
    environment = load({"WORKLOAD_SETTINGS": json.dumps({"training": {"trees": 7}})})
    assert environment.settings.training.trees == 7
    assert environment.settings.training.depth == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "WORKLOAD_SETTINGS is not JSON"),
        ('{"training": {"trees": 0}}', r"WORKLOAD_SETTINGS.training.trees: .*greater than or equal to 1 \(got 0\)"),
        ('{"training": {"tree": 1}}', r"WORKLOAD_SETTINGS.training.tree: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_gives_one_line_with_its_name_and_value(value, message):
    with pytest.raises(WorkloadError, match=message) as caught:
        load({"WORKLOAD_SETTINGS": value})
    assert "\n" not in str(caught.value)


def test_a_work_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkloadError, match=r"WORK_DIR=.*file/below cannot be used"):
        _ = load({"WORK_DIR": str(tmp_path / "file" / "below")}).work


KUBERNETES = {
    "image": "registry.example/ingest@sha256:" + "0a" * 32,
    "namespace": "loans",
    "service_account": "ingest",
}


@pytest.mark.parametrize(
    ("ingestion", "said"),
    [
        ({"spark_master": "k8s://https://10.0.0.1:443"}, r"spark_kubernetes must be given with a spark_master k8s://"),
        ({"spark_kubernetes": KUBERNETES}, r"and with no other \(it is local\[\*\]\)"),
        ({"spark_master": "yarn"}, "spark_master"),
        (
            {"spark_master": "k8s://https://10.0.0.1", "spark_kubernetes": KUBERNETES | {"image": "ingest:latest"}},
            "image",
        ),
    ],
)
def test_executors_are_named_for_a_cluster_and_only_there(ingestion, said):
    with pytest.raises(WorkloadError, match=said):
        load({SETTINGS_VARIABLE: json.dumps({"ingestion": ingestion})})
