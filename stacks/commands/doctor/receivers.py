"""A probe of the people's receivers: sends each a test alert, and asks Alertmanager whether they took it."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from infra.monitoring.receivers import GROUP_WAIT_SECONDS, HeartbeatReceiver, Receiver, integration
from workloads.lifecycle.operations.doctor.http import text
from workloads.lifecycle.operations.doctor.probes import Finding

TEST_ALERT = "TestAlert"
WAIT_SECONDS = GROUP_WAIT_SECONDS + 20
"""How long Alertmanager may take: it waits for further alerts of the group, then sends."""

LASTS = timedelta(minutes=2)
"""After this the alert is resolved, which is told as well."""

REQUESTS = "alertmanager_notification_requests_total"
FAILED = "alertmanager_notification_requests_failed_total"
"""Source: https://github.com/prometheus/alertmanager/blob/v0.25.0/notify/notify.go"""
_SAMPLE = re.compile(rf'^({REQUESTS}|{FAILED})\{{[^}}]*integration="(\w+)"[^}}]*\}} (\S+)$', re.MULTILINE)


def tell(
    outputs: Mapping[str, str], people: Sequence[Receiver], workload: str, pause: Callable[[float], None] = time.sleep
) -> Finding:
    """Send every receiver an alert that it asked for, and wait until Alertmanager has tried each.

    `workload`: whose alert those get who asked for no workload's in particular. A call that a heartbeat receiver gets
    in the meantime counts among those of the webhooks. Raises: NoAnswerError when Alertmanager does not answer.
    """
    told = [each for each in people if not isinstance(each, HeartbeatReceiver)]
    if not told:
        return Finding(
            status="warning",
            detail="nobody is told of alerts, so no test alert was sent",
            fix="name people in monitoring.receivers (docs/how-to/tell-people-of-alerts.md)",
        )
    wanted = Counter(_integration(each) for each in told)
    before = _counted(outputs)
    text(f"{_url(outputs)}/api/v2/alerts", _alerts(told, workload), login=_login(outputs))
    for _ in range(WAIT_SECONDS):
        pause(1)
        tried, failed = (_counted(outputs)[kind] - before[kind] for kind in (REQUESTS, FAILED))
        if failed or all(tried[name] >= count for name, count in wanted.items()):
            break
    names = {kind: ", ".join(each.name for each in told if _integration(each) == kind) for kind in wanted}
    if failed:
        kind = next(iter(failed))
        return Finding(
            status="failed",
            detail=f"{kind} refused the test alert for {names.get(kind, 'the platform')}",
            fix="Alertmanager's log says why; `pulumi config set --secret --path 'mlplatform:alert_secrets.NAME'` "
            "replaces a secret",
        )
    if late := sorted(kind for kind, count in wanted.items() if tried[kind] < count):
        return Finding(
            status="failed",
            detail=f"Alertmanager sent nothing to {names[late[0]]} within {WAIT_SECONDS} s",
            fix="is a silence set, or does the receiver's route not match? See Alertmanager's page and log",
        )
    return Finding(status="ok", detail=f"{TEST_ALERT} was taken for {', '.join(each.name for each in told)}")


def _alerts(told: Sequence[Receiver], workload: str) -> list[dict[str, object]]:
    """One alert for each severity and workload that somebody asked for."""
    ends = (datetime.now(UTC) + LASTS).isoformat()
    labels = dict.fromkeys((each.severities[0], (each.workloads or (workload,))[0]) for each in told)
    return [
        {
            "labels": {"alertname": TEST_ALERT, "severity": severity, "workload": name},
            "annotations": {"summary": "a test by `make doctor ARGS=--send-test-alert`: nothing is wrong"},
            "endsAt": ends,
        }
        for severity, name in labels
    ]


def _integration(receiver: Receiver) -> str:
    """How Alertmanager's metrics name its kind."""
    (kind,) = integration(receiver, "")
    return kind.removesuffix("_configs")


def _counted(outputs: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Requests to receivers and failed ones, by kind, since Alertmanager started."""
    found: dict[str, Counter[str]] = {REQUESTS: Counter(), FAILED: Counter()}
    for name, kind, value in _SAMPLE.findall(text(f"{_url(outputs)}/metrics", login=_login(outputs))):
        found[name][kind] += int(float(value))
    return found


def _url(outputs: Mapping[str, str]) -> str:
    return outputs["alertmanager_url"].rstrip("/")


def _login(outputs: Mapping[str, str]) -> str:
    return outputs.get("alertmanager_login", "")
