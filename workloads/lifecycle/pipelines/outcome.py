"""What a stage leaves behind: `runs/<run>/<stage>/outcome.json` in the artifact store, its last act.

A runner of stages reads here how one ended, and searches no log. A stage that was killed leaves none. One that cannot
reach the store prints its outcome instead, as one line behind `PRINTED`.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import InsufficientError, UnchangedError, WorkloadError, cause
from workloads.lifecycle.base.store import Store

RUNS = "runs"
KEPT_RUNS = 50
"""Runs whose outcomes are kept; older ones are removed when a run begins."""

PRINTED = "[outcome] "
"""Begins the line that holds an outcome as JSON: where the artifact store could not be written, or for a parent."""


class StageError(BaseModel):
    """What ended a stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: str
    """Class of the error."""

    text: str
    """Root cause, one line."""


class StageOutcome(BaseModel):
    """How one stage of one run ended."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    stage: str

    ended: Literal["succeeded", "refused", "insufficient", "unchanged", "failed"]
    """`refused` is final, the data or the model is at fault; `insufficient` ends the run for want of rows; `unchanged`
    because there is nothing new to learn; `failed` may go better another time."""

    answer: str = ""
    """What later stages take: the name of a run or a version."""

    reason: str
    """One sentence for people."""

    facts: dict[str, Any] = {}
    """The stage's result."""

    error: StageError | None = None

    ended_at: datetime

    @classmethod
    def of_error(cls, stage: str, error: BaseException) -> "StageOutcome":
        """Outcome of a stage that an error ended."""
        ended: Literal["refused", "insufficient", "unchanged", "failed"] = (
            "refused" if getattr(error, "is_final", False) else "failed"
        )
        if isinstance(error, InsufficientError):
            ended = "insufficient"
        if isinstance(error, UnchangedError):
            ended = "unchanged"
        found = StageError(kind=type(error).__name__, text=cause(error))
        return cls(stage=stage, ended=ended, reason=found.text, error=found, ended_at=datetime.now(UTC))


def new_run(workload: str) -> str:
    """Id of a new run; ids of later runs sort behind it."""
    return f"{workload}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"


def path(run: str, stage: str) -> str:
    """Object that holds an outcome; raises IdentifierError for an id that cannot be a run's."""
    return f"{_folder(run, stage)}/outcome.json"


def write(store: Store, run: str, outcome: StageOutcome) -> None:
    """Keep an outcome; raises WorkloadError when the store is away."""
    store.write(path(run, outcome.stage), outcome.model_dump_json(indent=1).encode())


def read(store: Store, run: str, stage: str) -> StageOutcome | None:
    """Outcome of a stage; None when it left none. Raises WorkloadError when the store is away."""
    return store.read_model(path(run, stage), StageOutcome)


def forget(store: Store, run: str, stage: str) -> None:
    """Remove what an earlier attempt of the same stage left, so that a killed attempt leaves nothing."""
    if store.names(_folder(run, stage)):
        store.remove_tree(_folder(run, stage))


def forget_old(environment: Environment) -> None:
    """Remove the outcomes of all but the newest runs; what cannot be removed now is left to the next run."""
    try:
        store = Store.open(environment)
        for run in store.names_by_age(RUNS)[KEPT_RUNS:]:
            store.remove_tree(f"{RUNS}/{run}")
    except WorkloadError as error:
        print(f"outcomes of old runs remain: {error}", flush=True)


def printed(line: str) -> StageOutcome | None:
    """The outcome that a line of output holds; None for any other line, or a truncated one."""
    if not line.startswith(PRINTED):
        return None
    try:
        return StageOutcome.model_validate_json(line.removeprefix(PRINTED))
    except ValidationError:
        return None


def keep(environment: Environment, run: str, outcome: StageOutcome) -> None:
    """Write an outcome, or print it where the store cannot be written."""
    try:
        write(Store.open(environment), run, outcome)
    except WorkloadError as error:
        print(f"the outcome of stage {outcome.stage} is printed only: {error}", flush=True)
        say(outcome)


def say(outcome: StageOutcome) -> None:
    """Print an outcome as one line, for the process that started this one."""
    print(f"\n{PRINTED}{outcome.model_dump_json()}", flush=True)


def _folder(run: str, stage: str) -> str:
    return f"{RUNS}/{identifiers.run_id(run, 'run')}/{identifiers.plain_name(stage, 'stage')}"
