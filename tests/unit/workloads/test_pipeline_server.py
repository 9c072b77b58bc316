"""The KFP client's half, against a stand-in (`kfp_stand_in.py`): no KFP API server runs on this machine."""

import socket
import sys
from dataclasses import replace

import pytest

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.pipelines import kubeflow, kubeflow_server
from workloads.lifecycle.pipelines.kubeflow import Images, publish, submit

from .kfp_stand_in import StandIn

ENVIRONMENT = Environment(workload="workloads.loan_default.definition:LOAN_DEFAULT")
DIGEST = "@sha256:" + "0a" * 32
IMAGES = Images(f"registry.example/ingest{DIGEST}", f"registry.example/workload{DIGEST}")


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(kubeflow_server, "PATIENCE_SECONDS", 20.0)
    server = StandIn()
    yield server
    server.close()


def test_a_submitted_pipeline_is_published_and_run_with_its_argument(stand_in):
    run_id = submit(ENVIRONMENT, stand_in.host, IMAGES, "window-7")
    (version,) = stand_in.versions.values()
    run = stand_in.runs[run_id]
    assert IMAGES.workload.encode() in version["body"]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    parameters = {"labelled_window": "window-7", "retrain": "", "unless": "", "run": run["display_name"]}
    assert run["runtime_config"]["parameters"] == parameters
    assert run["service_account"] == "loan-default"
    assert stand_in.pipelines[version["pipeline_id"]]["display_name"] == "loan-default"


def test_same_pipeline_is_published_once_and_a_new_image_is_a_version(stand_in):
    first, second = (submit(ENVIRONMENT, stand_in.host, IMAGES) for _ in range(2))
    assert first != second
    assert (len(stand_in.pipelines), len(stand_in.versions), len(stand_in.runs)) == (1, 1, 2)
    submit(ENVIRONMENT, stand_in.host, replace(IMAGES, workload=IMAGES.workload.replace("0a", "0b")))
    assert (len(stand_in.pipelines), len(stand_in.versions), len(stand_in.runs)) == (1, 2, 3)


@pytest.mark.parametrize("fault", [503, 429, "lost"])
@pytest.mark.parametrize(
    "request_line", ["GET pipelines", "POST pipelines/upload_version", "POST experiments", "GET runs", "POST runs"]
)
def test_short_server_outage_costs_a_retry_and_never_a_second_run(stand_in, request_line, fault):
    stand_in.faults[request_line] = [fault]
    run_id = submit(ENVIRONMENT, stand_in.host, IMAGES)
    assert stand_in.faults[request_line] == []
    assert list(stand_in.runs) == [run_id]
    assert len(stand_in.versions) == 1


def test_refusal_is_one_line_with_the_servers_words_and_not_retried(stand_in):
    stand_in.faults["POST runs"] = [403]
    with pytest.raises(WorkloadError, match=rf"^KFP at {stand_in.host}: 403 Forbidden: upstream connect error$"):
        submit(ENVIRONMENT, stand_in.host, IMAGES)
    assert stand_in.requests.count("POST runs") == 1


def test_no_server_is_one_line_that_names_it(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr(kubeflow_server.PipelineServer.__init__, "__defaults__", (0.3,))
    with pytest.raises(WorkloadError, match=rf"^KFP at {host} did not answer within 0 s"):
        submit(ENVIRONMENT, host, IMAGES)


def test_an_image_without_digest_is_refused_with_the_fix(stand_in):
    with pytest.raises(WorkloadError, match=r"'ingest:1' is not pinned .* `make images`\) with .*INGEST_IMAGE"):
        submit(ENVIRONMENT, stand_in.host, replace(IMAGES, ingest="ingest:1"))
    assert stand_in.runs == {}


def test_images_come_from_the_environment_and_the_gpu_one_by_setting():
    told = {"ingest_image": f"i{DIGEST}", "workload_image": f"w{DIGEST}", "train_gpu_image": f"g{DIGEST}"}
    assert Images.of(Environment(**told)) == Images(f"i{DIGEST}", f"w{DIGEST}", None)
    settings = {"training": {"estimator": {"kind": "xgboost", "device": "cuda"}}}
    assert Images.of(Environment(**told, settings=settings)).train_gpu == f"g{DIGEST}"
    with pytest.raises(WorkloadError, match="TRAIN_GPU_IMAGE is not set"):
        Images.of(Environment(settings=settings))


def test_publishing_uploads_the_pipeline_and_starts_nothing(stand_in):
    version = publish(ENVIRONMENT, stand_in.host, IMAGES)
    assert publish(ENVIRONMENT, stand_in.host, IMAGES) == version
    assert (list(stand_in.versions), stand_in.runs) == ([version], {})


def test_the_command_submits(stand_in, monkeypatch, capsys):
    images = [f"--ingest-image=i{DIGEST}", f"--workload-image=w{DIGEST}"]
    monkeypatch.setenv("WORKLOAD", "workloads.loan_default.definition:LOAN_DEFAULT")
    monkeypatch.setattr(sys, "argv", ["pipeline", "--submit", stand_in.host, *images])
    kubeflow.main()
    assert capsys.readouterr().out.split() == list(stand_in.runs)
