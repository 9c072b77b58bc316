"""Real Airflow servers in a folder of their own, with the settings that a stack on this machine gives them."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from infra.base import paths

CHECKOUT = Path(__file__).parents[3]
START_SECONDS = 240
LOGIN = "platform:generated"


def constant():
    """The settings that are the same in every stack; by the file's path, because its package needs Pulumi's SDK."""
    spec = importlib.util.spec_from_file_location("variables", CHECKOUT / "infra/pipelines/airflow_variables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CONSTANT


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def installed(name):
    """Folder of a kind's Python environment, installed where it is missing."""
    subprocess.run([sys.executable, "-m", "tools.install", name], cwd=CHECKOUT, check=True, capture_output=True)
    return paths.environment_dir(name) / "bin"


class Airflow:
    """API server, scheduler and DAG processor."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), free_port()
        self.url, self.bin = f"http://127.0.0.1:{self.port}", installed("airflow")
        self.definitions, self.home = self.folder / "dags", self.folder / "home"
        for each in (self.definitions, self.home):
            each.mkdir(parents=True)
        passwords = self.folder / "passwords.json"
        passwords.write_text(json.dumps(dict([LOGIN.split(":")])))
        self.environment = {
            **constant(),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": "a" * 64,
            "AIRFLOW__API_AUTH__JWT_SECRET": "b" * 64,
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.definitions),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": "c" * 43 + "=",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHONPATH": str(CHECKOUT),
        }
        self.processes = {}
        self.start()

    def start(self):
        subprocess.run([self.bin / "airflow", "db", "migrate"], env=self.environment, check=True, capture_output=True)
        self.launch("api-server", [str(self.bin / "airflow"), "api-server"])
        self.launch_scheduler()
        self.launch("dag-processor", [str(self.bin / "airflow"), "dag-processor"])
        self.wait()

    def launch_scheduler(self):
        """As the stack's supervisor does."""
        alone = ["-m", "workloads.lifecycle.pipelines.stage_process", "--server", str(self.home / "scheduler"), "--"]
        command = [str(self.bin / "python"), *alone, str(self.bin / "airflow"), "scheduler", "--skip-serve-logs"]
        self.launch("scheduler", command)

    def launch(self, name, command):
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                found = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5, trust_env=False).json()
                if all(found[part]["status"] == "healthy" for part in ("scheduler", "dag_processor")):
                    return
            except (httpx.HTTPError, ValueError, KeyError):
                pass
            time.sleep(0.5)
        raise AssertionError(f"Airflow is not healthy within {START_SECONDS} s, see {self.folder}")

    def kill_scheduler(self):
        """Kill the scheduler alone, as an out-of-memory kill does; what it started lives on."""
        self.processes["scheduler"].send_signal(signal.SIGKILL)
        self.processes["scheduler"].wait()

    def get(self, path):
        login = dict(zip(("username", "password"), LOGIN.split(":"), strict=True))
        token = httpx.post(f"{self.url}/auth/token", json=login, trust_env=False).json()["access_token"]
        answer = httpx.get(f"{self.url}/api/v2/{path}", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        answer.raise_for_status()
        return answer

    def page(self, run, stage):
        """What the page of a task's last attempt shows."""
        root = f"dags/loan-default/dagRuns/{run}/taskInstances/{stage}"
        attempts = self.get(root).json()["try_number"]
        return "\n".join(
            self.get(f"{root}/logs/{attempt}?full_content=true").text for attempt in range(1, attempts + 1)
        )

    def variables(self):
        """Fields of a client's environment."""
        return {
            "airflow_url": self.url,
            "airflow_login": LOGIN,
            "pipeline_definitions": str(self.definitions),
        }

    def close(self):
        for process in self.processes.values():
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
