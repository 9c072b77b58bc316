"""What simulated providers would compute, for runs without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from simulated_pulumi.providers.base import Planned, SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulated_pulumi.facts import Asked, Outputs


class Computed(Mapping[str, "Outputs"]):
    """Outputs by type, as the fixture `pulumi_outputs` gives them: a provider's for every type of its package.

    `others` go before the providers, type by type.
    """

    def __init__(self, *providers: SimulatedProvider, others: Mapping[str, Outputs] | None = None) -> None:
        self._providers = {provider.package: provider for provider in providers}
        self._others = dict(others or {})

    def __getitem__(self, key: str) -> Outputs:
        if key in self._others:
            return self._others[key]
        return partial(computed, self._providers[key.split(":", 1)[0]])

    def __iter__(self) -> Iterator[str]:
        """Go over the types that are named; those of the providers are without number."""
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)


def computed(provider: SimulatedProvider, asked: Asked) -> dict[str, Any]:
    """Give what a provider would compute for one registration."""
    provider.config = asked.config
    urn = f"urn:pulumi:stack::project::{asked.type}::{asked.name}"
    planned = Planned(urn, dict(asked.inputs), config=asked.config)
    added = {key: value for key, value in provider.defaults(planned, {}).items() if not key.startswith("__")}
    planned.inputs |= added
    planned.id = asked.id or f"{asked.name}-id"
    return added | provider.compute(planned)
