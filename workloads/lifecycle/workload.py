"""`Workload`: the typed definition of one model, which stages, program, policies and commands read.

The Pulumi program imports definitions, so this module and every definition need pydantic and the standard library only.
Code that needs numpy, Spark, Feast or MLflow is named by a reference `module:attribute`, which a stage's process loads.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workloads.lifecycle.schema import (
    RESERVED,
    DefinitionError,
    Entity,
    EventTime,
    Feature,
    Former,
    Group,
    Identifier,
    Outcome,
    Part,
    Reference,
    Shift,
    Source,
    View,
    WorkloadName,
)
from workloads.lifecycle.thresholds import THRESHOLDS, Problem, Threshold


class Workload(Part):
    """One model: its data, features, outcome, groups, and the code that is about it."""

    name: WorkloadName
    """Every other name derives from it."""

    title: str
    """Name for people, e.g. `Churn`."""

    description: str
    """What the model predicts, one sentence."""

    problem: Problem = "binary"

    answer: str
    """What a prediction is, for people, e.g. `Default probability`."""

    source: Source

    entities: Annotated[tuple[Entity, ...], Field(min_length=1)]
    """One or more: what a prediction is about, each with its key."""

    views: Annotated[tuple[View, ...], Field(min_length=1)]

    outcome: Outcome

    time: EventTime | None = None
    """None: every row is an observation of the moment of its ingestion."""

    split: Literal["rows", "entities", "time"] = "rows"
    """What is held out: rows (by label, where the problem is binary), whole entities, or the newest time."""

    attributes: tuple[Identifier, ...] = ()
    """Raw columns that are published beside the features for comparing groups; the model never sees them."""

    groups: tuple[Group, ...] = ()

    derive: Reference
    """`() -> {feature: Spark column}` over the checked raw columns; never reads the label."""

    generator: Reference
    """`(path, rows, seed) -> None`: writes seeded rows with the source's columns."""

    example: tuple[int | float | str | None, ...]
    """A request's vector, in the order of `features`, for documents and smoke predictions."""

    example_keys: tuple[int | str, ...] = ()
    """Keys of an entity of the data and of the generator, in the order of `keys`; empty: no smoke look-up."""

    estimator: Literal["sklearn", "xgboost"] = "sklearn"
    """What learns where the stack file's `training.estimator` does not say it."""

    drill: tuple[Shift, ...] = ()
    """The drift of a fire drill; empty moves each number by a quarter of its standard deviation."""

    former: Former = Former()

    personal: tuple[str, ...] = ()
    """Raw columns that are personal data."""

    gate: tuple[Threshold, ...] = ()
    """Limits of the release policy that differ from `THRESHOLDS`, each with its reason."""

    limits: str = ""
    """Where the model must not be used, Markdown for its card."""

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """The features of all views, in the order of a request's vector."""
        return tuple(feature for view in self.views for feature in view.features)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the model's inputs, in the order of a request's vector."""
        return tuple(feature.name for feature in self.inputs)

    @property
    def shortest_ttl(self) -> timedelta:
        """Age of the published features from which requests by key are refused."""
        return min(view.ttl for view in self.views)

    @property
    def references(self) -> dict[str, str]:
        """Field -> `module:attribute` of each reference to code."""
        found = {"derive": self.derive, "generator": self.generator, "outcome.derive": self.outcome.derive}
        return {field: dotted for field, dotted in found.items() if dotted is not None}

    @property
    def keys(self) -> tuple[str, ...]:
        """Join keys, which a request gives instead of a vector."""
        return tuple(entity.key for entity in self.entities)

    def keys_of(self, view: View) -> tuple[str, ...]:
        """Join keys of one view."""
        return tuple(entity.key for entity in self.entities if not view.entities or entity.name in view.entities)

    @property
    def is_numeric(self) -> bool:
        """Whether every input is a number, so that one tensor of the v2 protocol holds a request."""
        return not any(feature.type == "string" or feature.nullable for feature in self.inputs)

    def is_answer(self, value: object) -> bool:
        """Whether the model can answer a value: a probability or, of a regression, each finite number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.problem == "regression" or 0 <= value <= 1

    @property
    def published(self) -> tuple[str, ...]:
        """Raw columns that are published beside the features, in the order of the file.

        Keys and label go by other names, and a column that a feature repeats but for its case would make two columns
        one for readers that ignore case.
        """
        features = {name.lower() for name in self.features}
        named = {self.outcome.column, *(entity.column for entity in self.entities)}
        names = (column.name for column in self.source.columns)
        return tuple(name for name in names if name not in named and name.lower() not in features)

    @property
    def kept(self) -> list[str]:
        """Columns that are kept of a row to learn from: keys, features, what groups are compared by, and the label."""
        names = (*self.keys, *self.features, *self.attributes, self.outcome.label)
        return list(dict.fromkeys(names))  # a key may be a feature, too

    @property
    def label_type(self) -> Literal["integer", "number"]:
        """Type of the published label."""
        return "integer" if self.problem == "binary" else "number"

    @property
    def thresholds(self) -> dict[str, int | float]:
        """Every limit that the release policy applies to this workload's models."""
        return {each.limit: each.value for each in (*THRESHOLDS[self.problem], *self.gate)}

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
    def _names_are_unique(self) -> Self:
        columns = self.source.columns
        _refuse_repeated([*self._raw, *(alias for column in columns for alias in column.aliases)], "source.columns")
        _refuse_repeated(self.features, "views.features")
        _refuse_repeated([entity.name for entity in self.entities], "entities")
        _refuse_repeated(self.keys, "entities.key")
        _refuse_repeated([view.name for view in self.views], "views")
        _refuse_repeated([each.limit for each in self.gate], "gate")
        return self

    @model_validator(mode="after")
    def _columns_exist(self) -> Self:
        named = {
            "source.key": self.source.key,
            "entities.column": [entity.column for entity in self.entities],
            "attributes": self.attributes,
            "personal": self.personal,
            "time.column": [] if self.time is None else [self.time.column],
            "outcome.column": [] if self.outcome.column is None else [self.outcome.column],
        }
        for field, columns in named.items():
            self._refuse_unknown(field, columns, self._raw)
        self._refuse_unknown(
            "groups.column", [group.column for group in self.groups], [*self.attributes, *self.features]
        )
        entities = [entity.name for entity in self.entities]
        self._refuse_unknown(
            "views.entities", [name for view in self.views for name in view.entities], entities, "entity"
        )
        return self

    @model_validator(mode="after")
    def _rows_are_identified(self) -> Self:
        columns = {column.name: column for column in self.source.columns}
        counted = [] if self.time is None else [self.time.column]
        for name in (*self.source.key, *(entity.column for entity in self.entities), *counted):
            if columns[name].nullable:
                raise ValueError(f"column {name!r} identifies rows, so it cannot be nullable: remove nullable")
        for entity in self.entities:
            if columns[entity.column].type != entity.type:
                raise ValueError(
                    f"entities: the key {entity.key!r} is of type {entity.type}, its column {entity.column!r} of type "
                    f"{columns[entity.column].type}; give the entity the type of its column, integer or string"
                )
        if counted and columns[counted[0]].type == "string":
            raise ValueError(f"time.column {counted[0]!r} is a string, which does not count: name a number")
        allowed = {entity.column for entity in self.entities} | set(counted)
        beside = [name for name in self.source.key if name not in allowed]
        if beside:
            raise ValueError(
                f"source.key holds {beside[0]!r}, which is the column of no entity and not time.column: an entity "
                "would have two rows at once; remove it, or make it an entity"
            )
        return self

    @model_validator(mode="after")
    def _label_is_no_input(self) -> Self:
        if self.outcome.label in self.features or self.outcome.column in self.features:
            raise ValueError(
                f"views.features holds the label {self.outcome.label!r}: a model that is given its label "
                "learns nothing; remove it"
            )
        if self.outcome.column in self.attributes:
            raise ValueError(f"attributes holds the label's column {self.outcome.column!r}: remove it")
        return self

    @model_validator(mode="after")
    def _published_names_are_unique(self) -> Self:
        published = [*self.keys, *self.features, self.outcome.label, *self.published, *RESERVED]
        _refuse_repeated(
            [name.lower() for name in published],
            "the published data (keys, features, label, raw columns beside them, and "
            f"{', '.join(RESERVED)}, which ingestion adds; case is ignored)",
        )
        return self

    @model_validator(mode="after")
    def _problem_fits(self) -> Self:
        if self.problem == "binary" and (self.outcome.lowest, self.outcome.highest) != (0, 1):
            raise ValueError(
                f"outcome is {self.outcome.lowest:g} to {self.outcome.highest:g}, but a binary problem knows 0 and 1: "
                "remove lowest and highest, or set problem to 'regression'"
            )
        if self.split == "time" and self.time is None:
            raise ValueError("split by 'time' needs `time`: say which column counts, or split by 'rows' or 'entities'")
        if len(self.example) != len(self.features):
            raise ValueError(
                f"example has {len(self.example)} values, the model takes {len(self.features)}: "
                f"{', '.join(self.features)}"
            )
        for feature, value in zip(self.inputs, self.example, strict=True):
            if not feature.holds(value):
                raise ValueError(
                    f"example has {value!r} for {feature.name}, whose bounds are {feature.lowest} to "
                    f"{feature.highest}: the server would refuse it; give a value within them"
                )
        if self.example_keys and len(self.example_keys) != len(self.keys):
            raise ValueError(
                f"example_keys has {len(self.example_keys)} values, a request {len(self.keys)} keys: "
                f"{', '.join(self.keys)}"
            )
        return self

    @model_validator(mode="after")
    def _drill_moves_numbers(self) -> Self:
        numbers = [each.name for each in self.inputs if each.type != "string"]
        self._refuse_unknown("drill.feature", [shift.feature for shift in self.drill], numbers, "numeric feature")
        return self

    @model_validator(mode="after")
    def _limits_fit_the_problem(self) -> Self:
        known = [each.limit for each in THRESHOLDS[self.problem]]
        self._refuse_unknown("gate", [each.limit for each in self.gate], known, f"{self.problem} limit")
        return self

    @property
    def _raw(self) -> list[str]:
        return [column.name for column in self.source.columns]

    def _refuse_unknown(self, field: str, names: Iterable[str], known: list[str], kind: str = "column") -> None:
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            raise ValueError(
                f"{field} names the {kind} {unknown!r}, which is none of "
                f"{', '.join(known) or 'nothing'}: name one of these, or add it there"
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
