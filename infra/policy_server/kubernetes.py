"""Policy server on a cluster: OPA with the checkout's release policy, which no caller can change."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.base.resources import Resources
from infra.kube.objects import LABEL_PREFIX
from infra.kube.pod import Files, Serving, http_health
from infra.kube.server import Server, ServerArgs
from infra.kube.substrate import Kubernetes
from infra.policy_server.local import AUTHORIZATION, BUNDLE, POLICY_LABEL, REVISION, digest
from infra.policy_server.settings import OpaOnKubernetesSettings

PORT = 8181
FOLDER = "/policies"


@dataclass(frozen=True, kw_only=True)
class OpaOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: OpaOnKubernetesSettings

    substrate: Kubernetes


class OpaOnKubernetes(pulumi.ComponentResource):
    """OPA servers that are rolled when a rule changes.

    Realizes `infra.policy_server.PolicyServer`.
    Source: https://www.openpolicyagent.org/docs/latest/security/
    """

    url: pulumi.Output[str]
    """Base URL of the REST API."""

    policy_sha256: str

    ready: pulumi.Resource
    """The pods, once they answer with all policies loaded."""

    token: pulumi.Output[str] | None = None

    client_secrets: Mapping[str, pulumi.Output[str]]
    """None: network policies decide who reaches the server."""

    def __init__(self, name: str, args: OpaOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:OpaOnKubernetes", name, None, opts)
        bundle = args.substrate.checkout / BUNDLE
        self.policy_sha256 = digest(bundle)

        server = Server(name, _server(args, bundle), pulumi.ResourceOptions(parent=self))

        self.client_secrets = {}
        self.ready = server.ready
        self.url = pulumi.Output.format("http://{0}:{1}", server.host, PORT)
        self.register_outputs({"url": self.url})


def rules(bundle: Path) -> dict[str, str]:
    """File name -> Rego of every rule below a folder, tests left out, and of what callers may ask."""
    found = {path.relative_to(bundle).as_posix().replace("/", "."): path for path in bundle.rglob("*.rego")}
    served = {name: path.read_text() for name, path in sorted(found.items()) if not name.endswith("_test.rego")}
    return {**served, **{file.name: file.read_text() for file in (AUTHORIZATION, REVISION)}}


def _server(args: OpaOnKubernetesArgs, bundle: Path) -> ServerArgs:
    return ServerArgs(
        substrate=args.substrate,
        image=args.substrate.supply.image(args.settings.image),
        arguments=[
            *["run", "--server", "--disable-telemetry", "--log-level=error", f"--addr=:{PORT}"],
            "--authorization=basic",
            f"--set=labels.{POLICY_LABEL}={digest(bundle)}",
            # A mounted ConfigMap holds each file a second time, in a hidden folder.
            "--ignore=.*",
            FOLDER,
        ],
        files=[
            Files(folder=FOLDER, contents=rules(bundle), annotations={f"{LABEL_PREFIX}/bundle-sha256": digest(bundle)})
        ],
        resources=Resources(cpu_millicores=50, memory_mib=128),
        serving=Serving(role="policy-server", port=PORT, health=http_health("/health", PORT), start_seconds=60),
        replicas=args.settings.replicas,
    )
