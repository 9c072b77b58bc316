"""From which distance on a feature counts as drifted: what chance reaches in samples of that size, and 0.1 at least.

Without drift the distance of two samples grows as they shrink, so that one limit for all sizes either cries wolf on
small samples or sleeps on large ones. A limit is the distance that undrifted samples of the same sizes exceed so
seldom that all columns together show drift in one check of a hundred, whatever depends on what.

Numbers: Wasserstein's distance, in standard deviations of the reference, by a permutation test with a fixed seed. Which
ranks a permutation gives to which sample does not depend on the values, so that all columns share the permutations;
ranks far from both ends are taken together. Categories: Jensen and Shannon's distance, whose square is a chi-square
variable over eight times the size.
Sources: Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses" (2005); Menéndez et al., "The Jensen-Shannon
divergence", Journal of the Franklin Institute 334 (1997).
"""

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

FALSE_ALARMS = 0.01
"""Share of undrifted checks that may show drift. Limits aim at half of it, because they are estimated themselves."""

SMALLEST = 0.1
"""Distance below which no size of a sample makes a drift: Evidently's own limit for both distances."""

NUMBERS, CATEGORIES = "wasserstein", "jensenshannon"
"""Evidently's names of the methods, which would change with the size of the reference if none were named."""

_PERMUTATIONS = 10_000
_SEED = 42
_SINGLE_RANKS = 50
"""Ranks at each end that are looked at one by one: there a single row of a heavy tail moves the distance."""

_GROWTH = 1.15
"""Each group of ranks is so many times larger than the one farther out."""


def limits(
    expected: "pd.DataFrame", current: "pd.DataFrame", numbers: list[str], categories: list[str], drift_share: float
) -> dict[str, float]:
    """The limit of each column; `drift_share` is the share of drifted columns from which on a check counts as drift.

    Missing values are left out, as Evidently does.
    """
    columns = len(numbers) + len(categories)
    # Markov: of `columns`, `needed` exceed their limits at once in half of `FALSE_ALARMS` of the checks at most.
    needed = max(1, math.ceil(drift_share * columns))
    chance = FALSE_ALARMS / 2 * needed / columns
    found = {name: _of_numbers(_values(expected[name]), _values(current[name]), chance) for name in numbers}
    return found | {name: _of_categories(expected[name], current[name], chance) for name in categories}


def _of_numbers(then: "npt.NDArray[Any]", now: "npt.NDArray[Any]", chance: float) -> float:
    import numpy as np  # noqa: PLC0415

    if not len(then) or not len(now):
        return SMALLEST
    permuted = _permutations(len(then), len(now))
    pooled = np.sort(np.concatenate([then, now]))
    pooled -= pooled.mean()
    means, squares = (np.add.reduceat(each, permuted.begins) / permuted.ranks for each in (pooled, pooled**2))
    variances = permuted.of_reference @ squares - (permuted.of_reference @ means) ** 2
    deviations = np.sqrt(variances.clip(min=0)).clip(min=0.001)  # as Evidently divides
    return max(SMALLEST, float(np.quantile(permuted.apart @ np.diff(means) / deviations, 1 - chance, method="higher")))


def _of_categories(expected: "pd.Series[Any]", current: "pd.Series[Any]", chance: float) -> float:
    import pandas as pd  # noqa: PLC0415
    from scipy.stats import chi2  # noqa: PLC0415

    then, now = expected.dropna(), current.dropna()
    freedom = pd.concat([then, now]).nunique() - 1
    if freedom < 1 or not len(then) or not len(now):
        return SMALLEST
    return max(SMALLEST, math.sqrt(float(chi2.ppf(1 - chance, freedom)) / (8 * _size(len(then), len(now)))))


def _size(then: int, now: int) -> float:
    """Rows of one sample that would be as uncertain as the difference of the two."""
    return then * now / (then + now)


def _values(column: "pd.Series[Any]") -> "npt.NDArray[Any]":
    import numpy as np  # noqa: PLC0415

    values: npt.NDArray[Any] = column.to_numpy(dtype="float64", na_value=np.nan)
    finite: npt.NDArray[Any] = values[np.isfinite(values)]
    return finite


@dataclass(frozen=True)
class _Permutations:
    """Random ways to give the ranks of two samples to the two."""

    begins: "npt.NDArray[Any]"
    """First rank of each group."""

    ranks: "npt.NDArray[Any]"
    """Ranks in each group."""

    of_reference: "npt.NDArray[Any]"
    """By permutation and group: share of the reference."""

    apart: "npt.NDArray[Any]"
    """By permutation and group but the last: how far the samples' shares up to that group are apart."""


@functools.lru_cache(maxsize=8)
def _permutations(then: int, now: int) -> _Permutations:
    import numpy as np  # noqa: PLC0415

    begins = _groups(then + now)
    ranks = np.diff([*begins, then + now])
    current = np.random.default_rng(_SEED).multivariate_hypergeometric(ranks, now, size=_PERMUTATIONS)
    reference = (ranks - current) / then
    apart = np.abs(np.cumsum(current / now - reference, axis=1))[:, :-1]
    return _Permutations(np.array(begins), ranks, reference, apart)


def _groups(rows: int) -> list[int]:
    """First rank of each group, from both ends to the middle."""
    edges: list[int] = []
    size = 1.0
    while (edge := edges[-1] + math.floor(size) if edges else 0) < rows / 2:
        edges.append(edge)
        size = size * _GROWTH if len(edges) > _SINGLE_RANKS else 1.0
    return sorted({*edges, *(rows - edge for edge in edges if edge)})
