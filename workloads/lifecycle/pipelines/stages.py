"""The table of stages, and how one of them is run: every way to run a workload adapts this table.

The release calls the stages in one process; `stage` is the command line for CronJobs, Airflow and Dagster; `kubeflow`
makes a task of each. A stage's last act is to leave its outcome in the artifact store (`outcome`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from workloads.lifecycle import discovery
from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.pipelines import outcome
from workloads.lifecycle.pipelines.outcome import StageOutcome
from workloads.lifecycle.schema import DefinitionError, Reference

if TYPE_CHECKING:
    from workloads.lifecycle.features.publication import TrainingSet

ARGUMENTS = ("labelled_window", "retrain", "unless")
"""What a whole run may be given, each of which may be empty: rows to learn from, the retrain whose service promotes,
and the digest of data, code and settings that are not worth another training."""

FORMS: Mapping[str, Callable[[object, str], str]] = {
    "ingestion_run": identifiers.ingestion_run,
    "labelled_window": identifiers.window_name,
    "retrain": identifiers.retrain_id,
    "run_id": identifiers.run_id,
    "unless": identifiers.digest,
    "version": identifiers.model_version,
}
"""The form of each value that goes from stage to stage."""


def _stage_name(name: str) -> str:
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise ValueError(f"{name!r} cannot name a stage: give 1 to 40 of a-z, 0-9 and '-', starting with a letter")
    return name


def _form(name: str) -> str:
    if name not in FORMS:
        raise ValueError(f"{name!r} has no form to check it by: name one of {', '.join(FORMS)}, or add it to FORMS")
    return name


Value = Annotated[str, AfterValidator(_form)]


class Resources(BaseModel):
    """What a stage's container gets."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    cpu: Annotated[str, Field(pattern=r"^[1-9]\d*m?$")]
    """Requested CPU, a Kubernetes quantity."""

    memory: Annotated[str, Field(pattern=r"^[1-9]\d*[MG]i?$")]
    """Requested memory and its limit, a Kubernetes quantity."""

    gpu: bool = False
    """Whether the stage moves to the GPU image and a GPU node where the settings ask for one."""


class Stage(BaseModel):
    """One stage of a release or a retrain."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Annotated[str, AfterValidator(_stage_name)]

    call: Reference
    """`(Session, **inputs) -> Done`; loaded where the stage runs."""

    inputs: tuple[Value, ...] = ()
    """Values that it takes: arguments of the run, or what a stage before it gives."""

    gives: Value | None = None
    """Value that its answer is, for the stages behind it."""

    image: Literal["ingest", "workload"] = "workload"

    resources: Resources

    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """Further attempts after a failure, where the way to run it has any."""


@dataclass(frozen=True)
class Done:
    """Result of a stage."""

    answer: str
    """What the stages behind it take, or what the run is about."""

    says: str
    """One sentence for people."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """The result as JSON."""


class Session:
    """What the stages of one process share."""

    def __init__(self, environment: Environment, promote: Callable[[str], str] | None = None) -> None:
        """`promote` makes a run's model the champion and returns its version; None: the registry's own promotion."""
        self.environment = environment
        self.promote = promote
        self.is_pinned = False
        """Whether the model server's settings pin the version that is deployed."""
        self._read: tuple[Environment, TrainingSet] | None = None

    def reading(self, ingestion_run: str, labelled_window: str) -> Environment:
        """The environment of a stage that reads an ingestion run, or a labelled window."""
        update = {"ingestion_run": ingestion_run, "labelled_window": labelled_window}
        return self.environment.model_copy(update=update)

    def training_set(self, environment: Environment) -> "TrainingSet":
        """The rows to learn from and to judge by, read once for the stages that need the same ones."""
        if self._read is None or self._read[0] != environment:
            from workloads.lifecycle.features.windows import training_set  # noqa: PLC0415  seconds of imports

            self._read = environment, training_set(environment)
        return self._read[1]


