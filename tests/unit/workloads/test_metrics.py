import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workloads.lifecycle.base import errors, metrics


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
        "mlplatform_predictions_total",
        "mlplatform_prediction_errors_total",
        "mlplatform_prediction_latency_seconds",
        "mlplatform_score",
        "evidently_data_drift_score",
        "evidently_feature_drift_score",
        "mlplatform_bias_gap",
        "mlplatform_model_info",
    }


def test_former_names_are_the_names_without_the_platform():
    former = metrics.former("loan_default_")
    assert former["loan_default_predictions_total"] == metrics.PREDICTIONS
    assert metrics.DATA_DRIFT_SCORE not in {*former, *former.values()}


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


def test_importing_the_stages_loads_none_of_the_slow_libraries():
    code = """
import importlib, sys
for stage in sys.argv[1:]:
    importlib.import_module(f"workloads.lifecycle.{stage}")
    print(*[f"{stage}: {name}" for name in ("mlflow", "feast", "pyspark", "sklearn", "kserve") if name in sys.modules])
"""
    stages = (
        *("base.settings", "ingestion.ingest", "features.publication", "training.train"),
        *("validation.gate", "registry.versions", "retraining.release"),
    )
    done = subprocess.run([sys.executable, "-c", code, *stages], capture_output=True, text=True, check=True)
    assert done.stdout == "\n" * len(stages)


def test_every_stage_is_a_command_with_help():
    stages = [
        "ingestion.ingest",
        "features.publication",
        "training.train",
        "validation.gate",
        "registry.versions",
        "pipelines.deployment",
        "retraining.release",
        "pipelines.nightly",
        "pipelines.stage",
        "serving.batch",
    ]
    others = [
        "registry.evidence",
        "ingestion.executor",
        "monitoring.check",
        "monitoring.outcomes",
        "operations.drill",
        "retraining.client",
    ]
    code = """
import contextlib, io, json, runpy, sys, warnings
warnings.simplefilter("ignore")  # a module that another one has imported runs again as a command
printed = {}
for module in sys.argv[1:]:
    sys.argv[1:] = ["--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    printed[module] = text.getvalue()
print(json.dumps(printed))
"""
    modules = [f"workloads.lifecycle.{stage}" for stage in (*stages, *others)]
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert [module for module in modules if f"python -m {module}" not in printed[module]] == []
