"""The table of stages as a Kubeflow pipeline, one container each.

Compiles to YAML, runs on this machine with `kfp.local`, or is submitted to a KFP server. No conditions: `kfp.local`
evaluates every one of them as false and calls that success, so the gate is a stage that fails.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kfp import compiler, dsl, kubernetes, local

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE
from workloads.lifecycle.pipelines.outcome import new_run
from workloads.lifecycle.pipelines.stages import STAGES, Stage

if TYPE_CHECKING:
    from workloads.lifecycle.pipelines.kubeflow_server import PipelineServer, Version

AUTHORITY, AUTHORITY_FOLDER = "database-authority", "/etc/database-authority"
"""ConfigMap with the certificates that the database is known by, where the stack has any, and where a step reads it."""

PLAIN_VARIABLES = (
    "ARTIFACT_STORE_URI",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "DATA",
    SETTINGS_VARIABLE,
    "MLFLOW_TRACKING_URI",
    "MODEL_URL",
    "OPA_URL",
    "PUSHGATEWAY_URL",
    "STACK",
    "VERIFYING_KEY",
    "WORKLOAD",
)
SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "FEAST_ONLINE_STORE",
    "FEAST_REGISTRY",
    "PROBE_TOKEN",
)
WORK_DIR = "/tmp/work"  # noqa: S108  the container's own
GPU = "nvidia.com/gpu"


def _component(function: Callable[..., str]) -> Any:
    return dsl.component(function, base_image="workload", install_kfp_package=False)


@_component
def run_stage(workload: str, stage: str, arguments: str) -> str:
    """Run one stage of the table; kfp takes this function's source, so what it needs is imported inside."""
    from workloads.lifecycle.pipelines.stage import command  # noqa: PLC0415

    return command([stage, f"--workload={workload}", *arguments.split()])


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
        return cls(
            environment.ingest_image or cls.ingest,
            environment.workload_image or cls.workload,
            environment.need("train_gpu_image") if environment.settings.training.on_gpu else None,
        )

    def check_pinned(self) -> None:
        """Raise WorkloadError for an image that a cluster could resolve to something else tomorrow."""
        for target, image in (("ingest", self.ingest), ("workload", self.workload), ("train-gpu", self.train_gpu)):
            if image is not None and "@sha256:" not in image:
                raise WorkloadError(
                    f"the image {image!r} is not pinned by its digest: give `repository@sha256:…` (written by "
                    f"`make images`) with --{target}-image or {_variable(target)}"
                )


def build(environment: Environment, images: Images) -> Any:
    """The pipeline of the environment's workload over the given images: the table of stages, one after the other."""
    workload = environment.definition

    def release(labelled_window: str = "", retrain: str = "", unless: str = "", run: str = "") -> str:
        values = {"labelled_window": labelled_window, "retrain": retrain, "unless": unless}
        before = None
        for stage in STAGES:
            given = [f"--{name.replace('_', '-')}={values[name]}" for name in stage.inputs]
            arguments = " ".join([f"--run={run}", *given])
            task = run_stage(workload=environment.workload, stage=stage.name, arguments=arguments)
            _place(task, stage, images, workload.name)
            if before is not None:
                task.after(before)
            if stage.gives:
                values[stage.gives] = task.output
            before = task
        answer: str = before.output if before is not None else ""
        return answer

    return dsl.pipeline(release, name=workload.name, description=workload.description)


def compile_to(path: Path, environment: Environment, images: Images) -> None:
    """Write the pipeline's YAML."""
    compiler.Compiler().compile(build(environment, images), str(path))


def run_local(
    environment: Environment, labelled_window: str = "", retrain: str = "", unless: str = "", run: str = ""
) -> str:
    """Run every stage as a process on this machine, with this process's environment; returns the deployed answer.

    Raises WorkloadError when a stage fails; its log is above.
    """
    folder = environment.work / "pipeline"
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    local.init(
        local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "runs"), workspace_root=str(workspace)
    )
    try:
        run = run or new_run(environment.definition.name)
        pipeline = build(environment, Images())
        return str(pipeline(labelled_window=labelled_window, retrain=retrain, unless=unless, run=run).output)
    except RuntimeError as error:
        raise WorkloadError(f"the pipeline failed: {str(error).splitlines()[0]}; the champion stays") from error
    finally:
        shutil.rmtree(folder)


