"""Changes in place that lose data at once or soon: a shorter retention, an expiry, versions that are no longer kept.

What a provider replaces is in `policies.destruction`; what changes by a provider's default alone is not seen.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from policies.aws import types

Properties = Mapping[str, Any]
"""Inputs of a resource in the engine's spelling."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_FOREVER = float("inf")


def found(type_token: str, old: Properties, new: Properties) -> list[str]:
    """What a change of inputs would lose; `old` is empty for what is made."""
    look = _LOOKS.get(type_token)
    return sorted(set(look(old, new))) if look else []


def _numbers(*keys: str, forever: tuple[Any, ...] = ()) -> Callable[[Properties, Properties], Iterator[str]]:
    """Whether days become fewer; values of `forever` keep without end."""

    def look(old: Properties, new: Properties) -> Iterator[str]:
        for key in keys if old else ():
            before, after = (_FOREVER if each.get(key) in forever else _number(each.get(key)) for each in (old, new))
            if before is not None and after is not None and after < before:
                yield f"{key} would fall from {old.get(key, 'the default')} to {new.get(key, 'the default')}"

    return look


def _number(value: Any) -> float | None:
    """A number; 0 for none; None for what is not known yet."""
    if value is None:
        return 0.0
    return float(value) if isinstance(value, (int, float)) else None


def _flag(key: str, *, keeping: bool, default: bool) -> Callable[[Properties, Properties], Iterator[str]]:
    """Whether a flag leaves the value that keeps data."""

    def look(old: Properties, new: Properties) -> Iterator[str]:
        if old and old.get(key, default) is keeping and new.get(key, default) is (not keeping):
            yield f"{key} would become {str(not keeping).lower()}"

    return look


def _all(
    *looks: Callable[[Properties, Properties], Iterator[str]],
) -> Callable[[Properties, Properties], Iterator[str]]:
    def look(old: Properties, new: Properties) -> Iterator[str]:
        for each in looks:
            yield from each(old, new)

    return look


def _versions(old: Properties, new: Properties) -> Iterator[str]:
    before, after = ((each.get("versioningConfiguration") or {}).get("status") for each in (old, new))
    if before == "Enabled" and after in ("Suspended", "Disabled"):
        yield f"the bucket would keep no versions any more ({after})"


def _expiry(old: Properties, new: Properties) -> Iterator[str]:
    """Objects that would go sooner; also by rules that are made for a bucket which is there, and so has a name."""
    if not old and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", str(new.get("bucket", ""))):
        return
    if not old and re.fullmatch(r"[0-9a-f-]{36}", str(new["bucket"])):  # stands for a name that is not known yet
        return
    before = _ages(old)
    for (what, place), days in _ages(new).items():
        same = [each for (kind, where), each in before.items() if kind == what and place.startswith(where)]
        if days < min(same, default=_FOREVER):
            yield f"{what} of objects {place or 'anywhere'} would come after {days:g} days"


def _ages(lifecycle: Properties) -> dict[tuple[str, str], float]:
    """Kind of expiry and prefix to the days after which it comes, by rules that are in force."""
    ages: dict[tuple[str, str], float] = {}
    for rule in lifecycle.get("rules") or []:
        if not isinstance(rule, Mapping) or rule.get("status") != "Enabled":
            continue
        place = _prefix(rule)
        for what, key, unit in (
            ("expiration", "expiration", "days"),
            ("expiration of old versions", "noncurrentVersionExpiration", "noncurrentDays"),
        ):
            days = (rule.get(key) or {}).get(unit) if isinstance(rule.get(key), Mapping) else None
            if isinstance(days, (int, float)):
                ages[what, place] = min(float(days), ages.get((what, place), _FOREVER))
    return ages


def _prefix(rule: Properties) -> str:
    chosen = rule.get("filter") or {}
    return str(chosen.get("prefix") or (chosen.get("and") or {}).get("prefix") or rule.get("prefix") or "")


def _images(old: Properties, new: Properties) -> Iterator[str]:
    """Images that would go sooner: by a rule with a smaller number than any of its kind had."""
    before, after = _counts(old), _counts(new)
    for kind, number in after.items() if old else ():
        if number < before.get(kind, _FOREVER):
            yield f"images would expire by {kind} {number:g}"


def _counts(policy: Properties) -> dict[str, float]:
    try:
        rules = [rule["selection"] for rule in json.loads(policy.get("policy", "{}")).get("rules", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    found: dict[str, float] = {}
    for each in rules:
        kind = f"{each.get('countType')} of {each.get('tagStatus')}"
        number = float(each.get("countNumber", 0))
        found[kind] = min(number, found.get(kind, _FOREVER))
    return found


def _chart(old: Properties, new: Properties) -> Iterator[str]:
    """Times that a chart's values call `retention`, as Prometheus' do."""
    before = dict(_retentions(old.get("values")))
    after = dict(_retentions(new.get("values")))
    for path, seconds in after.items():
        if path in before and seconds < before[path]:
            yield f"{path} would become shorter"


def _retentions(value: Any, path: str = "values") -> Iterator[tuple[str, float]]:
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if str(key).lower() in ("retention", "retentionsize") and isinstance(inner, str):
            time = re.fullmatch(r"(\d+)([smhdwy])", inner)
            if time:
                yield f"{path}.{key}", int(time[1]) * _SECONDS[time[2]]
        yield from _retentions(inner, f"{path}.{key}")


def _claims(old: Properties, new: Properties) -> Iterator[str]:
    """Volumes that would go with the server, or with a replica of it."""
    before, after = ((each.get("spec") or {}).get("persistentVolumeClaimRetentionPolicy") or {} for each in (old, new))
    for key in ("whenDeleted", "whenScaled") if old else ():
        if after.get(key) == "Delete" and before.get(key) != "Delete":
            yield f"volumes would be deleted {'with the server' if key == 'whenDeleted' else 'with a replica'}"


_DATABASE = _all(
    _numbers("backupRetentionPeriod"),
    _flag("deletionProtection", keeping=True, default=False),
    _flag("skipFinalSnapshot", keeping=False, default=False),
)
_LOOKS: Mapping[str, Callable[[Properties, Properties], Iterator[str]]] = {
    types.RDS_INSTANCE: _DATABASE,
    types.RDS_CLUSTER: _DATABASE,
    types.ELASTICACHE_REPLICATION_GROUP: _numbers("snapshotRetentionLimit"),
    types.CLOUDWATCH_LOG_GROUP: _numbers("retentionInDays", forever=(None, 0)),
    types.S3_BUCKET: _flag("forceDestroy", keeping=False, default=False),
    types.S3_BUCKET_VERSIONING: _versions,
    types.S3_BUCKET_LIFECYCLE_CONFIGURATION: _expiry,
    types.ECR_REPOSITORY: _flag("forceDelete", keeping=False, default=False),
    types.ECR_LIFECYCLE_POLICY: _images,
    types.KMS_KEY: _all(
        _flag("isEnabled", keeping=True, default=True), _numbers("deletionWindowInDays", forever=(None,))
    ),
    types.EKS_CLUSTER: _flag("deletionProtection", keeping=True, default=False),
    "kubernetes:helm.sh/v3:Release": _chart,
    "kubernetes:apps/v1:StatefulSet": _claims,
}
