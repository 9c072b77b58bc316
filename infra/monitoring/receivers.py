"""Receivers of alerts, and how Alertmanager's configuration and its operator's name them.

A receiver's secret is the stack's: `pulumi config set --secret --path 'mlplatform:alert_secrets.<name>'`. Every alert
carries `severity` and `workload`, by which receivers are chosen. What a dead server causes is not told as well.
Source: https://prometheus.io/docs/alerting/latest/configuration/#receiver-integration-settings
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from infra.base.alert_rules import rule_file
from infra.base.names import DnsLabel
from infra.base.settings import HttpsUrl, Settings

HEARTBEAT = "Heartbeat"
"""Alert that always fires, for services that tell people when it stops coming."""

CAUSES = {"ModelNotServing": ("PredictionErrors", "LatencyBudgetBurn", "CaptureMissing", "VersionNotServed")}
"""Alert -> alerts of the same workload that follow from it, and are not told while it fires."""

GROUP_WAIT_SECONDS, REPEAT_SECONDS = 30, 4 * 3600
HEARTBEAT_SECONDS = 60

Severity = Literal["critical", "warning", "info"]
Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


class _Receiver(Settings):
    """What every receiver says."""

    name: DnsLabel
    """Of the receiver, and of its secret in `alert_secrets`."""

    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = ("critical", "warning")
    """Severities of the alerts that the receiver gets."""

    workloads: tuple[DnsLabel, ...] = ()
    """Names of the workloads whose alerts the receiver gets; empty: those of all workloads and of the platform."""


class SlackReceiver(_Receiver):
    """A channel of Slack; the secret is the URL of an incoming webhook."""

    kind: Literal["slack"]

    channel: Annotated[str, Field(pattern=r"^[#@]?[\w.-]+$", max_length=80)]
    """Channel or person, e.g. `#ml-alerts`."""


class PagerDutyReceiver(_Receiver):
    """A service of PagerDuty; the secret is the integration key of its Events API v2."""

    kind: Literal["pagerduty"]


class OpsgenieReceiver(_Receiver):
    """A team of Opsgenie; the secret is the key of an API integration."""

    kind: Literal["opsgenie"]


class EmailReceiver(_Receiver):
    """A mailbox, over TLS; the secret is the password of `username`."""

    kind: Literal["email"]

    to: Address
    """Mailbox that gets the alerts."""

    sender: Address
    """Address that they come from."""

    smarthost: Annotated[str, Field(pattern=r"^[a-z0-9.-]+:\d{2,5}$")]
    """Mail server that takes it, e.g. `smtp.example.org:587`."""

    username: Annotated[str, Field(min_length=1)]
    """Who logs in there."""


class WebhookReceiver(_Receiver):
    """An address that takes Alertmanager's JSON; the secret is its URL."""

    kind: Literal["webhook"]


class HeartbeatReceiver(_Receiver):
    """A service that tells people when a call stops coming (a dead man's switch); the secret is the URL to call.

    It is called each minute while Prometheus and Alertmanager work, whatever else fires.
    """

    kind: Literal["heartbeat"]


Receiver = Annotated[
    SlackReceiver | PagerDutyReceiver | OpsgenieReceiver | EmailReceiver | WebhookReceiver | HeartbeatReceiver,
    Field(discriminator="kind"),
]


class Alerting(Settings):
    """What monitoring of every kind says about alerts."""

    receivers: tuple[Receiver, ...] = ()
    """Receivers of alerts, in any order; none by default: alerts are then on Alertmanager's page and the start page."""

    documents: HttpsUrl | None = None
    """Where people read this repository, e.g. `https://github.com/example/mlplatform/blob/main`: alerts link to their
    runbooks there. None leaves the links relative to the checkout."""


def without_secret(receivers: Sequence[Receiver], secrets: Mapping[str, Any]) -> list[str]:
    """Names of receivers that have no secret."""
    return sorted({each.name for each in receivers} - set(secrets))


