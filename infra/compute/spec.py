"""What a workload asks compute to run, without saying where."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal

import pulumi
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from infra.base.images import Target
from infra.base.resources import Resources
from infra.identity import Need

Role = Literal[
    "artifact-store",
    "database",
    "feature-server",
    "model-server",
    "monitoring",
    "online-store",
    "pipelines",
    "policy-server",
    "pushgateway",
    "retraining",
    "tracking",
]
"""What a task can be allowed to connect to."""


@dataclass(frozen=True, kw_only=True)
class Executors:
    """Where the helpers of a task run that it starts itself, such as Spark's executors: pods of a cluster."""

    image: str

    namespace: pulumi.Input[str]

    service_account: pulumi.Input[str]
    """Of the helpers; it has what they need of the stores, and nothing of the cluster."""

    store_secret: pulumi.Input[str] | None
    """Secret with the stores' keys; None where the service account is enough."""

    labels: Mapping[str, str]
    """Of the helpers' pods, by which they reach the stores and the task that started them."""

    role: pulumi.Input[str]
    """What lets a task start, watch and end them."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What runs: a command of an image."""

    image: Target
    """Image target; where there are no images, the environment that has what the target has."""

    command: Sequence[str]
    """Program and arguments; the program is found on the image's PATH."""

    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Plain variables."""

    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Variables that hold a credential; a cluster keeps them in a Secret."""

    needs: Sequence[Need] = ()

    calls: Sequence[Role] = ()
    """Servers of the platform that the task connects to, beside the stores in `needs`; everything else is out of reach
    where the network can be closed."""

    resources: Resources = field(default_factory=Resources)

    executors: Executors | None = None
    """Helpers that the task starts itself; None for most."""


@dataclass(frozen=True, kw_only=True)
class ServiceSpec(TaskSpec):
    """A task that serves HTTP on the port named by its variable `PORT` and is kept running."""

    health_path: str
    """Path that answers 2xx once the service is live."""

    serves: Role | None = None
    """What its callers say they call; None is called by nobody but people, and by what scrapes or exposes it."""

    port: int | None = None
    """Port to serve on; None leaves the choice to the realization."""


def _cron(expression: str) -> str:
    """Refuse what is no cron expression of five fields; raises ValueError."""
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is no cron expression: {error}; give e.g. `0 3 * * *`") from error
    return expression


_LOOKED_AT = 10_000
"""Runs after which an expression counts as having shown its longest pause: a week of runs by the minute."""


@functools.cache
def longest_pause(expression: str) -> timedelta:
    """Longest time between two runs of a cron expression within a leap year; a year where there are no two."""
    begin = datetime(2028, 1, 1, tzinfo=UTC)
    year = timedelta(days=366)
    runs = itertools.takewhile(lambda run: run < begin + year, CronSim(expression, begin))
    return max((after - before for before, after in pairwise(itertools.islice(runs, _LOOKED_AT))), default=year)


CronExpression = Annotated[str, Field(pattern=r"^\S+( \S+){4}$"), AfterValidator(_cron)]
"""Minute, hour, day of month, month, day of week; in UTC."""


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(TaskSpec):
    """A task that runs at the times of a cron expression; times missed while nothing ran are made up for once."""

    cron: str
    """A `CronExpression`."""

    after: Sequence[pulumi.Resource] = ()
    """Jobs that must have succeeded before the schedule is made or changed: when one fails, the old schedule stays."""


@dataclass(frozen=True, kw_only=True)
class JobSpec(TaskSpec):
    """A task that runs to its end, once for each specification."""

    timeout_seconds: float

    triggers: Mapping[str, str] = field(default_factory=dict)
    """Values whose change makes the job run again, beside its command and environment."""

    check: Sequence[str] = ()
    """Command that tells whether the result of the job still exists (see `infra.host.models.JobInputs`). A cluster runs
    no check: there a person repeats the work."""

    repair: Sequence[str] = ()
    """Command that makes a missing result anew; empty repeats `command`."""
