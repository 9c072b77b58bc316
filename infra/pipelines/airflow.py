"""Pipelines on Airflow on this machine: API server, scheduler and DAG processor; stages are its tasks' child processes.

Leaves out the triggerer, which only deferrable operators need, and log servers: all processes share one folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi

from infra.base import telemetry
from infra.base.login import USER
from infra.database import Database
from infra.database.local import folders
from infra.host import File, Folder, Job, Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local, PythonEnvironment
from infra.identity import Identity, Need
from infra.pipelines import airflow_variables
from infra.pipelines.settings import AirflowOnHostSettings
from infra.pipelines.stage_variables import StageVariables

ENVIRONMENT = "airflow"
"""Its Python environment."""

HEALTH = Path(__file__).with_name("airflow_health.py")
START_TIMEOUT_SECONDS = 300
"""Each process imports Airflow for 4 s on an idle core, many times that on a busy one."""

FERNET_CHARACTERS = 43
"""Of base64 that stand for 32 bytes, without the `=` at the end.
Source: https://github.com/fernet/spec/blob/master/Spec.md"""


@dataclass(frozen=True, kw_only=True)
class AirflowOnHostArgs:
    """The settings, and what other components hand over."""

    settings: AirflowOnHostSettings

    substrate: Local

    database: Database
    """Keeps what Airflow knows of DAGs and runs."""

    identity: Identity
    """Gives stages access to the artifact store."""


class AirflowOnHost(pulumi.ComponentResource):
    """Airflow with one user, a generated password and no example; nothing of it listens beyond loopback.

    Its SimpleAuthManager keeps that password in a file of the stack's owner and is meant for development, which a stack
    on one machine is. Realizes `infra.pipelines.Pipelines`.
    Source: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/auth-manager/simple/index.html
    """

    engine: Literal["airflow"] = "airflow"

    url: pulumi.Output[str] | None

    pages_url: pulumi.Output[str] | None

    login: pulumi.Output[str] | None

    client_env: Mapping[str, pulumi.Output[str]]

    client_secrets: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: AirflowOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        environment = args.substrate.environment(ENVIRONMENT)
        super().__init__("mlplatform:index:AirflowOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args

        self._port = Port(f"{name}-port", number=args.settings.port, opts=child)
        url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, self._port.chosen)
        password = Secret(f"{name}-password", length=40, opts=child).value
        self._home = Folder(f"{name}-home", path=f"data/{name}/home", keep=args.substrate.keep_data, opts=child)
        definitions = Folder(f"{name}-dags", path=f"data/{name}/dags", opts=child)
        self._stages = StageVariables(f"{name}-stages", args.substrate, args.identity, child)
        self._database = args.database.create(f"{name}-database", child)
        self._variables = self._configuration(url, password, definitions)
        self._start(environment, url)

        self.url = self.pages_url = url
        self.login = pulumi.Output.concat(USER, ":", password)
        self.client_env = {
            "AIRFLOW_URL": url,
            "PIPELINE_DEFINITIONS": definitions.absolute_path,
            "STAGE_ENVIRONMENTS": self._stages.folder,
        }
        self.client_secrets = {"AIRFLOW_LOGIN": self.login}
        self.register_outputs({"url": url})

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Give the stages of the pipeline `name` their variables, in a file that only the stack's owner reads."""
        self._stages.provide(name, environment, secrets, needs, opts)

    def _start(self, environment: PythonEnvironment, url: pulumi.Output[str]) -> None:
        """Bring the database to the version's schema, then start the three servers."""
        airflow, lock = environment.program("airflow"), {"lock": environment.lock_sha256}
        migrated = Job(
            f"{self._name}-migration",
            command=[airflow, "db", "migrate"],
            environment=self._variables,
            triggers=lock,
            opts=self._args.substrate.child(self),
        )
        open_folders = pulumi.Output.all(self._database, self._home.absolute_path).apply(
            lambda found: [*folders(found[0]), found[1]]
        )
        api = Process(
            f"{self._name}-api-server",
            command=[airflow, "api-server"],
            environment=self._variables,
            ports=[self._port.chosen],
            health={"http_url": pulumi.Output.concat(url, "/api/v2/version")},
            folders=open_folders,
            triggers=lock,
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=self._args.substrate.child(self, migrated),
        )
        for part, arguments in (("scheduler", ["--skip-serve-logs"]), ("dag-processor", [])):
            Process(
                f"{self._name}-{part}",
                command=[*self._alone(environment, part), airflow, part, *arguments],
                environment=self._variables,
                health={"command": [self._args.substrate.python, str(HEALTH), url, part.replace("-", "_")]},
                folders=open_folders,
                triggers=lock,
                start_timeout_seconds=START_TIMEOUT_SECONDS,
                opts=self._args.substrate.child(self, migrated, api),
            )

    def _alone(self, environment: PythonEnvironment, part: str) -> list[pulumi.Input[str]]:
        """What first ends what an earlier process of the same part left running, tasks and stages included."""
        server = pulumi.Output.concat(self._home.absolute_path, f"/{part}")
        module = "workloads.lifecycle.pipelines.stage_process"
        return [environment.program("python"), "-m", module, "--server", server, "--"]

    def _configuration(
        self, url: pulumi.Output[str], password: pulumi.Output[str], definitions: Folder
    ) -> dict[str, pulumi.Input[str]]:
        """Airflow's settings as variables.

        Source: https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html
        """
        name, settings = self._name, self._args.settings
        child = pulumi.ResourceOptions(parent=self)
        passwords = File(
            f"{name}-passwords",
            path=f"config/{name}/passwords.json",
            content=password.apply(lambda each: json.dumps({USER: each})),
            opts=child,
        )
        fernet = Secret(f"{name}-fernet-key", length=FERNET_CHARACTERS, opts=child).value
        home = self._home.absolute_path
        return {
            **airflow_variables.CONSTANT,
            "AIRFLOW_HOME": home,
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__PORT": self._port.chosen.apply(str),
            "AIRFLOW__API__SECRET_KEY": Secret(f"{name}-secret-key", length=64, opts=child).value,
            "AIRFLOW__API_AUTH__JWT_SECRET": Secret(f"{name}-jwt-secret", length=64, opts=child).value,
            "AIRFLOW__CORE__DAGS_FOLDER": definitions.absolute_path,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": pulumi.Output.concat(url, "/execution/"),
            "AIRFLOW__CORE__FERNET_KEY": pulumi.Output.concat(fernet, "="),
            "AIRFLOW__CORE__PARALLELISM": str(settings.concurrent_stages),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords.absolute_path,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": pulumi.Output.concat(home, "/logs"),
            "PATH": self._args.substrate.search_path,
            "PYTHONPATH": str(self._args.substrate.checkout),
            **telemetry.OFF,
        }
