"""The raw data's contract, and where its CSV comes from: a file or the seeded generator.

Says what a good row is; `ingestion` enforces it. Leaves out any look at the label.
Source: I-Cheng Yeh, "Default of credit card clients", UCI Machine Learning Repository, doi 10.24432/C55S3H.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from workloads.loan_default.errors import DataError

CONTRACT_VERSION = 1
"""Part of every content hash: another reading of the same bytes is other data."""

RAW_LABEL = "default payment next month"
MONEY_LIMIT = 100_000_000
"""Largest plausible amount in NT dollars, a hundred times the largest credit line in the data."""

STATEMENT_MONTHS = (1, 2, 3, 4, 5, 6)
PAY_COLUMNS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")
"""Repayment status, newest month first: -2 nothing used, -1 paid in full, 0 revolving, n months late."""

BILL_COLUMNS = tuple(f"BILL_AMT{month}" for month in STATEMENT_MONTHS)
PAID_COLUMNS = tuple(f"PAY_AMT{month}" for month in STATEMENT_MONTHS)


@dataclass(frozen=True)
class Column:
    """One column of the CSV: an integer between two bounds, both allowed."""

    name: str
    lowest: int
    highest: int
    category: bool = False
    """Whether each value is a code; a value outside is then an unknown category."""


COLUMNS = (
    Column("ID", 1, 2**53),
    Column("LIMIT_BAL", 1, MONEY_LIMIT),
    Column("SEX", 1, 2, category=True),
    Column("EDUCATION", 0, 6, category=True),
    Column("MARRIAGE", 0, 3, category=True),
    Column("AGE", 18, 120),
    *(Column(name, -2, 9) for name in PAY_COLUMNS),
    *(Column(name, -MONEY_LIMIT, MONEY_LIMIT) for name in BILL_COLUMNS),
    *(Column(name, 0, MONEY_LIMIT) for name in PAID_COLUMNS),
    Column(RAW_LABEL, 0, 1, category=True),
)
"""The contract, in the order of the file."""


def check_header(path: Path) -> None:
    """Raise DataError when the file cannot be this data: unreadable, empty, a column missing, extra or moved."""
    try:
        with path.open("rb") as file:
            first = file.readline()
            more = file.readline()
    except OSError as error:
        raise DataError(f"DATA={path} cannot be read: {error.strerror}") from error
    if not first.strip():
        raise DataError(f"DATA={path} is empty; expected a header line with {len(COLUMNS)} columns")
    try:
        text = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"DATA={path}: the header is not UTF-8 text; is this a CSV file?") from error
    _compare([name.strip() for name in next(csv.reader(io.StringIO(text)))], path)
    if not more.strip():
        raise DataError(f"DATA={path} has a header and no rows")


def _compare(header: list[str], path: Path) -> None:
    expected = [column.name for column in COLUMNS]
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    if missing or extra:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"not expected: {', '.join(extra)}"] * bool(extra)
        raise DataError(f"DATA={path}: wrong columns ({'; '.join(parts)}); expected the header of UCI dataset 350")
    if header != expected:
        moved = next(want for want, got in zip(expected, header, strict=False) if want != got)
        raise DataError(f"DATA={path}: columns are not in the expected order, or repeated, from {moved!r} on")


def generate(path: Path, rows: int, seed: int) -> None:
    """Write a CSV with the contract's schema: a latent risk drives lateness, use of the limit and default."""
    import numpy as np  # noqa: PLC0415  the contract above is read where numpy is not wanted

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
    header = ",".join(column.name for column in COLUMNS)
    np.savetxt(path, table, fmt="%d", delimiter=",", header=header, comments="")
