"""Parts of a workload's definition: its raw data, entities, views of features, outcome and groups, with their checks.

Needs pydantic and the standard library only: the Pulumi program imports definitions.
"""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

NAME_LENGTH = 30
"""Characters of a workload's name: with a schedule's longest suffix, `-scheduled-retrain`, it stays below the 52 of
a CronJob, and below IAM's 64 with stack and role beside it.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
RESERVED = ("event_timestamp", "created", "dt")
"""Columns that ingestion adds to the published data: time of observation, time of ingestion, day of the file."""

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class DefinitionError(ValueError):
    """A definition that cannot be used; its text names field, value, what is allowed, and the fix."""


TAKEN_NAMES = (
    "argo",
    "gatekeeper-system",
    "kubeflow",
    "ml-pipeline",
    "ml-pipeline-ui",
    "mlflow",
    "mlplatform",
    "monitoring",
    "pipeline-runner",
    "pipelines",
)
"""Namespaces of the platform, its folders in the artifact store, and the service accounts of Kubeflow Pipelines."""


def _workload_name(name: str) -> str:
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a workload: namespaces, MLflow models, IAM roles and schedules derive from it; give "
            f"at most {NAME_LENGTH} of a-z, 0-9 and '-', starting with a letter and ending with a letter or digit"
        )
    if name in TAKEN_NAMES:
        raise ValueError(
            f"{name!r} cannot name a workload: a namespace or a folder of the platform has that name; give another one"
        )
    return name


def _identifier(name: str) -> str:
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a feature, a key or an attribute: use letters, digits and '_'")
    return name


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"{text!r} is no reference: write `package.module:attribute`")
    return text


WorkloadName = Annotated[str, AfterValidator(_workload_name)]
"""DNS label from which every other name of the workload derives, e.g. `churn`."""

Identifier = Annotated[str, AfterValidator(_identifier)]
"""Name of a feature, join key or attribute: a column of Parquet files and a field of requests."""

Reference = Annotated[str, AfterValidator(_reference)]
"""Dotted reference `package.module:attribute` that a stage's process loads."""

Key = tuple[int | str, ...]
"""Values of a workload's join keys, in the order of `Workload.keys`: what a request names in place of a vector."""


class Part(BaseModel):
    """A frozen part of a definition, whose fields are described by the strings below them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Column(Part):
    """One column of the raw data: a number between two bounds, both allowed, or a string."""

    name: Annotated[str, Field(min_length=1)]
    """Header of the column."""

    type: Literal["integer", "number", "string"] = "integer"
    """`integer` is read as 64 bits, `number` as a double."""

    lowest: int | float | None = None
    """Smallest allowed number; None for a string."""

    highest: int | float | None = None
    """Largest allowed number; None for a string."""

    values: tuple[str, ...] = ()
    """Strings that are allowed; empty allows each."""

    is_code: bool = False
    """Whether each value is a code; a value outside the bounds is then an unknown category."""

    nullable: bool = False
    """Whether a row may leave the field empty."""

    aliases: tuple[str, ...] = ()
    """Headers by which other copies of the data name this column."""

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        if self.type == "string":
            if self.lowest is not None or self.highest is not None:
                raise ValueError(f"column {self.name!r} is a string, which has no bounds: remove lowest and highest")
            return self
        if self.values:
            raise ValueError(f"column {self.name!r}: values are for strings; give lowest and highest instead")
        if self.lowest is None or self.highest is None:
            raise ValueError(f"column {self.name!r} is of type {self.type}: give lowest and highest")
        if self.lowest > self.highest:
            raise ValueError(
                f"column {self.name!r}: lowest={self.lowest} is above highest={self.highest}; exchange the two"
            )
        return self


class Source(Part):
    """The raw data's contract: the columns of a file, in its order."""

    title: str
    """What the data is, in the words of an error, e.g. `UCI dataset 350`."""

    contract_version: Annotated[int, Field(ge=1)]
    """Part of every content hash: another reading of the same bytes is other data."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)]

    key: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns that together identify a row; of two rows with the same key the first is kept."""

    format: Literal["csv", "blanks"] = "csv"
    """`csv`: a header, and fields between commas without quotes; `blanks`: no header, and fields between blanks."""


class Entity(Part):
    """What a prediction is about, and the key by which its features are looked up."""

    name: Identifier
    """Name in the feature store, e.g. `customer`."""

    key: Identifier
    """Join key of features and of requests, e.g. `AccountID`."""

    column: str
    """Column of the raw data that holds the key."""

    type: Literal["integer", "string"] = "integer"

    description: str


