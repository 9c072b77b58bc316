"""An executor of Spark on Kubernetes: becomes the JVM that the driver has described in environment variables.

Source: https://github.com/apache/spark/blob/master/resource-managers/kubernetes/docker/src/main/dockerfiles/spark/entrypoint.sh
"""

import argparse
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from workloads.lifecycle.base.errors import WorkloadError, run_command

_MAIN = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_OPTION = "SPARK_JAVA_OPT_"
_ARGUMENTS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}


def command(environ: Mapping[str, str], jars: Path) -> list[str]:
    """The JVM's command line; raises WorkloadError that names a variable that Spark did not set."""
    missing = [name for name in (*_ARGUMENTS.values(), "SPARK_EXECUTOR_MEMORY") if not environ.get(name)]
    if missing:
        raise WorkloadError(f"{', '.join(missing)} not set: this command is started by Spark's driver, in a pod")
    numbered = sorted(
        (name for name in environ if name.startswith(_OPTION)), key=lambda name: int(name[len(_OPTION) :])
    )
    memory = environ["SPARK_EXECUTOR_MEMORY"]
    return [
        "java",
        *(environ[name] for name in numbered),
        f"-Xms{memory}",
        f"-Xmx{memory}",
        *("-cp", ":".join(filter(None, [environ.get("SPARK_CONF_DIR"), f"{jars}/*"]))),
        _MAIN,
        *(part for flag, name in _ARGUMENTS.items() for part in (flag, environ[name])),
    ]


def main() -> None:
    """Command: run as an executor."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.ingestion.executor", description=__doc__).parse_args()
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise WorkloadError("pyspark is not installed: executors run in the image ingest or train-gpu")
    line = command(os.environ, Path(found.origin).parent / "jars")
    os.execvp(line[0], line)  # noqa: S606  no shell


if __name__ == "__main__":
    run_command(main)
