"""The rules that a cluster's admission controller enforces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The policies, as the controller runs them; `policies/` makes these manifests."""

    templates: Sequence[Manifest] = ()
    """ConstraintTemplates: what can be forbidden."""

    constraints: Sequence[Manifest] = ()
    """Constraints: what is forbidden, where."""

    inventory: Sequence[Manifest] = ()
    """What the controller keeps copies of, for rules that look at other objects than the one in question."""
