import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from workloads.lifecycle.base.ingestion_settings import IngestionSettings
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.ingestion import spark as sparks
from workloads.lifecycle.ingestion.ingest import Ingested, ingest, recorded
from workloads.lifecycle.ingestion.spark import Driver, options_here, options_on_kubernetes, read_range
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.generator import generate

IMAGE = "registry.example/ingest@sha256:" + "0a" * 32
COMMON = {
    "spark.driver.memory": "1024m",
    "spark.driver.extraJavaOptions": '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto "-Djava.io.tmpdir={work}"',
    "spark.local.dir": "{work}/spark",
    "spark.sql.warehouse.dir": "{work}/spark/warehouse",
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "snappy",
    "spark.log.level": "ERROR",
}


def on_kubernetes(tmp_path, environ, **pods):
    settings = IngestionSettings.model_validate(
        {
            "spark_master": "k8s://https://10.0.0.1:443",
            "spark_kubernetes": {"image": IMAGE, "namespace": "loans", "service_account": "ingest"} | pods,
        }
    )
    return options_on_kubernetes(
        settings, settings.spark_kubernetes, tmp_path, Driver("10.1.2.3", "ingest-x7"), environ, name="loan-default"
    )


def filled(options, work):
    return {key: value.format(work=work) for key, value in options.items()}


def test_a_session_gets_the_options_of_this_machine_and_no_others(tmp_path, spark):
    expected = COMMON | {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
    }
    assert options_here(IngestionSettings(), tmp_path) == filled(expected, tmp_path)
    started = dict(spark.sparkContext.getConf().getAll())
    assert {key: started.get(key) for key in expected if "{work}" not in expected[key]} == {
        key: value for key, value in expected.items() if "{work}" not in value
    }
    assert started["spark.master"] == "local[*]"
    scratch = spark.sparkContext._jvm.java.lang.System.getProperty("java.io.tmpdir")
    assert started["spark.local.dir"] == f"{scratch}/spark"


def test_driver_on_kubernetes_gets_exactly_the_options_of_settings(tmp_path):
    environ = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2", "HOME": "/"}
    options = on_kubernetes(tmp_path, environ, executors=3, executor_cores=2, executor_memory_mib=2048)
    assert options == filled(COMMON, tmp_path) | {
        "spark.driver.host": "10.1.2.3",
        "spark.driver.bindAddress": "10.1.2.3",
        "spark.driver.port": "7078",
        "spark.blockManager.port": "7079",
        "spark.kubernetes.driver.pod.name": "ingest-x7",
        "spark.kubernetes.namespace": "loans",
        "spark.kubernetes.container.image": IMAGE,
        "spark.kubernetes.container.image.pullPolicy": "IfNotPresent",
        "spark.kubernetes.authenticate.executor.serviceAccountName": "ingest",
        "spark.kubernetes.executor.podTemplateFile": f"{tmp_path}/executor.json",
        "spark.kubernetes.executor.limit.cores": "2",
        "spark.executor.instances": "3",
        "spark.executor.cores": "2",
        "spark.executor.memory": "2048m",
        "spark.executor.memoryOverhead": "512m",
        "spark.executorEnv.AWS_REGION": "eu-west-1",
        "spark.sql.shuffle.partitions": "64",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.codegen.wholeStage": "true",
    }


def test_executors_get_credentials_from_a_secret_and_not_from_options(tmp_path):
    environ = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2"}
    options = on_kubernetes(tmp_path, environ, store_secret="loan-default")
    assert options["spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY"] == (
        "loan-default:AWS_SECRET_ACCESS_KEY"
    )
    assert "hunter2" not in str(options)


