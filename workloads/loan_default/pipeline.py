"""The release as a Kubeflow pipeline: the stage functions of `release`, one container each.

Compiles to YAML, runs on this machine with `kfp.local`, or is submitted to a KFP server. No conditions: `kfp.local`
evaluates every one of them as false and calls that success, so the gate is a stage that fails.
"""

import argparse
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kfp import compiler, dsl, kubernetes, local

from workloads.loan_default.errors import WorkloadError, run_command
from workloads.loan_default.settings import Environment, load

if TYPE_CHECKING:
    from workloads.loan_default.pipeline_server import PipelineServer, Version

NAME = "loan-default"
CONFIG_MAP = SECRET = "loan-default"  # noqa: S105  a name
"""Objects in the pipeline's namespace that hold the environment variables of `settings`."""

AUTHORITY, AUTHORITY_FOLDER = "database-authority", "/etc/database-authority"
"""ConfigMap with the certificates that the database is known by, where the stack has any, and where a step reads it."""

PLAIN_VARIABLES = (
    "ARTIFACT_STORE_URI",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "DATA",
    "LOAN_DEFAULT_SETTINGS",
    "MLFLOW_TRACKING_URI",
    "MODEL_URL",
    "OPA_URL",
    "PUSHGATEWAY_URL",
)
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FEAST_ONLINE_STORE", "FEAST_REGISTRY")
WORK_DIR = "/tmp/work"  # noqa: S108  the container's own
GPU = "nvidia.com/gpu"


def _component(function: Callable[..., str]) -> Any:
    """A stage's container; kfp takes the function's source, so everything it needs is imported inside."""
    return dsl.component(function, base_image="workload", install_kfp_package=False)


@_component
def ingest() -> str:
    """CSV to an ingestion run that is not published; returns its name."""
    from workloads.loan_default import errors, ingestion, settings  # noqa: PLC0415

    errors.report_failure("ingest")
    return ingestion.ingest(settings.load()).run


@_component
def train(ingestion_run: str, labelled_window: str) -> str:
    """Features, or a window of labelled requests, to a trained model; returns the MLflow run."""
    from workloads.loan_default import errors, settings, training  # noqa: PLC0415

    errors.report_failure("train")
    print(f"features of {ingestion_run}")
    update = {"ingestion_run": ingestion_run, "labelled_window": labelled_window}
    environment = settings.load().model_copy(update=update)
    return training.train(environment).run_id


@_component
def validate(run_id: str, ingestion_run: str, labelled_window: str) -> str:
    """Fails when the release policy refuses the model; returns the MLflow run otherwise."""
    from workloads.loan_default import errors, settings, validation  # noqa: PLC0415

    errors.report_failure("validate")
    update = {"ingestion_run": ingestion_run, "labelled_window": labelled_window}
    environment = settings.load().model_copy(update=update)
    verdict = validation.validate(environment, run_id)
    if not verdict.allowed:
        raise errors.GateError("refused by the release policy: " + "; ".join(verdict.reasons))
    return run_id


@_component
def features(run_id: str, ingestion_run: str) -> str:
    """Publishes the features that the approved model learnt from; returns the MLflow run."""
    from workloads.loan_default import errors, settings  # noqa: PLC0415
    from workloads.loan_default import features as stage  # noqa: PLC0415

    errors.report_failure("features")
    print(stage.publish(settings.load(), ingestion_run).model_dump_json())
    return run_id


@_component
def register(run_id: str, retrain: str) -> str:
    """Makes the model the champion, or of a retrain the candidate that its service promotes; returns its version."""
    from workloads.loan_default import errors, registry, settings  # noqa: PLC0415

    errors.report_failure("register")
    if retrain:
        return registry.register_candidate(settings.load(), run_id, retrain)
    return registry.register(settings.load(), run_id).version


@_component
def deploy(version: str, retrain: str) -> str:
    """Waits until the version answers; returns the answer as JSON. A retrain's version is promoted after this run."""
    from workloads.loan_default import deployment, errors, settings  # noqa: PLC0415

    errors.report_failure("deploy")
    if retrain:
        return f"version {version} is the candidate of retrain {retrain}"
    return deployment.deploy(settings.load(), version).model_dump_json()


@dataclass(frozen=True)
class Images:
    """Container images by target, each pinned by digest where the pipeline runs on a cluster."""

    ingest: str = "ingest"
    """Spark and a JVM."""

    workload: str = "workload"
    """Everything else."""

    train_gpu: str | None = None
    """Training on a GPU node; None trains on the CPU."""

    @classmethod
    def of(cls, environment: Environment) -> Self:
        """The images that the process was told; training asks for a GPU when the settings do."""
        estimator = environment.settings.training.estimator
        on_gpu = estimator.kind == "xgboost" and estimator.device == "cuda"
        return cls(
            environment.ingest_image or cls.ingest,
            environment.workload_image or cls.workload,
            environment.need("train_gpu_image") if on_gpu else None,
        )

    def check_pinned(self) -> None:
        """Raise WorkloadError for an image that a cluster could resolve to something else tomorrow."""
        for target, image in (("ingest", self.ingest), ("workload", self.workload), ("train-gpu", self.train_gpu)):
            if image is not None and "@sha256:" not in image:
                raise WorkloadError(
                    f"the image {image!r} is not pinned by its digest: give `repository@sha256:…` (written by "
                    f"`make images`) with --{target}-image or {_variable(target)}"
                )


