"""The table of stages as a DAG of an Airflow server on this machine: publish it, start a run of it.

The DAG's file is made from the table and holds nothing else; an edit by hand is overwritten before the next run.
"""

import argparse
import json
import sys
from pathlib import Path

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import run_command
from workloads.lifecycle.pipelines import orchestrator, stage_process
from workloads.lifecycle.pipelines.airflow_server import AirflowServer, wait_for_airflow
from workloads.lifecycle.pipelines.orchestrator import Seen
from workloads.lifecycle.pipelines.outcome import new_run

READ_SECONDS = 300.0
"""How long the server may take to start and read a new DAG: 20 s on an idle core."""

LOST = 3
"""Exit status of `--check` that lets the next `up` publish again."""

_FILE = '''"""An Airflow DAG. Written by the platform; an edit is overwritten before the next run."""

import json

from workloads.lifecycle.pipelines.airflow_dag import make

dag = make(json.loads({table!r}))
'''


def content(environment: Environment) -> str:
    """The DAG's file."""
    return _FILE.format(table=json.dumps(orchestrator.table(environment), sort_keys=True))


class AirflowOrchestrator:
    """Realizes `orchestrator.Orchestrator` by a server on this machine."""

    def __init__(self, environment: Environment) -> None:
        self._environment, self._dag = environment, environment.definition.name
        self._url = environment.need("airflow_url")
        self._server = AirflowServer(self._url, environment.need("airflow_login"))

    def publish(self) -> str:
        """Let the server know the DAG as the table has it; returns its version."""
        table = orchestrator.table(self._environment)
        file = self._file()
        orchestrator.write(file, content(self._environment))
        wait_for_airflow(self._url, READ_SECONDS)
        self._server.wait_for_dag(self._dag, table["version"], file.stat().st_mtime, READ_SECONDS)
        return str(table["version"])

    def check(self) -> str | None:
        """Why the DAG's file is not as the table has it; None when it is."""
        file = self._file()
        if not file.is_file():
            return f"{file} is gone"
        return None if file.read_bytes() == content(self._environment).encode() else f"{file} was edited by hand"

    def submit(self, run: str, window: str, retrain: str, unless: str) -> str:
        """Start the run of that name, or find it, of the DAG as the table has it."""
        self.publish()
        self._server.start(self._dag, run, {"labelled_window": window, "retrain": retrain, "unless": unless})
        return run

    def look(self, run_id: str) -> Seen:
        """How a run does."""
        return self._server.look(self._dag, run_id)

    def terminate(self, run_id: str) -> None:
        """End a run and every process of its stages."""
        self._server.terminate(self._dag, run_id)
        stage_process.end_run(run_id)

    def _file(self) -> Path:
        return Path(self._environment.need("pipeline_definitions")) / f"{self._dag}.py"


def main() -> None:
    """Command: publish, or start a run."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.airflow", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--publish", action="store_true", help="let the server know the DAG; prints its version")
    action.add_argument("--check", action="store_true", help="exit with 3 where the DAG's file is gone or was edited")
    action.add_argument("--submit", action="store_true", help="start a run; prints its id")
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
    arguments = parser.parse_args()
    environment = load()
    server = AirflowOrchestrator(environment)
    if arguments.publish:
        print(server.publish())
        return
    if arguments.check:
        if (why := server.check()) is not None:
            print(why)
            sys.exit(LOST)
        return
    run = arguments.run or new_run(environment.definition.name)
    print(server.submit(run, arguments.labelled_window, arguments.retrain, arguments.unless))


if __name__ == "__main__":
    run_command(main)
