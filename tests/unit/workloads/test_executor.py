from pathlib import Path

import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.ingestion.executor import command

POD = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.1.2.3:7078",
    "SPARK_EXECUTOR_ID": "1",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.1.2.4",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_EXECUTOR_POD_NAME": "exec-1",
    "SPARK_EXECUTOR_MEMORY": "1024m",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    **{f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number}" for number in (0, 10, 2)},
}


def test_an_executor_is_the_jvm_that_the_driver_described():
    line = command(POD, Path("/jars"))
    assert line[:6] == ["java", "-Dnumber=0", "-Dnumber=2", "-Dnumber=10", "-Xms1024m", "-Xmx1024m"]
    assert line[6:9] == [
        "-cp",
        "/opt/spark/conf:/jars/*",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    ]
    assert dict(zip(line[9::2], line[10::2], strict=True)) == {
        "--driver-url": POD["SPARK_DRIVER_URL"],
        "--executor-id": "1",
        "--cores": "2",
        "--app-id": "spark-1",
        "--hostname": "10.1.2.4",
        "--resourceProfileId": "0",
        "--podName": "exec-1",
    }


def test_an_executor_started_by_hand_names_what_is_missing():
    with pytest.raises(WorkloadError, match=r"^SPARK_DRIVER_URL, SPARK_EXECUTOR_MEMORY not set"):
        command(
            {key: value for key, value in POD.items() if key not in {"SPARK_DRIVER_URL", "SPARK_EXECUTOR_MEMORY"}},
            Path(),
        )