def alerts_of(receiver: Receiver) -> list[str]:
    """Alertmanager matchers of what a receiver is told."""
    if isinstance(receiver, HeartbeatReceiver):
        return [f'alertname="{HEARTBEAT}"']
    told = [f'alertname!="{HEARTBEAT}"', f'severity=~"{"|".join(receiver.severities)}"']
    return [*told, *([f'workload=~"{"|".join(receiver.workloads)}"'] if receiver.workloads else [])]


def timing(receiver: Receiver) -> dict[str, str]:
    """How long a receiver's route waits, in Alertmanager's spelling."""
    is_heartbeat = isinstance(receiver, HeartbeatReceiver)
    wait, repeat = (0, HEARTBEAT_SECONDS) if is_heartbeat else (GROUP_WAIT_SECONDS, REPEAT_SECONDS)
    return {"group_wait": f"{wait}s", "group_interval": f"{max(wait, 30)}s", "repeat_interval": f"{repeat}s"}


def integration(receiver: Receiver, secret: Any) -> dict[str, list[dict[str, Any]]]:
    """A receiver's part of `alertmanager.yml`, with its secret in place."""
    resolved = {"send_resolved": True}
    match receiver:
        case SlackReceiver():
            return {"slack_configs": [{"api_url": secret, "channel": receiver.channel, **resolved}]}
        case PagerDutyReceiver():
            return {"pagerduty_configs": [{"routing_key": secret, **resolved}]}
        case OpsgenieReceiver():
            return {"opsgenie_configs": [{"api_key": secret, **resolved}]}
        case EmailReceiver():
            login = {"auth_username": receiver.username, "auth_password": secret, "require_tls": True}
            sent = {"to": receiver.to, "from": receiver.sender, "smarthost": receiver.smarthost}
            return {"email_configs": [{**sent, **login, **resolved}]}
        case WebhookReceiver() | HeartbeatReceiver():
            return {"webhook_configs": [{"url": secret, "send_resolved": isinstance(receiver, WebhookReceiver)}]}


_OPERATORS = {"api_url": "apiURL", "require_tls": "requireTLS"}
"""Fields that the operator does not spell as the rest: camel case."""

_NOT_A_SECRET = {"url": "urlSecret"}
"""Fields of `alertmanager.yml` whose secret has a field of its own in the operator's objects."""


def operators(receiver: Receiver, reference: Mapping[str, Any]) -> dict[str, Any]:
    """The same part as a receiver of an AlertmanagerConfig; `reference`: to the key of a Secret.

    Source: https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1alpha1.Receiver
    """
    ((kind, configurations),) = integration(receiver, dict(reference)).items()
    return {
        _camel(kind): [
            {_NOT_A_SECRET.get(key, _OPERATORS.get(key, _camel(key))): value for key, value in each.items()}
            for each in configurations
        ]
    }


def camel_timing(receiver: Receiver) -> dict[str, str]:
    """`timing` as the operator spells it."""
    return {_camel(key): value for key, value in timing(receiver).items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def inhibitions(spell: Callable[[str], Any]) -> list[dict[str, Any]]:
    """Rules by which a cause silences what follows from it; `spell`: how a matcher is written."""
    return [
        {
            "source": [spell(f'alertname="{cause}"')],
            "target": [spell(f'alertname=~"{"|".join(following)}"')],
            "equal": ["workload"],
        }
        for cause, following in CAUSES.items()
    ]


def linked(rules: str, documents: str | None) -> str:
    """A rule file whose alerts link to their runbooks below `documents`; as it is where there is no such place."""
    if documents is None:
        return rules
    content = yaml.safe_load(rules)
    for rule in (rule for group in content["groups"] for rule in group["rules"]):
        notes = rule.get("annotations", {})
        if "runbook_url" in notes and "://" not in notes["runbook_url"]:
            notes["runbook_url"] = f"{documents.rstrip('/')}/{notes['runbook_url']}"
    return json.dumps(content, indent=1)


def heartbeat_rules() -> str:
    """The rule file with the alert that always fires."""
    return rule_file("heartbeat", Path(__file__).with_name("heartbeat.yaml"))
