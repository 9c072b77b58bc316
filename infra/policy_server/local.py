"""Policy server on this machine: OPA with the checkout's release policy, which no caller can change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.host import Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local
from infra.policy_server.settings import OpaOnHostSettings

BUNDLE = Path("policies/release")
"""Rego that is served, relative to the checkout."""
AUTHORIZATION = Path(__file__).with_name("authz.rego")
"""What callers may ask."""
AUTHORIZATION_BY_TOKEN = AUTHORIZATION.with_name("authz_token.rego")
"""The same for callers that show a token."""
REVISION = Path(__file__).with_name("revision.rego")
"""What makes each decision name the policy that gave it."""
POLICY_LABEL = "policy_sha256"
"""Label of the server's configuration that `REVISION` reads."""


@dataclass(frozen=True, kw_only=True)
class OpaOnHostArgs:
    """The settings, and what other components hand over."""

    settings: OpaOnHostSettings

    substrate: Local


class OpaOnHost(pulumi.ComponentResource):
    """An OPA server that is started again when a rule changes, and decides for those who show its token.

    Realizes `infra.policy_server.PolicyServer`.
    Source: https://www.openpolicyagent.org/docs/latest/rest-api/
    """

    url: pulumi.Output[str]
    """Base URL of the REST API."""

    policy_sha256: str

    ready: pulumi.Resource
    """The process, once it answers."""

    token: pulumi.Output[str] | None
    """Secret."""

    client_secrets: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: OpaOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:OpaOnHost", name, None, opts)
        bundle = args.substrate.checkout / BUNDLE
        self.policy_sha256 = digest(bundle)

        child = pulumi.ResourceOptions(parent=self)

        port = Port(f"{name}-port", number=args.settings.port, opts=child)
        token = Secret(f"{name}-token", length=40, opts=child).value
        self.token, self.client_secrets = token, {"OPA_TOKEN": token}
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-server",
            command=[
                "opa",
                "run",
                "--server",
                "--disable-telemetry",
                "--log-level=error",
                "--authentication=token",
                "--authorization=basic",
                "--ignore=*_test.rego",
                "--ignore=*.yaml",  # what rules say about themselves, and their samples
                f"--set=labels.{POLICY_LABEL}={self.policy_sha256}",
                pulumi.Output.format("--addr={0}:{1}", LOOPBACK, port.chosen),
                str(bundle),
                str(AUTHORIZATION_BY_TOKEN),
                str(REVISION),
            ],
            environment=self.client_secrets,
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, "/health")},
            triggers={"bundle": self.policy_sha256, "authorization": digest(AUTHORIZATION.parent)},
            opts=args.substrate.child(self),
        )

        self.register_outputs({"url": self.url})


def digest(bundle: Path) -> str:
    """SHA-256 over the names and contents of the Rego files below a folder."""
    sha256 = hashlib.sha256()
    for path in sorted(bundle.rglob("*.rego")):
        sha256.update(f"{path.relative_to(bundle)}\0".encode() + path.read_bytes())
    return sha256.hexdigest()
