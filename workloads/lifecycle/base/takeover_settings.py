"""How an approved version takes over from the champion: at once, by a canary, or after a shadow."""

from typing import Annotated, Literal

from pydantic import Field

from workloads.lifecycle.base.setting_types import Frozen, Share


class TakeoverSettings(Frozen):
    """What happens between the gate's approval and the promotion.

    A challenger ends by itself: it is refused as soon as the release policy refuses it, and at its time limit it is
    promoted if the policy's verdict is `promote`; otherwise (`insufficient`) the champion stays.
    """

    mode: Literal["direct", "canary", "shadow"] = "direct"
    """`direct`: promoted at once, then watched. `canary`: first answers `share` of the entities. `shadow`: first scores
    the champion's requests and answers none. The first version of a workload is always promoted directly."""

    share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """Share of the entities that a canary answers, by a hash of their keys; requests by vector stay on the champion."""

    seconds: Annotated[float, Field(ge=1, le=604_800)] = 3_600.0
    """Time limit of a challenger in seconds, at most a week: its verdict at the end of this time counts."""

    max_error_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Share of a challenger's requests that may fail in its model."""

    max_latency_ratio: Annotated[float, Field(gt=1, le=100)] = 2.0
    """How many times the champion's time to score a row, at the 95th percentile, a challenger may take."""

    ignored_latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 5.0
    """Time to score a row, in milliseconds, up to which a challenger is fast enough whatever the champion takes."""

    max_score_distance: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Largest distance between the distributions of both versions' scores: Kolmogorov-Smirnov's, 0 to 1."""

    max_ranking_loss: Share = 0.05
    """AUC, or concordance, that a challenger may lose against the champion, where outcomes are known in time."""

    shadow_queue_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Rows that wait to be scored by a shadow; more are dropped and counted, an answer never waits."""
