"""The control plane: etcd, API server, controller manager, scheduler and kwok as processes on 127.0.0.1."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pytest_pulumi_kubernetes import crds, kubeconfig, relay
from pytest_pulumi_kubernetes.certificates import Authority
from pytest_pulumi_kubernetes.client import ApiError, Client, UnreachableError
from pytest_pulumi_kubernetes.cloud import STORAGE_CLASSES, CloudControllers
from pytest_pulumi_kubernetes.emptying import empty, everything, key
from pytest_pulumi_kubernetes.nodes import CPU_NODE, GPU_NODE, Node
from pytest_pulumi_kubernetes.processes import Process, Processes, free_port
from pytest_pulumi_kubernetes.tools import KubeTools

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.emptying import Key
    from pytest_pulumi_kubernetes.enclosure import Enclosure

ADMIN: Final = "admin"
VIEWER: Final = "viewer"
"""Context of a user who may read most things (ClusterRole `view`) and change nothing."""
NOBODY: Final = "nobody"
"""Context of a user who is known and may do nothing."""

KUBELET: Final = "kubelet"
PROXY: Final = "proxy"
"""Contexts of the programs of a real node, each in a kubeconfig of its own in the control plane's folder."""

_ENCLOSED_PORT = 6443
"""Where the API server of a real node listens, as on most clusters: network policies name the port."""

_SERVICE_ADDRESS = "10.96.0.1"
"""What pods know the API server by: the first address of the range of services."""

_GROUPS = {
    ADMIN: ("admin", "system:masters"),
    VIEWER: ("viewer", ""),
    NOBODY: ("nobody", ""),
    "controllers": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    KUBELET: ("system:node:node-1", "system:nodes"),
    PROXY: ("system:kube-proxy", ""),
}
"""Context to user and group."""

_START_SECONDS = 120.0
_THRIFTY = {"GOGC": "50"}
"""Go's collector runs twice as often as by default: with every definition installed, 0.95 GB instead of 1.25."""

_PACE = ("--kube-api-qps=200", "--kube-api-burst=400")
"""Requests per second of each controller, as managed clusters grant: at the default of 20 the garbage collector, which
a foreground deletion of anything waits for, is what a `destroy` takes its time for."""

_PATIENCE = "--node-monitor-grace-period=1h"
"""On a busy machine kwok's heartbeats are late. A node that is given up takes the readiness of its pods along, which no
kubelet is there to give back."""

_STAGES = "sigs.k8s.io/kwok"
_ADMISSION = ("NodeRestriction", "ResourceQuota", "LimitRanger", "PodSecurity")


@dataclass
class Options:
    """What a control plane is like."""

    nodes: Sequence[Node] = (CPU_NODE, GPU_NODE)
    storage_classes: Sequence[Object] = STORAGE_CLASSES
    """Those of a cloud that makes other ones; volumes are made for every class."""

    load_balancer_address: str | None = None
    """Address that Services of type LoadBalancer and Ingresses get; None leaves them pending."""

    admission_plugins: Sequence[str] = _ADMISSION
    """Admission plugins beyond the API server's defaults."""

    enclosure: Enclosure | None = None
    """Namespaces in which it runs beside a real node, and is still reached on this machine's loopback; without kwok."""

    volumes: Path | None = None
    """Folder of a real node for volumes; None: volumes that nothing mounts."""


