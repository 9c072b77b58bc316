"""A seeded stand-in for FD001: engines with the same columns that wear, fail at different cycles, or still run."""

from pathlib import Path

import numpy as np

from workloads.turbofan.definition import FIRST_RUNNING, SENSORS

LIFE_MEAN, LIFE_DEVIATION, LIFE_SHORTEST, LIFE_LONGEST = 206, 46, 128, 362
"""Cycles of the engines of train_FD001: mean, standard deviation, shortest and longest life."""

RUNNING_SHARE = 0.2
"""Share of the engines that are seen only until some cycle before their failure."""

SEEN_SHORTEST = 31
"""Fewest cycles of an engine of test_FD001."""

_WEAR = {
    "T24": (1.4, 0.35),
    "T30": (18.0, 4.4),
    "T50": (30.0, 4.0),
    "P30": (-3.0, 0.45),
    "Nf": (0.2, 0.04),
    "Nc": (30.0, 6.0),
    "Ps30": (0.9, 0.12),
    "phi": (-2.5, 0.35),
    "NRf": (0.2, 0.04),
    "NRc": (20.0, 5.0),
    "BPR": (0.11, 0.02),
    "htBleed": (4.0, 1.0),
    "W31": (-0.55, 0.09),
    "W32": (-0.33, 0.055),
}
"""By sensor, how far it has moved at the failure, and the standard deviation of its noise."""

_STEEPNESS = 4.0
"""How late the wear shows: it grows with the exponential of the share of life times this."""


def generate(path: Path, rows: int, seed: int) -> None:
    """Write rows of fields between blanks; the engine whose cycles do not all fit is one of those that still run."""
    rng = np.random.default_rng(seed)
    failed, running, written = 1, FIRST_RUNNING, 0
    engines = []
    while written < rows:
        life = int(np.clip(rng.normal(LIFE_MEAN, LIFE_DEVIATION), LIFE_SHORTEST, LIFE_LONGEST))
        runs = failed > 1 and rng.random() < RUNNING_SHARE  # the first engine has failed, so that there is an outcome
        seen = int(rng.integers(SEEN_SHORTEST, life)) if runs else life
        kept = min(seen, rows - written)
        unit, failed, running = (failed, failed + 1, running) if kept == life else (running, failed, running + 1)
        engines.append(_engine(rng, unit, kept, life))
        written += kept
    formats = ["%d", "%d", "%.4f", "%.4f", "%.1f", *("%.4f" for _ in SENSORS)]
    np.savetxt(path, np.concatenate(engines), fmt=formats)


def _engine(
    rng: np.random.Generator, unit: int, cycles: int, life: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    cycle = np.arange(1, cycles + 1)
    wear = np.expm1(_STEEPNESS * cycle / life) / np.expm1(_STEEPNESS) + rng.uniform(0, 0.1)
    columns = [np.full(cycles, unit), cycle, rng.normal(0, 0.002, cycles), rng.normal(0, 0.0003, cycles)]
    columns.append(np.full(cycles, 100.0))
    for sensor in SENSORS:
        reach, noise = _WEAR.get(sensor.name, (0.0, 0.0))
        columns.append(sensor.typical + reach * wear + rng.normal(0, 1, cycles) * noise)
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
