from datetime import timedelta

import pytest

from infra.compute import longest_pause


@pytest.mark.parametrize(
    ("expression", "hours"),
    [
        ("0 3 * * *", 24),
        ("0 */6 * * *", 6),
        ("0 3 * * 1-5", 72),
        ("0 3 1 * *", 31 * 24),
        ("0 3 1-31/2 * *", 48),
        ("*/5 9-17 * * *", 15 + 5 / 60),
        ("0 3 1 1 *", 366 * 24),
    ],
)
def test_longest_pause_of_a_cron_expression(expression, hours):
    assert longest_pause(expression) == timedelta(hours=hours)
