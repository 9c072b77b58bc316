"""Limits of the release policy as data: a definition gives them, or each problem's defaults apply.

`policies/release` compares facts with them and knows no number of its own.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Problem = Literal["binary", "regression"]
"""`binary` answers the probability that the outcome is 1; `regression` the outcome itself, in its unit."""


class Threshold(BaseModel):
    """One number of the release policy."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: str
    """What is limited: a name in `THRESHOLDS`."""

    value: int | float

    reason: Annotated[str, Field(min_length=1)]
    """Why the number is what it is: a measurement, or a source."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.limit not in _RANGES:
            raise ValueError(f"limit={self.limit!r} is unknown to the release policy; one of {', '.join(_RANGES)}")
        lowest, highest = _RANGES[self.limit]
        if not lowest <= self.value <= highest:
            raise ValueError(
                f"{self.limit}={self.value} is outside of {lowest:g} to {highest:g}: give a value in between"
            )
        return self


_RANGES: dict[str, tuple[float, float]] = {
    "min_ranking": (0.5, 1),
    "max_ranking": (0.5, 1),
    "max_feature_ranking": (0.5, 1),
    "max_brier": (0, 0.25),
    "max_calibration_error": (0, 1),
    "max_relative_error": (0, 1),
    "max_relative_calibration_error": (0, 1),
    "max_train_gap": (0, 0.5),
    "max_champion_loss": (0, 0.5),
    "max_error_loss": (0, 1),
    "max_known_loss": (0, 0.5),
    "max_known_error_loss": (0, 1),
    "ranking_tolerance": (0.001, 0.5),
    "error_tolerance": (0.001, 1),
    "calibration_tolerance": (0.001, 1),
    "min_group_share": (0, 0.5),
    "max_group_ranking_gap": (0, 0.5),
    "max_latency_p99_ms": (0, 60_000),
    "min_rows": (1, 1e12),
    "min_distinct_scores": (2, 1e12),
}
"""Allowed values of each limit."""

_COMMON = (
    Threshold(limit="min_ranking", value=0.6, reason="0.5 is chance; below 0.6 a rule of thumb does as well"),
    Threshold(limit="max_ranking", value=0.99, reason="held-out rows are ranked as well only when the label leaked"),
    Threshold(
        limit="max_feature_ranking", value=0.98, reason="one feature that ranks as well is the label in disguise"
    ),
    Threshold(limit="max_train_gap", value=0.1, reason="a larger gap to learnt rows means that they were memorized"),
    Threshold(limit="max_champion_loss", value=0.01, reason="two standard errors of an AUC on 6,000 rows are 0.012"),
    Threshold(limit="max_known_loss", value=0.05, reason="drift costs up to 0.04, labels that lie 0.1 and more"),
    Threshold(limit="max_group_ranking_gap", value=0.1, reason="four standard errors of an AUC on 500 rows"),
    Threshold(
        limit="ranking_tolerance",
        value=0.02,
        reason="how far bounds may reach beyond a limit of ranking: half their width is 0.015 at 6,000 held-out rows",
    ),
    Threshold(
        limit="min_group_share",
        value=0.01,
        reason="a group of fewer rows counts against a model when its gap is shown, never by its point estimate",
    ),
    Threshold(limit="max_latency_p99_ms", value=5, reason="a tenth of the 50 ms in which a request is to be answered"),
    Threshold(
        limit="min_rows", value=1_000, reason="fewer rows leave 200 to judge by, whose AUC has a standard error of 0.04"
    ),
    Threshold(
        limit="min_distinct_scores", value=50, reason="fewer different scores mean a constant or under-fit model"
    ),
)

THRESHOLDS: dict[Problem, tuple[Threshold, ...]] = {
    "binary": (
        *_COMMON,
        Threshold(limit="max_brier", value=0.25, reason="what a constant prediction of 0.5 scores"),
        Threshold(
            limit="max_calibration_error", value=0.05, reason="five points of probability, averaged over deciles"
        ),
        Threshold(
            limit="error_tolerance", value=0.02, reason="bounds of a Brier score reach as far at 400 held-out rows"
        ),
        Threshold(
            limit="calibration_tolerance",
            value=0.03,
            reason="bounds of a calibration error reach as far at 1,000 held-out rows",
        ),
    ),
    "regression": (
        *_COMMON,
        Threshold(limit="max_relative_error", value=0.9, reason="1 is the error of predicting the mean for every row"),
        Threshold(
            limit="max_relative_calibration_error", value=0.25, reason="a quarter of a standard deviation over deciles"
        ),
        Threshold(
            limit="max_error_loss", value=0.05, reason="a twentieth of a standard deviation more than the champion"
        ),
        Threshold(
            limit="max_known_error_loss",
            value=0.2,
            reason="a fifth of a standard deviation: drift costs up to 0.1, outcomes of others 0.4 and more",
        ),
        Threshold(
            limit="error_tolerance", value=0.1, reason="bounds reach as far with the rows of 20 held-out entities"
        ),
        Threshold(limit="calibration_tolerance", value=0.15, reason="the same, for the error averaged over deciles"),
    ),
}
"""The release policy's limits for each problem, where a definition gives no other value."""
