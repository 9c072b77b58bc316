"""Which workloads a stack file can list, and what it says about them."""

from importlib import metadata
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, create_model, model_validator

from infra.base.settings import Settings
from workloads.lifecycle import discovery
from workloads.lifecycle.base.settings import STORED
from workloads.lifecycle.stack_settings import WorkloadStackSettings
from workloads.lifecycle.workload import Workload, check_together

OWN = {
    "loan_default": "workloads.loan_default.definition:LOAN_DEFAULT",
    "turbofan": "workloads.turbofan.definition:TURBOFAN",
}
"""Workloads of this repository: block of a stack file -> where the definition is."""

INSTALLED = {point.name.replace("-", "_"): point.name for point in metadata.entry_points(group=discovery.ENTRY_POINTS)}
"""Workloads of installed packages: block of a stack file -> the name by which a process finds the definition."""

REGISTERED = {**INSTALLED, **OWN}
FIRST = next(iter(OWN))
"""The workload of a stack file that lists none."""


class WorkloadsSettings(Settings):
    """What a stack file says about workloads in general."""

    reads_files_of_this_machine: ClassVar[bool] = True
    """Whether the stack's processes can; pods cannot."""

    workloads: Annotated[tuple[str, ...], Field(min_length=1)] = (FIRST,)
    """Workloads of the stack, by the names of their blocks."""

    default_workload: str | None = None
    """Whose addresses the outputs without a workload's name are; None: those of the first one."""

    @property
    def default(self) -> str:
        """The workload that a command is about when none is named."""
        return self.default_workload or self.workloads[0]

    @property
    def _ordered(self) -> list[str]:
        """The default one, then the others by name: the order of the list means nothing beyond the default."""
        return sorted(self.workloads, key=lambda name: (name != self.default, name))

    @property
    def blocks(self) -> dict[str, WorkloadStackSettings]:
        """Settings of each workload of the stack."""
        return {name: getattr(self, name) for name in self._ordered}

    @property
    def definitions(self) -> dict[str, Workload]:
        """Definition of each workload of the stack; raises DefinitionError for one that cannot be used."""
        return {name: discovery.find(REGISTERED[name]) for name in self._ordered}

    def _has_block(self, name: str) -> bool:
        """Whether the block of that name is a workload's, and no role's."""
        return isinstance(getattr(self, name), WorkloadStackSettings)

    @model_validator(mode="after")
    def _workloads_are_registered(self) -> "WorkloadsSettings":
        known = ", ".join(sorted(REGISTERED))
        if len(set(self.workloads)) < len(self.workloads):
            raise ValueError(f"workloads is {', '.join(self.workloads)}: list each workload once")
        for name in self.workloads:
            if name not in REGISTERED:
                raise ValueError(
                    f"workloads names {name!r}, which is none of {known}: correct it, or install the package that "
                    f"registers it under the entry point {discovery.ENTRY_POINTS!r}"
                )
            if not self._has_block(name):
                raise ValueError(f"workloads names {name!r}, which is a role of the stack file: rename the workload")
            if name in OWN and name in INSTALLED:
                raise ValueError(
                    f"workloads names {name!r}, which this repository and an installed package both bring: uninstall "
                    "the package, or rename its workload"
                )
        if self.default not in self.workloads:
            raise ValueError(
                f"default_workload is {self.default!r}, which is none of the stack's workloads "
                f"({', '.join(self.workloads)}): list it, or name one of them"
            )
        for name in REGISTERED:
            is_given = self._has_block(name) and getattr(self, name) != WorkloadStackSettings()
            if name not in self.workloads and is_given:
                raise ValueError(f"{name} is given, but workloads does not list it: add it to workloads, or remove it")
        definitions = self.definitions
        check_together(definitions.values())
        for name, workload in definitions.items():
            self.blocks[name].require_fit(name, workload)
        return self


Model = TypeVar("Model", bound=WorkloadsSettings)


NO_FILE_FOR_PODS = "a file of this machine, which no pod can read: put it into the artifact store and"


def refuse_files_of_this_machine(settings: Model) -> Model:
    """Raise ValueError for a workload whose data is a file that pods cannot read; returns the settings."""
    for name, block in settings.blocks.items():
        if block.data is not None and not block.data.startswith(STORED):
            raise ValueError(
                f"{name}.data is {block.data}, {NO_FILE_FOR_PODS} give its address s3://bucket/key, or leave it out "
                "for generated rows"
            )
    return settings


def with_blocks(model: type[Model]) -> type[Model]:
    """The model of a stack file with a block for each registered workload."""
    blocks = {
        name: (WorkloadStackSettings, WorkloadStackSettings()) for name in REGISTERED if name not in model.model_fields
    }
    return create_model(model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **blocks)  # type: ignore[call-overload, no-any-return]
