"""`Workload`: the typed definition of one model, which stages, program, policies and commands read.

The Pulumi program imports definitions, so this module and every definition need pydantic and the standard library only.
Code that needs numpy, Spark, Feast or MLflow is named by a reference `module:attribute`, which a stage's process loads.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

NAME_LENGTH = 30
"""Characters of a workload's name: with a schedule's longest suffix, `-scheduled-retrain`, it stays below the 52 of
a CronJob, and below IAM's 64 with stack and role beside it.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class DefinitionError(ValueError):
    """A definition that cannot be used; its text names field, value, what is allowed, and the fix."""


def _workload_name(name: str) -> str:
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a workload: namespaces, MLflow models, IAM roles and schedules derive from it; give "
            f"at most {NAME_LENGTH} of a-z, 0-9 and '-', starting with a letter and ending with a letter or digit"
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
"""DNS label from which every other name of the workload derives, e.g. `loan-default`."""

Identifier = Annotated[str, AfterValidator(_identifier)]
"""Name of a feature, join key or attribute: a column of Parquet files and a field of requests."""

Reference = Annotated[str, AfterValidator(_reference)]
"""Dotted reference `package.module:attribute` that a stage's process loads."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Column(_Part):
    """One column of the raw data: an integer between two bounds, both allowed."""

    name: Annotated[str, Field(min_length=1)]
    """Header of the column."""

    lowest: int
    """Smallest allowed value."""

    highest: int
    """Largest allowed value."""

    is_code: bool = False
    """Whether each value is a code; a value outside the bounds is then an unknown category."""

    aliases: tuple[str, ...] = ()
    """Headers by which other copies of the data name this column."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(
                f"column {self.name!r}: lowest={self.lowest} is above highest={self.highest}; exchange the two"
            )
        return self


class Source(_Part):
    """The raw data's contract: the columns of a CSV, in the order of the file."""

    title: str
    """What the data is, in the words of an error, e.g. `UCI dataset 350`."""

    contract_version: Annotated[int, Field(ge=1)]
    """Part of every content hash: another reading of the same bytes is other data."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1)]

    key: str
    """Column that identifies a row; of two rows with the same key the first is kept."""


class Entity(_Part):
    """What a prediction is about, and the key by which its features are looked up."""

    name: Identifier
    """Name in the feature store, e.g. `customer`."""

    key: Identifier
    """Join key of features and of requests, e.g. `CustomerID`."""

    description: str


class Feature(_Part):
    """One input of the model."""

    name: Identifier

    type: Literal["integer", "number"]
    """`integer` is stored with 64 bits, `number` as a double."""

    description: str
    """Meaning and unit, for people."""


class View(_Part):
    """Features that are published together, about the same entity."""

    name: Identifier

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]

    ttl: Annotated[timedelta, Field(gt=timedelta(0))]
    """Age at which a feature is too old to answer a request."""


class Outcome(_Part):
    """What the model predicts, once it is known."""

    label: Identifier
    """Column of the published data."""

    column: str
    """Column of the raw data that the label comes from."""


class Group(_Part):
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


class Workload(_Part):
    """One model: its data, features, outcome, groups, and the code that is about it."""

    name: WorkloadName
    """Every other name derives from it."""

    title: str
    """Name for people, e.g. `Loan default`."""

    description: str
    """What the model predicts, one sentence."""

    source: Source

    entity: Entity

    view: View

    outcome: Outcome

    attributes: tuple[Identifier, ...] = ()
    """Raw columns that are published beside the features for comparing groups; the model never sees them."""

    groups: tuple[Group, ...] = ()

    derive: Reference
    """`() -> {feature: Spark column}` over the checked raw columns; never reads the label."""

    generator: Reference
    """`(path, rows, seed) -> None`: writes seeded rows with the source's columns."""

    example: tuple[int | float, ...]
    """A request's vector, in the order of `features`, for documents and smoke predictions."""

    @property
    def features(self) -> tuple[str, ...]:
        """The model's inputs, in the order of a request's vector."""
        return tuple(feature.name for feature in self.view.features)

    @property
    def published(self) -> tuple[str, ...]:
        """Raw columns that are published beside the features, in the order of the file.

        The key and the label go by other names, and a column that a feature repeats but for its case would make two
        columns one for readers that ignore case.
        """
        features = {name.lower() for name in self.features}
        named = {self.source.key, self.outcome.column}
        names = (column.name for column in self.source.columns)
        return tuple(name for name in names if name not in named and name.lower() not in features)

    @property
    def module_name(self) -> str:
        """The name with underscores: Feast's project, the stack file's block, metrics."""
        return self.name.replace("-", "_")

    @property
    def model_name(self) -> str:
        """Registered model in MLflow."""
        return f"{self.name}-model"

    @property
    def experiment(self) -> str:
        """MLflow experiment of every training run."""
        return f"{self.name}-prediction"

    @property
    def service_name(self) -> str:
        """Feast's service of the model's inputs."""
        return f"{self.module_name}_v1"

    @model_validator(mode="after")
    def _columns_are_consistent(self) -> Self:
        raw = [column.name for column in self.source.columns]
        _refuse_repeated(
            [*raw, *(alias for column in self.source.columns for alias in column.aliases)], "source.columns"
        )
        _refuse_repeated(self.features, "view.features")
        self._refuse_unknown("source.key", self.source.key, raw)
        self._refuse_unknown("outcome.column", self.outcome.column, raw)
        for attribute in self.attributes:
            self._refuse_unknown("attributes", attribute, raw)
        if self.outcome.label in self.features or self.outcome.column in self.features:
            raise ValueError(
                f"view.features holds the label {self.outcome.label!r}: a model that is given its label "
                "learns nothing; remove it"
            )
        if self.outcome.column in self.attributes:
            raise ValueError(f"attributes holds the label's column {self.outcome.column!r}: remove it")
        for group in self.groups:
            self._refuse_unknown("groups.column", group.column, [*self.attributes, *self.features])
        if len(self.example) != len(self.features):
            raise ValueError(
                f"example has {len(self.example)} numbers, the model takes {len(self.features)}: "
                f"{', '.join(self.features)}"
            )
        return self

    def _refuse_unknown(self, field: str, name: str, known: Iterable[str]) -> None:
        allowed = list(known)
        if name not in allowed:
            raise ValueError(
                f"{field} names the column {name!r}, which is none of {', '.join(allowed) or 'no columns'}"
            )


def check_together(workloads: Iterable[Workload]) -> None:
    """Raise DefinitionError for workloads that cannot stand on one platform.

    The online store's keys end in the workload's name, and an access rule admits what ends in it: so no name may be the
    end of another.
    """
    names = [workload.name for workload in workloads]
    _refuse_repeated(names, "workloads", DefinitionError)
    for name in names:
        longer = next((other for other in names if other != name and other.endswith(name)), None)
        if longer is not None:
            raise DefinitionError(
                f"workloads {name!r} and {longer!r} cannot stand beside each other: the keys of {longer!r} in the "
                f"online store end in {name!r} too; rename one of them"
            )


def _refuse_repeated(names: Iterable[str], field: str, error: type[ValueError] = ValueError) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise error(f"{field} names {', '.join(map(repr, repeated))} more than once: remove or rename the others")
