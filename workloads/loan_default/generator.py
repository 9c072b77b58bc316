"""A seeded stand-in for the real data: rows with the same columns, which say nothing about real people."""

from pathlib import Path

import numpy as np

from workloads.loan_default.definition import LOAN_DEFAULT


def generate(path: Path, rows: int, seed: int) -> None:
    """Write a CSV with the source's columns: a latent risk drives lateness, use of the limit and default."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=rows)
    limit = np.clip(rng.gamma(1.8, 95_000, rows) * np.exp(-0.25 * risk) // 10_000 * 10_000, 10_000, 1_000_000)
    late = np.cumsum(rng.normal(0, 0.45, (rows, 6)), axis=1) + 1.1 * risk[:, None] - 0.9
    status = np.clip(np.floor(late), -2, 8)
    status = np.where((status == 1) & (np.arange(6) > 0), 2, status)  # the real file knows "1" in the newest month only
    used = np.clip(rng.beta(1.1, 1.6, rows) + 0.12 * risk, 0, 1.1)
    bill = limit[:, None] * used[:, None] * rng.uniform(0.8, 1.05, (rows, 6))
    bill[status == -2] = 0  # noqa: PLR2004  the code of "nothing used"
    share = np.where(status < 0, 1.0, np.clip(rng.beta(1, 9, (rows, 6)), 0.02, 1) * (status <= 0))
    paid = np.roll(bill, -1, axis=1) * share
    chance = 1 / (1 + np.exp(-(-1.65 + 1.3 * risk + 0.7 * np.clip(status[:, 0], 0, 3) - limit / 900_000)))
    columns = [
        np.arange(1, rows + 1),
        limit,
        rng.choice([1, 2], rows, p=[0.4, 0.6]),
        rng.choice(7, rows, p=[0.0005, 0.353, 0.4675, 0.164, 0.004, 0.009, 0.002]),
        rng.choice(4, rows, p=[0.002, 0.455, 0.532, 0.011]),
        np.clip(21 + rng.gamma(2.4, 6, rows), 21, 79),
        *status.T,
        *bill.T,
        *paid.T,
        rng.random(rows) < chance,
    ]
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns]).astype(np.int64)
    header = ",".join(column.name for column in LOAN_DEFAULT.source.columns)
    np.savetxt(path, table, fmt="%d", delimiter=",", header=header, comments="")
