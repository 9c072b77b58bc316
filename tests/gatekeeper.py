"""Gatekeeper's official chart, rendered by the real helm."""

import subprocess
from typing import Any

import yaml
from pytest_pulumi_kubernetes import KubeTools
from pytest_pulumi_kubernetes.gatekeeper import MODULE, NAMESPACE

from infra.admission.kubernetes import values
from infra.admission.settings import GatekeeperSettings
from infra.kube.charts import nested

TEMPLATE = "templates/gatekeeper-validating-webhook-configuration-validatingwebhookconfiguration.yaml"


def rendered_webhook(tools: KubeTools, settings: GatekeeperSettings) -> dict[str, Any]:
    """The validating webhook as the chart makes it of a stack's settings. Raises: MissingToolError."""
    chart = tools.source(MODULE) / "charts" / "gatekeeper"
    command = [str(tools.find("helm")), "template", "admission", str(chart), f"--namespace={NAMESPACE}"]
    done = subprocess.run(
        [*command, "--values=-", f"--show-only={TEMPLATE}"],
        input=yaml.safe_dump(nested(values(settings))),
        capture_output=True,
        text=True,
        check=True,
    )
    webhook: dict[str, Any] = yaml.safe_load(done.stdout)["webhooks"][0]
    return webhook
