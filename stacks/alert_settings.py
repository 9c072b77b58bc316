"""What every stack file says about who is told of alerts, beside the block `monitoring`."""

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from infra.base.names import DnsLabel
from infra.base.settings import Secret
from infra.monitoring.receivers import Alerting, without_secret
from stacks.workload_settings import WorkloadsSettings

ALERT_SECRETS = "alert_secrets"


class AlertsSettings(WorkloadsSettings):
    """Secrets apart from the block that names the receivers: a stack file is read without them, a secret is not."""

    alert_secrets: Mapping[DnsLabel, Secret] = {}
    """Secrets of the receivers in `monitoring.receivers`, by their names:
    `pulumi config set --secret --path 'mlplatform:alert_secrets.<name>'`."""

    @property
    def secrets_of_receivers(self) -> dict[str, str]:
        """The secrets in clear."""
        return {name: secret.get_secret_value() for name, secret in self.alert_secrets.items()}

    @model_validator(mode="after")
    def _receivers_have_their_secrets(self) -> Self:
        monitoring: Alerting = getattr(self, "monitoring")  # noqa: B009  each stack's own block
        names = [each.name for each in monitoring.receivers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"monitoring.receivers names {', '.join(twice)} twice: give each receiver a name of its own"
            )
        if missing := without_secret(monitoring.receivers, self.alert_secrets):
            raise ValueError(
                f"monitoring.receivers names {missing[0]}, which has no secret: "
                f"`pulumi config set --secret --path 'mlplatform:alert_secrets.{missing[0]}'`"
            )
        if surplus := sorted(set(self.alert_secrets) - set(names)):
            raise ValueError(
                f"alert_secrets names {', '.join(surplus)}, which monitoring.receivers does not: add the receiver, or "
                f"`pulumi config rm --path 'mlplatform:alert_secrets.{surplus[0]}'`"
            )
        return self
