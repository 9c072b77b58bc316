"""Real controllers beside the control plane: their processes, accounts and webhooks."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING, Self

from pytest_pulumi_kubernetes import kubeconfig, relay
from pytest_pulumi_kubernetes.emptying import key
from pytest_pulumi_kubernetes.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.control_plane import ControlPlane

_START_SECONDS = 120.0
_TOKEN_SECONDS = 24 * 3600
_WEBHOOK_SECONDS = 15
"""How long the API server waits for a webhook: more than upstream's manifests say, because test machines are slow."""


class Controller:
    """A controller that runs as a process in a network namespace with nothing but loopback.

    It logs in as its own service account, so its RBAC manifests count. What it brought along is kept by
    `ControlPlane.reset` while it runs, and deleted by `close`.
    """

    def __init__(self, control_plane: ControlPlane, name: str) -> None:
        self.control_plane = control_plane
        self.client = control_plane.client
        self.name = name
        self.folder = control_plane.folder / name
        self.folder.mkdir()
        self._brought: list[Object] = []
        self._closing = contextlib.ExitStack()
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.webhook_port = free_port()
        """Port of 127.0.0.1 by which the API server reaches its webhooks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and delete what came with it."""
        for item in sorted(self._brought, key=lambda item: "Webhook" not in item["kind"]):
            metadata = item["metadata"]
            self.client.delete(
                item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"), "Background"
            )
        self._closing.close()
        self.control_plane.forget(key(item) for item in self._brought)

    def bring(self, items: Iterable[Object]) -> None:
        """Apply manifests that belong to the controller."""
        for item in items:
            applied = self.client.apply(item, self.name)
            self._brought.append(applied)
            self.control_plane.keep([key(applied)])

    def run(
        self, command: Sequence[str], account: tuple[str, str], webhook_port: int, environment: Mapping[str, str]
    ) -> None:
        """Start the process as a service account (namespace, name) and wait until its webhook server answers."""
        login = self._login(*account)
        inside, outside = self.folder / "webhook.sock", self.folder / "api.sock"
        api = self.control_plane.port
        script = [sys.executable, "-I", relay.__file__]
        gate = Process(
            f"{self.name}-gate",
            [*script, f"path:{outside}=port:{api}", f"port:{self.webhook_port}=path:{inside}"],
            self.folder / "gate.log",
        )
        alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        process = Process(
            self.name,
            [*alone, *script, f"port:{api}=path:{outside}", f"path:{inside}=port:{webhook_port}", "--", *command],
            self.folder / "log",
            {"KUBECONFIG": str(login), "GOGC": "50", **environment},
        )
        processes = self.control_plane.processes
        hooks = self._enclosed_gate(script, inside)
        for one in (gate, *hooks, process):
            processes.start(one)
            self._closing.callback(processes.stop, one)
        processes.wait(f"{self.name} does not answer", self._answers, _START_SECONDS, process)
        self.process = process

    def _enclosed_gate(self, script: Sequence[str], inside: Path) -> list[Process]:
        """Give the relay by which an API server in namespaces of its own reaches the webhooks; none elsewhere."""
        enclosure = self.control_plane.options.enclosure
        if enclosure is None:
            return []
        command = enclosure.command([*script, f"port:{self.webhook_port}=path:{inside}"])
        return [Process(f"{self.name}-hooks", command, self.folder / "hooks.log")]

    def hook(self, configuration: Object) -> Object:
        """Turn a webhook configuration so that its hooks are reached by address, with our authority."""
        authority = base64.b64encode(self.control_plane.authority.certificate.read_bytes()).decode()
        for webhook in configuration["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            webhook["clientConfig"] |= {"url": f"https://127.0.0.1:{self.webhook_port}{path}", "caBundle": authority}
            webhook["timeoutSeconds"] = _WEBHOOK_SECONDS
            if "v1" not in webhook["admissionReviewVersions"]:
                webhook["admissionReviewVersions"].insert(0, "v1")
        return configuration

    def certificates(self, folder: Path) -> None:
        """Put the webhook server's certificate where it looks for it."""
        folder.mkdir(parents=True)
        authority = self.control_plane.authority
        certificate, secret = authority.issue(self.name, ["127.0.0.1"])
        for source, name in ((certificate, "tls.crt"), (secret, "tls.key"), (authority.certificate, "ca.crt")):
            (folder / name).write_bytes(source.read_bytes())

    def _login(self, namespace: str, account: str) -> Path:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        path = self.client.resource("v1", "ServiceAccount").path(namespace, account)
        answer = self.client.request(
            "POST", f"{path}/token", body | {"spec": {"expirationSeconds": _TOKEN_SECONDS, "audiences": []}}
        )
        control_plane = self.control_plane
        text = kubeconfig.write(
            control_plane.server,
            control_plane.authority.certificate.read_text(),
            {self.name: answer["status"]["token"]},
            self.name,
        )
        path_ = self.folder / "kubeconfig"
        path_.touch(mode=0o600)
        path_.write_text(text)
        return path_

    def _answers(self) -> bool:
        """Whether the webhook server, and not only the relay before it, accepts TLS connections."""
        context = kubeconfig.tls(self.control_plane.authority.certificate.read_text())
        try:
            with (
                socket.create_connection(("127.0.0.1", self.webhook_port), timeout=2) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1"),
            ):
                return True
        except OSError:
            return False
