"""Which workloads a stack file lists, and how a command names one."""

import json

import pytest
import yaml

from infra.base import paths
from stacks import settings
from stacks.commands import forward
from stacks.settings import StackFileError, parse

LOCAL = yaml.safe_load((paths.CHECKOUT / "Pulumi.local.yaml").read_text())["config"]
OUTPUTS = {
    "prediction_url": "http://127.0.0.1:1/v1/models/loan-default:predict",
    "mlflow_url": "http://127.0.0.1:2",
    "retrain_token": "first",
    "endpoints": {
        "loan-default": {"prediction_url": "http://127.0.0.1:1/v1/models/loan-default:predict"},
        "pump-wear": {"prediction_url": "http://127.0.0.1:3/v1/models/pump-wear:predict"},
    },
    "workloads": {"loan-default": "loans:LOANS", "pump-wear": "pumps:PUMPS"},
    "retrain_tokens": {"loan-default": "first", "pump-wear": "second"},
}


def read(**blocks):
    config = LOCAL | {f"mlplatform:{name}": value for name, value in blocks.items()}
    return parse({key: json.dumps(value) for key, value in config.items()}, "local")


def test_stack_file_without_workloads_has_the_first_registered_one():
    found = read()
    assert (found.workloads, found.default) == (("loan_default",), "loan_default")
    assert found.definitions["loan_default"].name == "loan-default"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"workloads": ["pump_wear"]}, "workloads names 'pump_wear', which is none of .*loan_default"),
        ({"default_workload": "pump_wear"}, r"default_workload is 'pump_wear', which is none of .*\(loan_default\)"),
        ({"workloads": []}, "mlplatform:workloads is .*at least 1 item"),
        (
            {"workloads": ["loan_default", "loan_default"]},
            "workloads is loan_default, loan_default: list each workload once",
        ),
    ],
)
def test_list_of_workloads_that_cannot_stand_is_refused_in_one_line(blocks, message):
    with pytest.raises(StackFileError, match=message) as caught:
        read(**blocks)
    assert "\n" not in str(caught.value)


def test_unlisted_workload_is_refused_with_those_that_are_listed():
    with pytest.raises(StackFileError, match=r"WORKLOAD is 'pump_wear', which is none of .*\(loan_default\)"):
        settings.workload_named(read(), {"WORKLOAD": "pump-wear"})
    assert settings.workload_named(read(), {"WORKLOAD": "loan-default"}) == "loan_default"
    assert settings.workload_named(read(), {"WORKLOAD": ""}) == "loan_default"


def test_outputs_of_a_workload_replace_those_of_the_default_one():
    found = forward.of_workload(OUTPUTS, "pump_wear")
    assert found["prediction_url"].endswith(":3/v1/models/pump-wear:predict")
    assert (found["retrain_token"], found["workload"]) == ("second", "pumps:PUMPS")
    assert found["mlflow_url"] == OUTPUTS["mlflow_url"]


def test_outputs_without_a_workload_are_those_of_the_default_one():
    assert forward.of_workload(OUTPUTS, "") == OUTPUTS


def test_outputs_of_a_workload_that_is_not_there_name_those_that_are():
    with pytest.raises(forward.ForwardError, match=r"no workload 'pumps' \(it has loan-default, pump-wear\)"):
        forward.of_workload(OUTPUTS, "pumps")