class EventTime(Part):
    """When a row was observed, where the data holds the history of each entity.

    With `epoch`, n times `unit` after it, for a row whose `column` is n. Else the newest row of each entity was
    observed when it first arrived, and a row whose `column` is less by n is n times `unit` older.
    """

    column: str
    """Column of the raw data that counts, e.g. `cycle`."""

    unit: Annotated[timedelta, Field(gt=timedelta(0))]

    epoch: AwareDatetime | None = None
    """Moment at which `column` is 0, where it counts from a date, as days since 1970 do; None where it counts from the
    begin of each entity."""


class Feature(Part):
    """One input of the model."""

    name: Identifier

    type: Literal["integer", "number", "string"]
    """`integer` is stored with 64 bits, `number` as a double; a `string` is a category."""

    nullable: bool = False
    """Whether the value may be missing, in training and in a request."""

    description: str
    """Meaning and unit, for people."""

    lowest: int | float | None = None
    """Smallest value that can be true; a request with a smaller one is refused, or kept out of the data. None: each
    may be."""

    highest: int | float | None = None
    """Largest value that can be true, likewise."""

    @model_validator(mode="after")
    def _bounds_are_of_numbers(self) -> Self:
        if self.type == "string" and (self.lowest, self.highest) != (None, None):
            raise ValueError(f"feature {self.name!r} is a string, which has no bounds: remove lowest and highest")
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(
                f"feature {self.name!r}: lowest={self.lowest} is above highest={self.highest}; exchange the two"
            )
        return self

    def holds(self, value: object) -> bool:
        """Whether a value may be true; what is missing or no number has no bounds."""
        if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  NaN
            return True
        return (self.lowest is None or self.lowest <= value) and (self.highest is None or value <= self.highest)


class View(Part):
    """Features that are published together, about the same entities."""

    name: Identifier

    entities: tuple[Identifier, ...] = ()
    """Names of the entities whose keys together identify a row of the view; empty takes all of the workload."""

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]

    ttl: Annotated[timedelta, Field(gt=timedelta(0))]
    """Time after its observation at which a feature is too old to answer a request: longer than the pause between two
    observations, and than two nights, so that a nightly run may fail."""


class Outcome(Part):
    """What the model predicts, once it is known."""

    label: Identifier
    """Column of the published data; null in a row whose outcome is not known yet."""

    column: str | None = None
    """Column of the raw data that holds it; None where `derive` computes it."""

    derive: Reference | None = None
    """`() -> Spark column` over the checked raw columns, null where the outcome is not known yet."""

    lowest: float = 0
    """Smallest outcome that can be true."""

    highest: float = 1
    """Largest outcome that can be true."""

    unit: str = "1 when it happened"
    """Unit of the outcome, for people, e.g. `cycles`."""

    classes: tuple[str, str] = ("0", "1")
    """What the outcomes 0 and 1 of a binary problem are called in plots, e.g. `pays` and `defaults`."""

    delay: timedelta = timedelta(0)
    """Time after the observation at which the outcome is usually known."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.derive is None):
            raise ValueError(f"outcome {self.label!r}: give one of column and derive")
        if self.lowest >= self.highest:
            raise ValueError(f"outcome {self.label!r}: lowest={self.lowest} must be below highest={self.highest}")
        return self


class Group(Part):
    """A protected attribute by which quality is compared; the model need not see it."""

    attribute: Identifier
    """Name in reports, metrics and the release policy."""

    column: Identifier
    """Column of the published data that holds it: a raw column that travels beside the features, or a feature."""

    edges: tuple[float, ...] = ()
    """Edges of a continuous attribute's groups, each open below and closed above; empty takes each value as a group."""

    kept_values: tuple[int, ...] = ()
    """Values that are groups of their own, every other value being `other_value`; empty keeps each."""

    other_value: int | None = None
    """Group of the values that are not kept; needed with `kept_values`."""

    @model_validator(mode="after")
    def _one_way_of_grouping(self) -> Self:
        if self.edges and self.kept_values:
            raise ValueError(f"group {self.attribute!r} has edges and kept_values: give one of them")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"group {self.attribute!r}: edges={self.edges} must ascend")
        if bool(self.kept_values) != (self.other_value is not None):
            raise ValueError(f"group {self.attribute!r}: kept_values and other_value belong together: give both")
        return self


class Shift(Part):
    """How a fire drill moves one feature: `value * factor + offset`, which keeps the order of its values."""

    feature: Identifier

    factor: Annotated[float, Field(gt=0)] = 1

    offset: float = 0


class Former(Part):
    """Names of before, so that state and data move without loss."""

    component: str | None = None
    """Type token of the workload's component in stacks of before, e.g. `mlplatform:index:Churn`."""

    registry: str | None = None
    """Logical name of Feast's registry in stacks of before, which had one for all, e.g. `feature-store-registry`."""

    metrics: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*_)?$")] = ""
    """How the names of its metrics began before they had the label `workload`, e.g. `churn_`: they are emitted
    under these too, until 2.0.0; empty where there were none."""
