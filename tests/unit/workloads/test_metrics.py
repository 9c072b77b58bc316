import ast
import subprocess
import sys
from pathlib import Path

import pytest

from workloads.lifecycle.base import errors
from workloads.loan_default import metrics


def test_the_names_others_rely_on_are_the_documented_ones():
    assert {
        metrics.PREDICTIONS,
        metrics.PREDICTION_ERRORS,
        metrics.PREDICTION_LATENCY,
        metrics.SCORE,
        metrics.DATA_DRIFT_SCORE,
        metrics.FEATURE_DRIFT_SCORE,
        metrics.BIAS_GAP,
        metrics.MODEL_INFO,
    } == {
        "loan_default_predictions_total",
        "loan_default_prediction_errors_total",
        "loan_default_prediction_latency_seconds",
        "loan_default_score",
        "evidently_data_drift_score",
        "evidently_feature_drift_score",
        "loan_default_bias_gap",
        "loan_default_model_info",
    }


@pytest.mark.parametrize("module", [metrics, errors], ids=["metrics", "errors"])
def test_names_and_errors_need_the_standard_library_only(module):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "stage", ["settings", "ingestion", "features", "training", "validation", "registry", "release"]
)
def test_importing_a_stage_loads_none_of_the_slow_libraries(stage):
    code = (
        f"import sys, workloads.loan_default.{stage}; "
        "print([name for name in ('mlflow', 'feast', 'pyspark', 'sklearn', 'kserve') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_stage_is_a_command_with_help():
    stages = [
        "ingestion",
        "features",
        "training",
        "validation",
        "registry",
        "deployment",
        "release",
        "nightly",
        "batch",
    ]
    for stage in [*stages, "evidence", "executor", "monitoring", "labels", "drill", "retraining.client"]:
        done = subprocess.run(
            [sys.executable, "-m", f"workloads.loan_default.{stage}", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"python -m workloads.loan_default.{stage}" in done.stdout