class ControlPlane:
    """A control plane of its own, ready when the constructor returns; end it with `close`, or use it in a `with`.

    Raises: MissingToolError, ClusterError.
    """

    def __init__(self, tools: KubeTools | None = None, options: Options | None = None) -> None:
        self.tools = tools or KubeTools()
        self.options = options or Options()
        self.folder = Path(tempfile.mkdtemp(prefix="pytest-kube-"))
        self.processes = Processes()
        self._definitions: set[str] = set()
        self._closing = contextlib.ExitStack()
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._closing.callback(self.processes.close)
        try:
            self._prepare()
            self._begin()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every file."""
        self._closing.close()

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    def memory_mib(self) -> dict[str, float]:
        """Give the resident memory of every process in MiB."""
        return self.processes.memory_mib()

    def client_for(self, context: str) -> Client:
        """Give a client of another context: `admin`, `viewer` or `nobody`."""
        return Client(kubeconfig.connect(self.kubeconfig, context))

    def reset(self) -> None:
        """Delete everything that was not there at the start, finalizers or not; `keep` makes exceptions."""
        self.start_apiserver()
        self.restart_controllers(only_dead=True)
        empty(self.client, self._initial)

    def keep(self, keys: Iterable[Key]) -> None:
        """Let `reset` leave objects alone."""
        self._initial |= set(keys)

    def forget(self, keys: Iterable[Key]) -> None:
        """Let `reset` delete objects again."""
        self._initial -= set(keys)

    def install_definitions(self, *names: str) -> None:
        """Install the definitions of custom resources by their names in `crds.CRDS`, for all the time that it runs."""
        missing = [name for name in names if name not in self._definitions]
        applied = crds.install(self.client, self.tools, *missing)
        self._definitions.update(missing)
        self.keep(key(item) for item in applied)

    def stop_apiserver(self) -> None:
        """End the API server; its data stays."""
        self.processes.stop(self._apiserver)

    def start_apiserver(self) -> None:
        """Start the API server again, at the same address."""
        if not self._apiserver.running:
            self.processes.start(self._apiserver)
            self._await_apiserver()

    def restart_controllers(self, *, only_dead: bool = False) -> None:
        """End controller manager, scheduler and kwok and start them again."""
        wanted = [process for process in self._controllers if not (only_dead and process.running)]
        self.processes.stop(*wanted)
        for process in wanted:
            self.processes.start(process)

    def stop_controllers(self) -> None:
        """End controller manager, scheduler and kwok: nothing is rolled out any more."""
        self.processes.stop(*self._controllers)

    def restart(self) -> None:
        """End everything and start it again with the same data and addresses."""
        everything = [*self._controllers, self._apiserver, self._etcd]
        self.processes.stop(*everything)
        for process in (self._etcd, self._apiserver):
            self.processes.start(process)
        self._await_apiserver()
        self.restart_controllers(only_dead=True)

    def _prepare(self) -> None:
        """Make certificates, credentials and configuration files, and the commands of every process."""
        folder, tools = self.folder, self.tools
        authority = Authority(folder, tools.find("openssl"))
        enclosure = self.options.enclosure
        addresses = [enclosure.address, _SERVICE_ADDRESS] if enclosure else []
        names = ["127.0.0.1", *addresses, "localhost", "kubernetes", "kubernetes.default.svc"]
        certificate, key = authority.issue("apiserver", names)
        accounts = authority.signing_key("service-accounts")
        etcd, peer, self.port = free_port(), free_port(), free_port()
        port = _ENCLOSED_PORT if enclosure else self.port
        inside = f"https://127.0.0.1:{port}"
        tokens = {context: secrets.token_hex(24) for context in _GROUPS}
        lines = [f'{tokens[context]},{user},{user},"{group}"\n' for context, (user, group) in _GROUPS.items()]
        _private(folder / "tokens.csv", "".join(lines))
        self.authority = authority
        self.kubeconfig = kubeconfig.write(
            self.server, authority.certificate.read_text(), {c: tokens[c] for c in (ADMIN, VIEWER, NOBODY)}, ADMIN
        )
        self.kubeconfig_path = _private(folder / "kubeconfig", self.kubeconfig)
        files = {
            context: _private(
                folder / f"{context}.kubeconfig",
                kubeconfig.write(inside, authority.certificate.read_text(), {context: tokens[context]}, context),
            )
            for context in (ADMIN, "controllers", "scheduler", KUBELET, PROXY)
        }
        self.client = self.client_for(ADMIN)
        self._closing.callback(self.client.close)
        self._etcd = self._process(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._apiserver = self._process(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--secure-port={port}",
            *self._reached(authority, enclosure),
            f"--token-auth-file={folder / 'tokens.csv'}",
            f"--client-ca-file={authority.certificate}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            f"--enable-admission-plugins={','.join(self.options.admission_plugins)}",
            "--allow-privileged=true",
        )
        self._controllers = [
            self._process(
                "kube-controller-manager",
                f"--kubeconfig={files['controllers']}",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={accounts}",
                f"--root-ca-file={authority.certificate}",
                f"--cluster-signing-cert-file={authority.certificate}",
                f"--cluster-signing-key-file={authority.key}",
                "--allocate-node-cidrs=false",
                *_PACE,
                _PATIENCE,
                "--bind-address=127.0.0.1",
                "--secure-port=0",
            ),
            self._process(
                "kube-scheduler",
                f"--kubeconfig={files['scheduler']}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                "--secure-port=0",
            ),
        ]
        if enclosure is None:
            self._controllers.append(self._kwok(files[ADMIN]))

    def _kwok(self, credentials: Path) -> Process:
        return self._process(
            "kwok",
            f"--kubeconfig={credentials}",
            f"--config={_stages(self.tools.source(_STAGES), self.folder)}",
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        )

    @staticmethod
    def _reached(authority: Authority, enclosure: Enclosure | None) -> list[str]:
        """Where the API server listens, and how it reaches kubelets where there are real ones."""
        if enclosure is None:
            return ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        certificate, key = authority.issue_client("kubelet-client", "system:masters")
        return [
            "--bind-address=0.0.0.0",
            f"--advertise-address={enclosure.address}",
            f"--kubelet-certificate-authority={authority.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
        ]

    def _start_relays(self, enclosure: Enclosure) -> None:
        """Lead the API server's port on this machine's loopback into the enclosure, by a unix socket."""
        script: list[str | Path] = [sys.executable, "-I", relay.__file__]
        path = f"path:{self.folder / 'apiserver.sock'}"
        inside = enclosure.command([*script, f"{path}=port:{_ENCLOSED_PORT}"])
        for name, command in (("relay-in", inside), ("relay-out", [*script, f"port:{self.port}={path}"])):
            self.processes.start(Process(name, command, self.folder / f"{name}.log"))

    def _begin(self) -> None:
        if self.options.enclosure is not None:
            self._start_relays(self.options.enclosure)
        self.processes.start(self._etcd)
        self.processes.start(self._apiserver)
        self._await_apiserver()
        self.restart_controllers()
        nodes = [item for node in self.options.nodes for item in node.objects()]
        for item in nodes:
            self.client.request("POST", "/api/v1/nodes", item)
        for item in [*self.options.storage_classes, _VIEWER_BINDING]:
            self.client.apply(item)
        cloud = CloudControllers(self.client_for(ADMIN), self.options.load_balancer_address, self.options.volumes)
        self._closing.callback(cloud.close)
        self.cloud = cloud
        kwok, manager = self._controllers[-1], self._controllers[0]
        self.processes.wait("the nodes are not ready", lambda: self._ready_nodes() >= len(nodes), _START_SECONDS, kwok)
        self.processes.wait("there is no default service account", self._has_account, _START_SECONDS, manager)
        self._initial = frozenset(everything(self.client))

    def _await_apiserver(self) -> None:
        def ready() -> bool:
            try:
                self.client.request("GET", "/readyz")
            except (UnreachableError, ApiError):
                return False
            return True

        self.processes.wait("the API server is not ready", ready, _START_SECONDS, self._apiserver)

    def _ready_nodes(self) -> int:
        return sum(
            any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
            and not any(t["key"] == "node.kubernetes.io/not-ready" for t in node["spec"].get("taints", []))
            for node in self.client.list("v1", "Node")
        )

    def _has_account(self) -> bool:
        return self.client.find("v1", "ServiceAccount", "default", "default") is not None

    def _process(self, name: str, *arguments: str) -> Process:
        command: list[str | Path] = [self.tools.find(name), *arguments]
        if self.options.enclosure is not None:
            command = self.options.enclosure.command(command)
        return Process(name, command, self.folder / f"{name}.log", _THRIFTY)


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _stages(kwok: Path, folder: Path) -> Path:
    """Put together the stages that let nodes heartbeat, pods start and jobs complete, from kwok's own sources."""
    stages = [
        *sorted((kwok / "kustomize/stage/node/fast").glob("node-*.yaml")),
        *sorted((kwok / "kustomize/stage/node/heartbeat-with-lease").glob("node-*.yaml")),
        *sorted((kwok / "kustomize/stage/pod/fast").glob("pod-*.yaml")),
    ]
    path = folder / "stages.yaml"
    path.write_text("\n---\n".join(stage.read_text() for stage in stages))
    return path


_VIEWER_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "pytest-pulumi-viewer"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
}