def submit(
    environment: Environment,
    host: str,
    images: Images,
    labelled_window: str = "",
    *,
    run: str = "",
    retrain: str = "",
    unless: str = "",
) -> str:
    """Start the pipeline on a KFP server, or find the run of that name.

    Returns the run's id; raises WorkloadError when that cannot be done. Without `run` it is a new run.
    """
    server, version = _publish(environment, host, images)
    run = run or new_run(environment.definition.name)
    arguments = {"labelled_window": labelled_window, "retrain": retrain, "unless": unless, "run": run}
    return server.start(version, run, arguments, account=environment.definition.name)


def publish(environment: Environment, host: str, images: Images) -> str:
    """Upload the pipeline to a KFP server, unless it has this very one; returns the version's id.

    Raises WorkloadError when that cannot be done.
    """
    return _publish(environment, host, images)[1].version_id


def _publish(environment: Environment, host: str, images: Images) -> "tuple[PipelineServer, Version]":
    from workloads.lifecycle.pipelines.kubeflow_server import PipelineServer  # noqa: PLC0415  only where there is a server

    images.check_pinned()
    name = environment.definition.name
    server = PipelineServer(host, name)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_to(package, environment, images)
        return server, server.publish(name, package)


def _variable(target: str) -> str:
    return f"{target.upper().replace('-', '_')}_IMAGE"


def _place(task: Any, stage: Stage, images: Images, objects: str) -> None:
    """Give a task its stage's name, image, resources and retries; results depend on servers, so nothing is cached.

    `objects`: name of ConfigMap and Secret in the pipeline's namespace that hold the environment variables.
    """
    gpu_image = images.train_gpu if stage.resources.gpu else None
    task.set_display_name(stage.name).set_caching_options(False)
    task.set_container_image(gpu_image or getattr(images, stage.image))
    task.set_cpu_request(stage.resources.cpu)
    task.set_memory_request(stage.resources.memory).set_memory_limit(stage.resources.memory)
    if gpu_image is not None:
        task.set_accelerator_type(GPU).set_accelerator_limit(1)
        kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    if stage.retries:
        task.set_retry(stage.retries, backoff_duration="10s", backoff_factor=2, backoff_max_duration="120s")
    task.set_env_variable("WORK_DIR", WORK_DIR)
    kubernetes.use_config_map_as_env(task, objects, {name: name for name in PLAIN_VARIABLES}, optional=True)
    kubernetes.use_secret_as_env(task, objects, {name: name for name in SECRET_VARIABLES}, optional=True)
    kubernetes.use_config_map_as_volume(task, AUTHORITY, AUTHORITY_FOLDER, optional=True)


def main() -> None:
    """Command: compile, run here, publish, or submit."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.kubeflow", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--compile", metavar="FILE", type=Path, help="write the pipeline's YAML")
    action.add_argument("--local", action="store_true", help="run all stages on this machine")
    action.add_argument("--submit", metavar="URL", help="start it on a KFP server")
    action.add_argument("--publish", metavar="URL", nargs="?", const="", help="upload it to a KFP server ($KFP_HOST)")
    parser.add_argument(
        "--labelled-window", default="", help="labelled requests to learn from (default: ingested data)"
    )
    parser.add_argument(
        "--retrain", default="", help="retrain whose service promotes (default: the pipeline promotes what is signed)"
    )
    parser.add_argument(
        "--unless", default="", help="digest of data, code and settings from which nothing is trained (default: train)"
    )
    parser.add_argument("--run", default="", help="id of the run, by which its outcomes are found (default: a new one)")
    for target in ("ingest", "workload", "train-gpu"):
        parser.add_argument(f"--{target}-image", help=f"`repository@sha256:…`; default: ${_variable(target)}")
    arguments = parser.parse_args()
    environment = load()
    if arguments.local:
        print(run_local(environment, arguments.labelled_window, arguments.retrain, arguments.unless, arguments.run))
        return
    given = {name: value for name, value in vars(arguments).items() if name.endswith("_image") and value}
    images = Images.of(environment.model_copy(update=given))
    if arguments.compile:
        compile_to(arguments.compile, environment, images)
    elif arguments.publish is not None:
        print(publish(environment, arguments.publish or environment.need("kfp_host"), images))
    else:
        names = {"run": arguments.run, "retrain": arguments.retrain, "unless": arguments.unless}
        print(submit(environment, arguments.submit, images, arguments.labelled_window, **names))


if __name__ == "__main__":
    run_command(main)
