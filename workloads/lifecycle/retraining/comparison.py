"""What a challenger did beside the champion, with bounds: the facts by which the release policy ends a challenge.

Before outcomes are known, errors, time and the distribution of scores are all that can be compared; none of them says
which model is the better one. Outcomes count where they arrive within the challenge's time: those of requests that are
older than the outcome's delay, so that early outcomes, which are not like the others, decide nothing.
"""

import itertools
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.names import CAPTURES, SHADOWED, TALLIES
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.quality.bounds import Estimate, ranking_estimate, units_of
from workloads.lifecycle.registry import policy
from workloads.lifecycle.registry.policy import Decision
from workloads.lifecycle.serving.tally import Counted, seconds_of, total

if TYPE_CHECKING:
    import pandas as pd

    from workloads.lifecycle.retraining.ledger import Retrain

Z = 3.29
"""Half the width of bounds in standard errors, for 99.9 %: a challenge is looked at many times before its end."""

QUANTILE = 0.95
_LIMITS = ("max_error_share", "max_latency_ratio", "ignored_latency_ms", "max_score_distance", "max_ranking_loss")
_FEWEST = 2
Bound = dict[str, float]


def judge(environment: Environment, retrain: "Retrain", seconds: float, *, at_the_end: bool) -> Decision:
    """The policy's verdict now, `seconds` after the challenge began; raises WorkloadError in an outage.

    Outcomes are asked for `at_the_end` only.
    """
    asked = facts(environment, retrain, seconds, at_the_end=at_the_end)
    decision = policy.ask(environment, asked, policy.CHALLENGER)
    if decision.policy_sha256 != environment.release_policy_sha256:
        raise WorkloadError(
            f"OPA judges challengers by the policy {decision.policy_sha256[:12] or 'that it does not name'}, this "
            f"stack's is {environment.release_policy_sha256[:12]}; the champion stays"
        )
    return decision


def facts(environment: Environment, retrain: "Retrain", seconds: float, *, at_the_end: bool) -> dict[str, Any]:
    """The policy's input; raises WorkloadError in an outage, DataError where a tally cannot be read."""
    versions = {"champion": str(retrain.challenged), "challenger": str(retrain.challenger)}
    found = tallies(Store.open(environment), retrain.id, versions)
    settings = environment.settings.release
    ranking = ranking_loss(environment, versions, seconds) if at_the_end else None
    return {**measured(found), "ranking": ranking, "limits": {name: getattr(settings, name) for name in _LIMITS}}


def tallies(store: Store, challenge: str, versions: dict[str, str]) -> dict[str, Counted]:
    """Counts of all replicas by arm."""
    folder = f"{TALLIES}/{challenge}"
    objects = [content for name in store.names(folder) if (content := store.read(f"{folder}/{name}")) is not None]
    try:
        return total(objects, versions)
    except ValueError as error:
        raise DataError(f"a tally in {folder} is not what the model server wrote: {error}") from error


def measured(found: dict[str, Counted]) -> dict[str, Any]:
    """What the tallies show; null for what they do not."""
    champion, challenger = found["champion"], found["challenger"]
    times = {arm: time_bound(counted.times) for arm, counted in found.items()}
    return {
        "calls": challenger.calls,
        "entities": challenger.entities,
        "errors": share_bound(challenger.failed, challenger.calls),
        "latency_ms": times if all(times.values()) else None,
        "scores": distance_bound(champion, challenger),
    }


