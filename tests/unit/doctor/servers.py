"""What a healthy platform's servers say."""

import json

from workloads.loan_default.definition import LOAN_DEFAULT

FEATURES = LOAN_DEFAULT.features

VALUES = [24, 8400.0, 655, 2]
SCORES = {json.dumps([45, 72000, 680, 3]): 0.2, json.dumps({"CustomerID": 1001}): 0.3, json.dumps(VALUES): 0.3}


def answers(**changes):
    """What a healthy platform's servers say, by path; `changes` replaces an answer."""
    model = "/v1/models/loan-default"
    found = {
        "predict": (f"{model}:predict", lambda body: {"predictions": [SCORES[json.dumps(body["instances"][0])]]}),
        "infer": ("/v2/models/loan-default/infer", {"outputs": [{"data": [0.2]}]}),
        "metrics": ("/metrics", 'mlplatform_model_info{alias="champion",version="7"} 1.0\n'),
        "features": (
            "/get-online-features",
            {
                "metadata": {"feature_names": ["CustomerID", *FEATURES]},
                "results": [{"values": [1001]}, *({"values": [value]} for value in VALUES)],
            },
        ),
        "alias": ("/api/2.0/mlflow/registered-models/alias", {"model_version": {"version": "7"}}),
        "health": ("/health", "OK"),
        "policy": ("/v1/data/release", {"result": {"allow": False}}),
        "targets": (
            "/api/v1/targets",
            {"data": {"activeTargets": [{"labels": {"job": "loan-default"}, "health": "up"}]}},
        ),
        "rules": ("/api/v1/rules", rules("inactive")),
        "route": (
            "/api/v2/status",
            {"config": {"original": "route: DataDriftDetected\nreceivers: webhook_configs"}},
        ),
        "readyz": ("/readyz", {"status": "ok"}),
        "report": ("/drift_report.html", "<html>"),
        "drift": ("/api/v1/query", {"data": {"result": [{"value": [0, "0.1"]}]}}),
        "pipelines": ("/apis/v2beta1/healthz", {"multi_user": False}),
    }
    return {path: changes.get(name, answer) for name, (path, answer) in found.items()}


def rules(state, name="DataDriftDetected", threshold="0.37"):
    noted = {"measure": 'evidently_data_drift_score{workload="loan-default"}', "threshold": threshold}
    return {"data": {"groups": [{"rules": [{"name": name, "state": state, "health": "ok", "annotations": noted}]}]}}
