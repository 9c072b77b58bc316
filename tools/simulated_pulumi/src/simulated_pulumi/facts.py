"""What a program finds around it: names, configuration, answers of providers. Plain data, made by fixtures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulated_pulumi.values import Answer, SecretValue

if TYPE_CHECKING:
    from simulated_pulumi.providers.base import SimulatedProvider

Outputs = Mapping[str, Any] | Callable[["Asked"], Mapping[str, Any]]
"""What a resource type gives beyond its inputs, or a function of the registration. The key `id` sets the id."""

CHECKS: Final = (
    "duplicate_urn",
    "orphan_child",
    "missing_register_outputs",
    "default_provider",
    "resource_in_apply",
    "output_in_string",
    "unawaited_failure",
    "empty_program",
    "lost_export",
)
"""Names of the checks, as `@pytest.mark.pulumi_allow(…)` takes them."""


@dataclass(frozen=True)
class Asked:
    """A registration, as a function in `pulumi_outputs` sees it."""

    type: str
    name: str
    inputs: dict[str, Any]
    id: str | None
    """The id that is looked up, for `get` and StackReference."""

    config: dict[str, Any] = field(default_factory=dict)
    """The inputs of the explicit provider, such as its region; empty for the default one."""


@dataclass(frozen=True)
class Facts:
    """The surroundings of one run."""

    project: str = "project"
    stack: str = "test"
    organization: str = "organization"
    config: Mapping[str, Any] = field(default_factory=dict)
    """Keys without a namespace get the project's; values may be `SecretValue`; structured ones become JSON."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    outputs: Mapping[str, Outputs] = field(default_factory=dict)
    providers: Sequence[SimulatedProvider] = ()
    """Simulated providers that give the answers and outputs of their packages which are not given above."""

    allowed: frozenset[str] = frozenset()
    """Checks that are switched off."""

    timeout_seconds: float = 30.0

    def engine_config(self) -> tuple[dict[str, str], list[str]]:
        """Give the configuration as the language runtime takes it: strings, and the names of secret ones."""
        plain: dict[str, str] = {}
        secret: list[str] = []
        for key, value in self.config.items():
            full = key if ":" in key else f"{self.project}:{key}"
            if isinstance(value, SecretValue):
                secret.append(full)
            inner = value.value if isinstance(value, SecretValue) else value
            plain[full] = inner if isinstance(inner, str) else json.dumps(inner)
        return plain, secret
