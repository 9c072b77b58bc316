"""Names on a cluster that are part of an interface, and the limits of what such a name may be.

Everything else is named by the provider. Fixed names mean that a cluster holds one stack.
"""

import re
from typing import Annotated

from pydantic import AfterValidator

PLATFORM = "mlplatform"
"""Namespace of the platform's own servers and stores; each workload has one of its own name."""
MONITORING = "monitoring"
"""Namespace of Prometheus, Alertmanager, Grafana, and of what makes them."""
PIPELINES = "kubeflow"
"""Namespace of Kubeflow Pipelines and of pipelines' steps; its manifests name it."""
CLUSTER_DOMAIN = "svc.cluster.local"

LABEL_LENGTH = 63
"""Characters of a DNS label: names of namespaces and Services, values of labels.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""
CRON_JOB_LENGTH = 52
"""Characters of a CronJob's name: eleven more make its Jobs' names.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"""

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def dns_label(name: str, longest: int = LABEL_LENGTH) -> str:
    """The name, if it can be one of a Service or namespace; raises ValueError that says what is wrong."""
    if len(name) > longest or not _LABEL.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a name on a cluster: give at most {longest} of a-z, 0-9 and '-', "
            "starting with a letter and ending with a letter or digit"
        )
    return name


DnsLabel = Annotated[str, AfterValidator(dns_label)]
"""A name of a namespace, context-free: see `dns_label`."""


def host(service: str, namespace: str) -> str:
    """Name by which pods of every namespace reach a Service."""
    return f"{dns_label(service)}.{dns_label(namespace)}.{CLUSTER_DOMAIN}"


def hyphenated(version: str) -> str:
    """A version as part of a logical name from which a provider generates a physical one: `8-4` for `8.4`.

    Several services refuse dots, RDS among them.
    Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBParameterGroup.html
    """
    return version.replace(".", "-")


DATABASE_AUTHORITY = "database-authority"
"""ConfigMap with the certificates by which a namespace's pods know the database; steps of pipelines name it."""

DATABASE_AUTHORITY_FOLDER = f"/etc/{DATABASE_AUTHORITY}"
"""Where it is in their containers."""