def share_bound(count: int, of: int) -> Bound | None:
    """A share with Wilson's bounds; None of nothing.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not of:
        return None
    share, square = count / of, Z**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of**2))
    return _bound(share, max(0.0, middle - reach), min(1.0, middle + reach))


def _bound(value: float, low: float, high: float) -> Bound:
    """As the policy reads it, and as its reasons show it."""
    return {"value": round(value, 5), "low": round(low, 5), "high": round(high, 5)}


def time_bound(times: tuple[int, ...]) -> Bound | None:
    """The 95th percentile of the time to score a row, in milliseconds, with bounds by order statistics.

    Each is the upper edge of a bin, of which the last has none: it stands for whatever is longer. None without a call.
    """
    count = sum(times)
    if not count:
        return None
    reach = Z * math.sqrt(count * QUANTILE * (1 - QUANTILE))
    ranks = {"value": count * QUANTILE, "low": count * QUANTILE - reach, "high": count * QUANTILE + reach}
    return _bound(**{name: 1_000 * seconds_of(_bin(times, rank)) for name, rank in ranks.items()})


def _bin(times: tuple[int, ...], rank: float) -> int:
    """Bin in which an order statistic lies; the last one for a rank beyond the sample."""
    seen = 0
    for place, count in enumerate(times):
        seen += count
        if count and seen >= rank:
            return place
    return len(times) - 1


def distance_bound(champion: Counted, challenger: Counted) -> Bound | None:
    """Kolmogorov's distance of the binned scores, with bounds by the asymptotic two-sample test; None of nothing.

    Source: Smirnov, "Table for estimating the goodness of fit of empirical distributions", Ann. Math. Stat. 19 (1948).
    """
    sizes = [min(sum(counted.scores), counted.entities) for counted in (champion, challenger)]
    if min(sizes) < 1:
        return None
    first, second = ([count / sum(counted.scores) for count in counted.scores] for counted in (champion, challenger))
    gaps = itertools.accumulate(left - right for left, right in zip(first, second, strict=True))
    found = max(abs(gap) for gap in gaps)
    tail = math.erfc(Z / math.sqrt(2))
    reach = math.sqrt(-math.log(tail / 2) / 2 * sum(1 / size for size in sizes))
    return _bound(found, max(0.0, found - reach), min(1.0, found + reach))


def ranking_loss(environment: Environment, versions: dict[str, str], seconds: float) -> Bound | None:
    """What the challenger loses in ranking against the champion, on requests whose outcome was due and is known.

    None where outcomes take longer than the challenge, or are too few: `monitoring.min_labelled_rows` of each version.
    Of a shadow both versions are compared on the same requests; of a canary each on the requests that it answered.
    """
    delay = environment.definition.outcome.delay
    if delay.total_seconds() >= seconds:
        return None
    due, window = datetime.now(UTC) - delay, timedelta(seconds=seconds)
    paired = environment.settings.release.mode == "shadow"
    champion = _of(environment, versions["champion"], window, due)
    challenger = _of(environment, versions["challenger"], window, due, SHADOWED if paired else CAPTURES)
    if paired:
        same = ["request_id", "row"]
        champion = champion.merge(challenger[same], on=same).sort_values(same)
        challenger = challenger.merge(champion[same], on=same).sort_values(same)
    label, least = environment.definition.outcome.label, environment.settings.monitoring.min_labelled_rows
    if any(len(rows) < least or rows[label].nunique() < _FEWEST for rows in (champion, challenger)):
        return None
    first, second = (_ranking(environment, rows) for rows in (champion, challenger))
    return first.minus(second, paired=paired).bounds()


def _of(
    environment: Environment, version: str, window: timedelta, due: datetime, folder: str = CAPTURES
) -> "pd.DataFrame":
    rows = outcomes.labelled(environment, outcomes.captured(environment, window, folder))
    found: pd.DataFrame = rows[(rows["version"] == version) & (rows["captured_at"] <= due)]
    return found


def _ranking(environment: Environment, rows: "pd.DataFrame") -> Estimate:
    workload = environment.definition
    keys = [rows[key].astype(str).to_numpy() for key in workload.keys]
    labels, scores = rows[workload.outcome.label].to_numpy(dtype=float), rows["score"].to_numpy()
    return ranking_estimate(workload.problem, labels, scores, units_of(*keys))