def test_executor_pods_meet_the_restricted_security_standard(tmp_path):
    on_kubernetes(tmp_path, {})
    spec = json.loads((tmp_path / "executor.json").read_text())["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


TEXT = b"ID,A\n1,2\r\n3,4\r5,6\n\n7,\xff8\n9,10"


@pytest.mark.parametrize("size", range(1, len(TEXT) + 2))
def test_ranges_of_any_size_hold_every_line_once(environment, tmp_path, size):
    store = Store.open(environment)
    (tmp_path / "raw.csv").write_bytes(TEXT)
    store.upload_file(tmp_path / "raw.csv", "raw/now/raw.csv")
    found = [line for start in range(0, len(TEXT), size) for line in read_range(store, "raw/now/raw.csv", start, size)]
    assert found == ["ID,A", "1,2", "3,4", "5,6", "", "7,�8", "9,10"]


def test_a_task_hands_on_every_line_of_its_range_in_batches(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(sparks, "_BATCH_LINES", 3)
    store = Store.open(environment)
    lines = [f"line {number}" for number in range(10)]
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    store.upload_file(tmp_path / "raw.csv", "raw/now/raw.csv")
    numbers = pa.record_batch({"id": [0]})
    batches = list(sparks._read_ranges(store, "raw/now/raw.csv", 1024, iter([numbers])))
    assert [batch.num_rows for batch in batches] == [3, 3, 3, 1]
    assert [value for batch in batches for value in batch.column("value").to_pylist()] == lines
    assert [place for batch in batches for place in batch.column("place").to_pylist()] == list(range(10))


@pytest.mark.tier("spark-executors")
def test_executors_that_share_only_the_store_give_the_same_features(environment, spark, tmp_path):
    """Two executors as processes of their own (`local-cluster`): what pods do, but for Kubernetes itself."""
    here = ingest(environment.model_copy(update={"data": str(dirty(tmp_path))}), spark)
    elsewhere = Ingested.model_validate_json(
        subprocess.run(
            [sys.executable, "-m", "workloads.lifecycle.ingestion.ingest"],
            env=os.environ
            | {
                "WORKLOAD": environment.workload,
                "ARTIFACT_STORE_URI": f"file://{tmp_path}/elsewhere",
                "WORK_DIR": f"{tmp_path}/work-elsewhere",
                "DATA": str(dirty(tmp_path)),
                SETTINGS_VARIABLE: json.dumps(
                    {"ingestion": {"spark_master": "local-cluster[2,1,1024]", "min_rows": 1}}
                ),
            },
            capture_output=True,
            check=True,
        ).stdout
    )
    assert (here.data_hash, here.rows, here.quarantined) == (
        elsewhere.data_hash,
        elsewhere.rows,
        elsewhere.quarantined,
    )
    store = Store.open(environment.model_copy(update={"artifact_store_uri": f"file://{tmp_path}/elsewhere"}))
    assert recorded(store, elsewhere.run) == elsewhere
    times = ["event_timestamp", "created", "dt"]
    tables = [
        table(each, run.features_prefix).sort_by(LOAN_DEFAULT.keys[0])
        for each, run in ((Store.open(environment), here), (store, elsewhere))
    ]
    assert tables[0].schema == tables[1].schema
    assert tables[0].drop_columns(times) == tables[1].drop_columns(times)
    assert table(store, elsewhere.quarantine_prefix).column("reason").to_pylist() == [
        "AGE: out of range, allowed 18 to 120"
    ]
    assert store.names("raw") == [elsewhere.run.split("-")[0]]


def dirty(tmp_path):
    """The generator's rows with one that is out of range."""
    path = tmp_path / "dirty.csv"
    if not path.exists():
        generate(path, 500, 42)
        age = [column.name for column in LOAN_DEFAULT.source.columns].index("AGE")
        lines = path.read_text().splitlines()
        fields = lines[7].split(",")
        lines[7] = ",".join([*fields[:age], "17", *fields[age + 1 :]])
        path.write_text("\n".join(lines))
    return path


def table(store, prefix):
    path, filesystem = store.dataset(prefix)
    return ds.dataset(path, filesystem=filesystem, partitioning="hive").to_table()


def test_unusable_master_is_one_line_that_names_the_setting(environment, tmp_path):
    environ = os.environ | {
        "WORKLOAD": environment.workload,
        "ARTIFACT_STORE_URI": f"file://{tmp_path}/store",
        "WORK_DIR": f"{tmp_path}/work",
        SETTINGS_VARIABLE: json.dumps(
            {
                "ingestion": {
                    "spark_master": "k8s://https://127.0.0.1:9",
                    "spark_kubernetes": {"image": IMAGE, "namespace": "loans", "service_account": "ingest"},
                }
            }
        ),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "workloads.lifecycle.ingestion.ingest"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith("error: Spark does not start with ingestion.spark_master=k8s://https://127.0.0.1:9: ")
