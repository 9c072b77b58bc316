"""How Envoy Gateway runs the proxies of a gateway; part of every EnvoyProxy.

Source: https://gateway.envoyproxy.io/docs/tasks/operations/customize-envoyproxy/
"""

from typing import Any

from infra.base.resources import Resources
from infra.kube.charts import container

NAMESPACE = "envoy-gateway-system"
"""Where Envoy Gateway runs the proxies of every gateway."""

PROXY = Resources(cpu_millicores=200, cpu_limit_millicores=2000, memory_mib=512)


def deployment(replicas: int = 1) -> dict[str, Any]:
    """The Deployment of the proxies, with requests and limits.

    Envoy Gateway's own default requests 512 MiB without a limit, which the default limit of a namespace makes invalid.
    """
    return {"replicas": replicas, "container": {"resources": container(PROXY)}}
