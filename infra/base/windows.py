"""Times, in UTC, at which AWS may work on a managed store; plain Python, because settings use them."""

import re
from typing import Annotated

from pydantic import AfterValidator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
WINDOW_MINUTES = range(60, DAY_MINUTES + 1)
"""ElastiCache takes no window below 60 minutes, RDS none below 30.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateReplicationGroup.html"""

_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_DAILY = re.compile(f"{_TIME}-{_TIME}")
_WEEKLY = re.compile(f"({'|'.join(DAYS)}):{_TIME}-({'|'.join(DAYS)}):{_TIME}")


def daily_minutes(window: str) -> range:
    """Minutes of the day in `02:00-03:00`, beyond 1440 where it goes over midnight; raises ValueError."""
    found = _DAILY.fullmatch(window)
    if not found:
        raise ValueError(f"{window!r} is no daily window; give e.g. `02:00-03:00` (UTC)")
    start_hour, start_minute, end_hour, end_minute = (int(part) for part in found.groups())
    return _minutes(window, start_hour * 60 + start_minute, end_hour * 60 + end_minute, DAY_MINUTES)


def weekly_minutes(window: str) -> range:
    """Minutes of the week in `sun:03:30-sun:04:30`, from Monday on; raises ValueError."""
    found = _WEEKLY.fullmatch(window)
    if not found:
        raise ValueError(f"{window!r} is no weekly window; give e.g. `sun:03:30-sun:04:30` (UTC)")
    start_day, start_hour, start_minute, end_day, end_hour, end_minute = found.groups()
    return _minutes(
        window,
        DAYS.index(start_day) * DAY_MINUTES + int(start_hour) * 60 + int(start_minute),
        DAYS.index(end_day) * DAY_MINUTES + int(end_hour) * 60 + int(end_minute),
        len(DAYS) * DAY_MINUTES,
    )


def _minutes(window: str, start: int, end: int, period: int) -> range:
    minutes = range(start, end if end > start else end + period)
    if len(minutes) not in WINDOW_MINUTES:
        raise ValueError(
            f"{window!r} lasts {len(minutes)} minutes; give {WINDOW_MINUTES.start} to {WINDOW_MINUTES.stop - 1}"
        )
    return minutes


def refuse_overlap(daily: str, weekly: str) -> None:
    """AWS refuses backups during maintenance; raises ValueError with both windows."""
    backup, maintenance = daily_minutes(daily), {minute % DAY_MINUTES for minute in weekly_minutes(weekly)}
    if any(minute % DAY_MINUTES in maintenance for minute in backup):
        raise ValueError(f"the backup window {daily} overlaps the maintenance window {weekly}: move one of them")


def _daily(window: str) -> str:
    daily_minutes(window)
    return window


def _weekly(window: str) -> str:
    weekly_minutes(window)
    return window


DailyWindow = Annotated[str, AfterValidator(_daily)]
"""E.g. `02:00-03:00`, UTC, 60 minutes to a day."""

WeeklyWindow = Annotated[str, AfterValidator(_weekly)]
"""E.g. `sun:03:30-sun:04:30`, UTC, 60 minutes to a day."""
