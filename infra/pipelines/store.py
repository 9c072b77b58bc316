"""How Kubeflow Pipelines is told of the stack's artifact store: in four places, each in a language of its own.

Source: https://www.kubeflow.org/docs/components/pipelines/operator-guides/configure-object-store/
"""

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from infra.artifact_store.folders import PIPELINES
from infra.base.aws_types import dns_suffix_of
from infra.kube.objects import LABEL_PREFIX

SECRET = "pipelines-store"  # noqa: S105  a name
STEP_CALLS = (
    "api-server",
    "artifact-store",
    "database",
    "model-server",
    "online-store",
    "pipelines",
    "policy-server",
    "pushgateway",
    "tracking",
)
"""What a pipeline's steps may connect to: any step of any pipeline, as KFP has one kind of pod for all."""
USER = 65532


@dataclass(frozen=True, kw_only=True)
class Store:
    """An artifact store, taken apart."""

    bucket: str

    endpoint: str
    """`host:port`, or `host` where the port is the scheme's."""

    secure: bool

    region: str

    keys: bool
    """Whether clients need keys, which then are in the Secret `pipelines-store`."""

    @classmethod
    def of(cls, uri: str, region: str, endpoint: str | None, *, keys: bool) -> "Store":
        """From `s3://bucket`, a region, and the URL of the S3 API, which AWS has none of."""
        url = urlsplit(endpoint or f"https://s3.{region}.{dns_suffix_of(region)}")
        return cls(
            bucket=uri.removeprefix("s3://").rstrip("/"),
            endpoint=url.netloc,
            secure=url.scheme == "https",
            region=region,
            keys=keys,
        )

    @property
    def root(self) -> str:
        """Where pipelines' artifacts are."""
        return f"s3://{self.bucket}/{PIPELINES.rstrip('/')}"


def connection(url: str) -> dict[str, str]:
    """A database's SQLAlchemy URL as the store of metadata wants it: taken apart, and encrypted where others' are.

    It has no certificates to check the server by: `verify-full` becomes `require`.
    """
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query)).get("sslmode", "prefer")
    return {
        "host": parts.hostname or "",
        "port": str(parts.port),
        "username": parts.username or "",
        "password": parts.password or "",
        "database": parts.path.removeprefix("/"),
        "sslmode": "prefer" if asked == "prefer" else "require",
    }


def server(store: Store) -> dict[str, str]:
    """For the API server and the pages: keys of the ConfigMap that their variables are read from."""
    host, _, port = store.endpoint.partition(":")
    return {
        "bucket": store.bucket,
        "endpoint": store.endpoint,
        "host": host,
        "port": port,
        "region": store.region,
        "secure": str(store.secure).lower(),
    }


def launcher(store: Store) -> dict[str, str]:
    """For drivers and launchers: the ConfigMap `kfp-launcher`."""
    reference = {"secretName": SECRET, "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
    provider = {
        "endpoint": store.endpoint,
        "region": store.region,
        "disableSSL": not store.secure,
        "forcePathStyle": True,
        "credentials": {"fromEnv": False, "secretRef": reference} if store.keys else {"fromEnv": True},
    }
    return {"defaultPipelineRoot": store.root, "providers": json.dumps({"s3": {"default": provider}})}


def workflow_controller(store: Store, ttl_seconds: int) -> dict[str, str]:
    """For Argo: its ConfigMap, with what every pod of a run has.

    Source: https://argo-workflows.readthedocs.io/en/latest/workflow-controller-configmap/
    """
    secret = {part: {"name": SECRET, "key": key} for part, key in _ARGO_KEYS.items()}
    restricted = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
    return {
        "artifactRepository": json.dumps(
            {
                "archiveLogs": True,
                "s3": {
                    "endpoint": store.endpoint,
                    "bucket": store.bucket,
                    "region": store.region,
                    "insecure": not store.secure,
                    "keyFormat": f"{PIPELINES}logs/{{{{workflow.name}}}}/{{{{pod.name}}}}",
                    **(secret if store.keys else {"useSDKCreds": True}),
                },
            }
        ),
        "executor": json.dumps(
            {"imagePullPolicy": "IfNotPresent", "securityContext": restricted, "resources": resources}
        ),
        "workflowDefaults": json.dumps({"spec": _every_workflow(ttl_seconds)}),
    }


_ARGO_KEYS = {"accessKeySecret": "accesskey", "secretKeySecret": "secretkey"}


def _every_workflow(ttl_seconds: int) -> dict[str, object]:
    return {
        "podMetadata": {"labels": {f"{LABEL_PREFIX}/calls-{role}": "true" for role in STEP_CALLS}},
        "automountServiceAccountToken": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "ttlStrategy": {"secondsAfterCompletion": ttl_seconds},
        "templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}},
    }
