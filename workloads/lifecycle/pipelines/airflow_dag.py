"""The table of stages as an Airflow DAG; imported by Airflow's processes, in their own environment.

The DAG's file holds the table as JSON (`airflow`), because what the table is made of is not installed here.
Source: https://airflow.apache.org/docs/task-sdk/stable/
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from workloads.lifecycle.pipelines import stage_process
from workloads.lifecycle.pipelines.stage_process import Place, StageFailedError, StageRefusedError

RETRY_SECONDS = 10
LONGEST_RETRY_SECONDS = 120


class StageOperator(BaseOperator):  # type: ignore[misc]  # Airflow is not there where types are checked
    """One stage in a process of the workloads' environment; its answer is its XCom.

    Arguments of the run and of other tasks are arguments of the process, never text of a shell or a template.
    """

    template_fields: Sequence[str] = ()

    def __init__(self, *, stage: str, inputs: Mapping[str, str], place: Mapping[str, str], **kwargs: Any) -> None:
        """`inputs`: input -> task that gives it, empty for an argument of the run."""
        super().__init__(**kwargs)
        self.stage, self.inputs, self.place = stage, dict(inputs), dict(place)

    def execute(self, context: Any) -> str:
        """Run the stage; a refusal fails the task without further attempts, with the gate's text."""
        conf = context["dag_run"].conf or {}
        values = {
            name: context["ti"].xcom_pull(task_ids=giver) if giver else conf.get(name, "")
            for name, giver in self.inputs.items()
        }
        try:
            found = stage_process.run(Place(**self.place), self.stage, run_of(context), values)
        except StageRefusedError as error:
            raise AirflowFailException(str(error)) from None
        except StageFailedError as error:
            raise AirflowException(str(error)) from None
        print(f"{self.stage}: {found.get('reason', '')}", flush=True)
        return str(found.get("answer", ""))

    def on_kill(self) -> None:
        """End the stage with all of its processes: the run was cancelled."""
        from airflow.sdk import get_current_context  # noqa: PLC0415  needs a running task

        stage_process.end(f"{run_of(get_current_context())}/{self.stage}")


def run_of(context: Any) -> str:
    """Id of the stages' run: that of a run that a person started has characters that no path may have."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", str(context["dag_run"].run_id))[:128]


def make(table: Mapping[str, Any]) -> DAG:
    """The DAG of a table: `name`, `description`, `version`, `place`, `stages`."""
    with DAG(
        dag_id=table["name"],
        description=table["description"],
        schedule=None,
        catchup=False,
        is_paused_upon_creation=False,
        tags=["mlplatform", f"version-{table['version']}"],
        doc_md="Written by the platform from its table of stages; an edit of the file is overwritten.",
    ) as dag:
        before = None
        givers: dict[str, str] = {}
        for stage in table["stages"]:
            task = StageOperator(
                task_id=stage["name"],
                stage=stage["name"],
                inputs={name: givers.get(name, "") for name in stage["inputs"]},
                place=table["place"],
                retries=stage["retries"],
                retry_delay=timedelta(seconds=RETRY_SECONDS),
                retry_exponential_backoff=2.0,
                max_retry_delay=timedelta(seconds=LONGEST_RETRY_SECONDS),
            )
            if before is not None:
                before >> task
            if stage["gives"]:
                givers[stage["gives"]] = stage["name"]
            before = task
    return dag