def build(images: Images) -> Any:
    """The pipeline over the given images."""

    def loan_default(labelled_window: str = "", retrain: str = "") -> str:
        ingested = _placed(ingest(), images.ingest, cpu="2", memory="4G", retries=2)
        trained = _placed(
            train(ingestion_run=ingested.output, labelled_window=labelled_window),
            images.train_gpu or images.workload,
            cpu="2",
            memory="4G",
            retries=2,
        )
        if images.train_gpu is not None:
            trained.set_accelerator_type(GPU).set_accelerator_limit(1)
            kubernetes.add_toleration(trained, key=GPU, operator="Exists", effect="NoSchedule")
        judged = validate(run_id=trained.output, ingestion_run=ingested.output, labelled_window=labelled_window)
        validated = _placed(judged, images.workload, cpu="1", memory="2G", retries=0)
        published = features(run_id=validated.output, ingestion_run=ingested.output)
        refreshed = _placed(published, images.workload, cpu="1", memory="2G", retries=2)
        named = register(run_id=refreshed.output, retrain=retrain)
        registered = _placed(named, images.workload, cpu="1", memory="1G", retries=2)
        awaited = deploy(version=registered.output, retrain=retrain)
        deployed = _placed(awaited, images.workload, cpu="1", memory="1G", retries=2)
        answer: str = deployed.output
        return answer

    return dsl.pipeline(loan_default, name=NAME, description="Raw CSV to the served champion")


def compile_to(path: Path, images: Images) -> None:
    """Write the pipeline's YAML."""
    compiler.Compiler().compile(build(images), str(path))


def run_local(folder: Path, labelled_window: str = "", retrain: str = "") -> str:
    """Run every stage as a process on this machine, with this process's environment; returns the deployed answer.

    Raises WorkloadError when a stage fails; its log is above.
    """
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    local.init(
        local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "runs"), workspace_root=str(workspace)
    )
    try:
        return str(build(Images())(labelled_window=labelled_window, retrain=retrain).output)
    except RuntimeError as error:
        raise WorkloadError(f"the pipeline failed: {str(error).splitlines()[0]}; the champion stays") from error
    finally:
        shutil.rmtree(folder)


def submit(host: str, images: Images, labelled_window: str = "", run: str = "", retrain: str = "") -> str:
    """Start the pipeline on a KFP server, or find the run of that name.

    Returns the run's id; raises WorkloadError when that cannot be done. Without `run` it is a new run.
    """
    server, version = _publish(host, images)
    run = run or f"{NAME}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    return server.start(version, run, {"labelled_window": labelled_window, "retrain": retrain})


def publish(host: str, images: Images) -> str:
    """Upload the pipeline to a KFP server, unless it has this very one; returns the version's id.

    Raises WorkloadError when that cannot be done.
    """
    return _publish(host, images)[1].version_id


def _publish(host: str, images: Images) -> "tuple[PipelineServer, Version]":
    from workloads.loan_default.pipeline_server import PipelineServer  # noqa: PLC0415  only where there is a server

    images.check_pinned()
    server = PipelineServer(host)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_to(package, images)
        return server, server.publish(NAME, package)


def _variable(target: str) -> str:
    return f"{target.upper().replace('-', '_')}_IMAGE"


def _placed(task: Any, image: str, *, cpu: str, memory: str, retries: int) -> Any:
    """Image, resources, retries and environment of one stage; results depend on servers, so nothing is cached."""
    task.set_container_image(image).set_caching_options(False)
    task.set_cpu_request(cpu).set_memory_request(memory).set_memory_limit(memory)
    if retries:
        task.set_retry(retries, backoff_duration="10s", backoff_factor=2, backoff_max_duration="120s")
    task.set_env_variable("WORK_DIR", WORK_DIR)
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in PLAIN_VARIABLES}, optional=True)
    kubernetes.use_secret_as_env(task, SECRET, {name: name for name in SECRET_VARIABLES}, optional=True)
    kubernetes.use_config_map_as_volume(task, AUTHORITY, AUTHORITY_FOLDER, optional=True)
    return task


def main() -> None:
    """Command: compile, run here, publish, or submit."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.pipeline", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--compile", metavar="FILE", type=Path, help="write the pipeline's YAML")
    action.add_argument("--local", action="store_true", help="run all stages on this machine")
    action.add_argument("--submit", metavar="URL", help="start it on a KFP server")
    action.add_argument("--publish", metavar="URL", nargs="?", const="", help="upload it to a KFP server ($KFP_HOST)")
    parser.add_argument(
        "--labelled-window", default="", help="labelled requests to learn from (default: ingested data)"
    )
    parser.add_argument("--retrain", default="", help="retrain whose service promotes (default: the pipeline promotes)")
    for target in ("ingest", "workload", "train-gpu"):
        parser.add_argument(f"--{target}-image", help=f"`repository@sha256:…`; default: ${_variable(target)}")
    arguments = parser.parse_args()
    environment = load()
    if arguments.local:
        print(run_local(environment.work / "pipeline", arguments.labelled_window, arguments.retrain))
        return
    given = {name: value for name, value in vars(arguments).items() if name.endswith("_image") and value}
    images = Images.of(environment.model_copy(update=given))
    if arguments.compile:
        compile_to(arguments.compile, images)
    elif arguments.publish is not None:
        print(publish(arguments.publish or environment.need("kfp_host"), images))
    else:
        print(submit(arguments.submit, images, arguments.labelled_window, retrain=arguments.retrain))


if __name__ == "__main__":
    run_command(main)