def table(rows: Sequence[Mapping[str, Any]], arguments: Sequence[str] = ARGUMENTS) -> tuple[Stage, ...]:
    """Checked stages in the order in which they run; raises WorkloadError, one line that names row and field."""
    try:
        stages = TypeAdapter(tuple[Stage, ...]).validate_python(rows)
    except ValidationError as error:
        first = error.errors()[0]
        text = str(first["msg"]).removeprefix("Value error, ")
        raise WorkloadError(f"stages.{'.'.join(map(str, first['loc']))}: {text} (got {first['input']!r})") from error
    known = list(arguments)
    for number, stage in enumerate(stages):
        if stage.name in [each.name for each in stages[:number]]:
            raise WorkloadError(f"stages.{number}.name: {stage.name!r} is there already; rename one of them")
        missing = next((name for name in stage.inputs if name not in known), None)
        if missing is not None:
            raise WorkloadError(
                f"stages.{number}.inputs: {stage.name!r} takes {missing!r}, which is no argument of a run and no stage "
                f"before it gives ({', '.join(known) or 'nothing'}); correct it, or move the stage behind what gives it"
            )
        if stage.gives in known:
            raise WorkloadError(f"stages.{number}.gives: {stage.gives!r} is given already; leave it out")
        known += [stage.gives] if stage.gives else []
    return stages


_CALLS = "workloads.lifecycle.pipelines.calls"
STAGES = table(
    [
        {
            "name": "ingest",
            "call": f"{_CALLS}:ingest",
            "gives": "ingestion_run",
            "image": "ingest",
            "resources": {"cpu": "2", "memory": "4G"},
            "retries": 2,
        },
        {
            "name": "train",
            "call": f"{_CALLS}:train",
            "inputs": ("ingestion_run", "labelled_window", "unless"),
            "gives": "run_id",
            "resources": {"cpu": "2", "memory": "4G", "gpu": True},
            "retries": 2,
        },
        {
            "name": "validate",
            "call": f"{_CALLS}:validate",
            "inputs": ("run_id", "ingestion_run", "labelled_window"),
            "resources": {"cpu": "1", "memory": "2G"},
        },
        {
            "name": "features",
            "call": f"{_CALLS}:features",
            "inputs": ("ingestion_run",),
            "resources": {"cpu": "1", "memory": "2G"},
            "retries": 2,
        },
        {
            "name": "register",
            "call": f"{_CALLS}:register",
            "inputs": ("run_id", "retrain"),
            "gives": "version",
            "resources": {"cpu": "1", "memory": "1G"},
            "retries": 2,
        },
        {
            "name": "deploy",
            "call": f"{_CALLS}:deploy",
            "inputs": ("version", "retrain"),
            "resources": {"cpu": "1", "memory": "1G"},
            "retries": 2,
        },
    ]
)
"""Raw rows to the served champion. What the gate, `validate`, refuses reaches no request."""


def named(name: str) -> Stage:
    """A stage of the table; raises WorkloadError for a name that it does not hold."""
    found = next((stage for stage in STAGES if stage.name == name), None)
    if found is None:
        raise WorkloadError(f"there is no stage {name!r}; name one of {', '.join(stage.name for stage in STAGES)}")
    return found


def run(
    stage: Stage,
    session: Session,
    values: Mapping[str, str],
    run_id: str,
    keep: Callable[[Environment, str, StageOutcome], None] = outcome.keep,
) -> Done:
    """Run a stage with its inputs among `values`, and `keep` its outcome; raises what the stage raises."""
    environment = session.environment
    try:
        given = {name: _checked(stage, name, values) for name in stage.inputs}
        try:
            call = discovery.load(stage.call, f"stage {stage.name}: call")
        except DefinitionError as error:
            raise WorkloadError(str(error)) from error
        done: Done = call(session, **given)
    except Exception as error:
        keep(environment, run_id, StageOutcome.of_error(stage.name, error))
        raise
    left = StageOutcome(
        stage=stage.name,
        ended="succeeded",
        answer=done.answer,
        reason=done.says,
        facts=dict(done.facts),
        ended_at=datetime.now(UTC),
    )
    keep(environment, run_id, left)
    if stage.name == STAGES[0].name:
        outcome.forget_old(environment)
    return done


def _checked(stage: Stage, name: str, values: Mapping[str, str]) -> str:
    value = values.get(name, "")
    if not value and name in ARGUMENTS:
        return ""
    if not value:
        raise WorkloadError(f"stage {stage.name} needs {name}: give --{name.replace('_', '-')}=…")
    return FORMS[name](value, name)
