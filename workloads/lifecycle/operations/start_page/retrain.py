"""The last retrain as a timeline: each hop that the ledger and the registry recorded, with its time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

ENDINGS = {
    "promoted": "Watch passed",
    "refused": "Refused by the release policy",
    "insufficient": "Not enough evidence to release",
    "unchanged": "Nothing new to learn",
    "failed": "Failed",
    "rolled_back": "Rolled back",
    "superseded": "Replaced by a newer request",
}
"""Status of a retrain that is over -> what its last hop is called."""


@dataclass(frozen=True, kw_only=True)
class Hop:
    """Something that happened."""

    name: str

    at: float
    """UNIX time in seconds."""

    detail: str = ""


def timeline(retrain: Mapping[str, Any], version: Mapping[str, Any] | None, run: Mapping[str, Any] | None) -> list[Hop]:
    """The hops of one row of the ledger in the order of their times.

    `version` and `run`: MLflow's model version that the retrain made and the run behind it; None where there is none.
    """
    hops = [Hop(name="Requested", at=retrain["created_at"], detail=retrain["reason"])]
    fired = _fired(str(retrain.get("alert") or ""))
    if fired is not None:
        hops.append(Hop(name="Alert fired", at=fired))
    if retrain.get("begun_at"):
        hops.append(Hop(name="Pipeline started", at=retrain["begun_at"], detail=_tries(retrain)))
    if run is not None:
        hops += [
            Hop(name=name, at=int(run[key]) / 1000)
            for name, key in (("Training started", "start_time"), ("Training ended", "end_time"))
            if run.get(key)
        ]
    if version is not None:
        made = int(version["creation_timestamp"]) / 1000
        hops.append(Hop(name=f"Version {version['version']} registered", at=made))
    if retrain.get("challenged_at"):
        beside = f"version {retrain['challenger']} beside version {retrain['challenged']}"
        hops.append(Hop(name="Challenge begun", at=retrain["challenged_at"], detail=beside))
    if retrain.get("ended_at"):
        ending = ENDINGS.get(retrain["status"], retrain["status"])
        hops.append(Hop(name=ending, at=retrain["ended_at"], detail=str(retrain.get("detail") or "")))
    return sorted(hops, key=lambda hop: hop.at)


def _fired(alert: str) -> float | None:
    """When an alert began, from the ledger's `fingerprint:start`."""
    _, _, start = alert.partition(":")
    try:
        return datetime.fromisoformat(start).timestamp()
    except ValueError:
        return None


def _tries(retrain: Mapping[str, Any]) -> str:
    attempts = int(retrain.get("attempts") or 0)
    return f"attempt {attempts}" if attempts > 1 else ""
