"""A real node: kubelet, containerd and kube-proxy on this machine, with CoreDNS as a pod, in namespaces of its own.

Pods pull their images from a registry on the node's loopback that holds what `images` says; a name that it does not
hold cannot be pulled. Leaves out: cgroup v2, IPv6, node ports, `hostPort`, images of other architectures.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pytest_pulumi_kubernetes import registry
from pytest_pulumi_kubernetes.client import ApiError, UnreachableError
from pytest_pulumi_kubernetes.cluster_dns import ADDRESS as DNS_ADDRESS
from pytest_pulumi_kubernetes.cluster_dns import objects as dns_objects
from pytest_pulumi_kubernetes.control_plane import KUBELET, PROXY, ControlPlane, Options
from pytest_pulumi_kubernetes.enclosure import Enclosure, NoNodeError, require
from pytest_pulumi_kubernetes.network_rules import NetworkRules
from pytest_pulumi_kubernetes.processes import ClusterError, Process
from pytest_pulumi_kubernetes.stand_ins import Image, ImageStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.tools import KubeTools

NAME: Final = "node-1"
REGISTRY: Final = "127.0.0.1:5001"
"""Where the node pulls from: the address that `make images` pushes to on a laptop."""

CNI = Path("/usr/lib/cni")
"""Where Debian keeps the plugins of container networks."""

POD_NETWORK = "10.244.0.0/24"
_PAUSE = f"{REGISTRY}/pause:1"
_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """What a node is like."""

    images: Sequence[Image] = ()
    """What its registry holds."""

    built: Path | None = None
    """Folder of a registry whose images it has as well, under their own names."""

    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further name of an image, `registry/repository:tag` -> digest of one of `built`."""

    cache: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "pytest-kube-layers")
    """Folder for the layers of images, kept between runs."""


class RealNode:
    """A control plane and a node that runs its pods, ready when the constructor returns.

    Raises: NoNodeError where the machine lacks something, MissingToolError, ClusterError.
    """

    def __init__(self, tools: KubeTools, options: NodeOptions | None = None) -> None:
        self.tools, self.options = tools, options or NodeOptions()
        self.digests: dict[str, str] = {}
        """Reference of each image -> its digest."""
        self.folder = Path(tempfile.mkdtemp(prefix="pytest-node-"))
        self._closing = contextlib.ExitStack()
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._check()
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and remove every file, mount and cgroup."""
        self._closing.close()

    def execute(
        self, namespace: str, pod: str, *command: str, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod's container, by the API server and the kubelet, and give how it ended."""
        return self._kubectl("exec", f"--namespace={namespace}", pod, "--", *command, seconds=seconds)

    def logs(self, namespace: str, pod: str) -> str:
        """Give what a pod's container has written, by the API server and the kubelet."""
        return self._kubectl("logs", f"--namespace={namespace}", pod).stdout

    def _kubectl(self, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.tools.find("kubectl")), f"--kubeconfig={self.cluster.kubeconfig_path}", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def restart(self) -> None:
        """End kubelet, containerd and kube-proxy, as an upgrade of them does, and start them again."""
        self.cluster.processes.stop(*self._servers)
        for process in self._servers:
            self.cluster.processes.start(process)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not self._kubelet.running:  # it ends where containerd is not ready for it: systemd starts it again
                self.cluster.processes.start(self._kubelet)
            if time.monotonic() > deadline:
                raise ClusterError(f"the kubelet does not answer; its log ends:\n{self._kubelet.tail()}")
            time.sleep(0.2)
        self._await("the node is not ready", self._is_ready, self._kubelet)

    def _answers(self) -> bool:
        """Whether the kubelet itself does, and not only what the API server remembers of it."""
        try:
            self.cluster.client.request("GET", f"/api/v1/nodes/{NAME}/proxy/configz")
        except (ApiError, UnreachableError):
            return False
        return True

    def add(self, image: Image) -> str:
        """Put an image into the registry and give its digest."""
        digest = self.images.add(image, self.tools.find("busybox"))
        self.digests[image.reference] = digest
        return digest

    def _check(self) -> None:
        """Look for everything first, so that one message names all that is missing."""
        require(self.folder)
        commands = (
            "containerd",
            "containerd-shim-runc-v2",
            "runc",
            "nft",
            "busybox",
            "kubelet",
            "kube-proxy",
            "coredns",
        )
        for name in commands:
            self.tools.find(name)
        absent = [name for name in ("ptp", "host-local", "loopback") if not (CNI / name).exists()]
        if absent:
            raise NoNodeError(f"a real node needs {CNI}/{', '.join(absent)}: {self.tools.hint}")

    def _start(self) -> None:
        self.enclosure = Enclosure(self.folder)
        self._closing.callback(self.enclosure.close)
        self._fill_registry()
        volumes = self.folder / "volumes"
        volumes.mkdir()
        self.cluster = ControlPlane(self.tools, Options(nodes=(), enclosure=self.enclosure, volumes=volumes))
        self._closing.callback(self.cluster.close)
        self._files()
        images, containerd, *others = self._processes()
        self._servers = [containerd, *others]
        self.cluster.processes.start(images)
        self.cluster.processes.start(containerd)
        socket = Path(f"/proc/{self.enclosure.pid}/root") / "run/containerd/containerd.sock"
        self._await("containerd is not ready", socket.exists, containerd)
        for process in others:
            self.cluster.processes.start(process)
        rules = NetworkRules(self.cluster.client_for("admin"), self.enclosure)
        self._closing.callback(rules.close)
        self.rules = rules
        self._await("the node is not ready", self._is_ready, self._kubelet)
        for item in dns_objects(self.digests_of("coredns"), REGISTRY):
            self.cluster.client.apply(item)
        self._await("CoreDNS is not ready", self._has_dns, self._kubelet)

    def digests_of(self, repository: str) -> str:
        """Give the digest of the image of a repository of the registry itself."""
        return next(d for reference, d in self.digests.items() if reference.startswith(f"{REGISTRY}/{repository}:"))

    def _await(self, what: str, ready: Any, process: Process) -> None:
        self.cluster.processes.wait(what, ready, _START_SECONDS, process)

    def _fill_registry(self) -> None:
        self.images = ImageStore(self.folder / "registry", self.options.cache)
        coredns = Image(
            reference=f"{REGISTRY}/coredns:1",
            files={"/coredns": self.tools.find("coredns")},
            entrypoint=["/coredns"],
        )
        pause = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"
        for image in (Image(reference=_PAUSE, entrypoint=["/bin/sh", "-c", pause]), coredns, *self.options.images):
            self.add(image)
        if self.options.built is not None:
            adopted = self.images.adopt(self.options.built)
            self.digests |= {f"{REGISTRY}/{name}": digest for name, digest in adopted.items()}
        for reference, digest in self.options.aliases.items():
            self.images.tag(reference.partition("/")[2], digest)
            self.digests[reference] = digest

    def _processes(self) -> list[Process]:
        folder = self.folder
        port = REGISTRY.partition(":")[2]
        script: list[str | Path] = [sys.executable, "-I", registry.__file__, folder / "registry", port]
        containerd: list[str | Path] = [self.tools.find("containerd"), "--config", folder / "containerd.toml"]
        self._kubelet = self._process(
            "kubelet",
            [
                self.tools.find("kubelet"),
                f"--config={folder / 'kubelet.json'}",
                f"--kubeconfig={self.cluster.folder / KUBELET}.kubeconfig",
                f"--hostname-override={NAME}",
                f"--node-ip={self.enclosure.address}",
                f"--root-dir={folder / 'kubelet'}",
                f"--cert-dir={folder}",
            ],
        )
        proxy: list[str | Path] = [self.tools.find("kube-proxy"), f"--config={folder / 'proxy.json'}"]
        return [
            self._process("registry", script),
            self._process("containerd", containerd),
            self._kubelet,
            self._process("kube-proxy", proxy),
        ]

    def _process(self, name: str, words: Sequence[str | Path]) -> Process:
        return Process(name, self.enclosure.command(words), self.folder / f"{name}.log", {"GOGC": "50"})

    def _files(self) -> None:
        """Write the configuration of every process."""
        folder = self.folder
        (folder / "cni").mkdir()
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_cni()))
        (folder / "hosts" / "_default").mkdir(parents=True)
        (folder / "hosts" / "_default" / "hosts.toml").write_text(
            f'server = "http://{REGISTRY}"\n[host."http://{REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'
        )
        (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder, pause=_PAUSE, cni=CNI))
        (folder / "resolv.conf").write_text("")
        certificate, key = self.cluster.authority.issue("kubelet", [self.enclosure.address, NAME])
        (folder / "kubelet.json").write_text(json.dumps(self._kubelet_configuration(certificate, key)))
        (folder / "proxy.json").write_text(json.dumps(self._proxy_configuration()))

    def _kubelet_configuration(self, certificate: Path, key: Path) -> Object:
        """Source: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/."""
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.enclosure.address,
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.cluster.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.folder / "resolv.conf"),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "volumePluginDir": str(self.folder / "plugins"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.enclosure.cgroup}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "seccompDefault": True,
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        }

    def _proxy_configuration(self) -> Object:
        """Source: https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/."""
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": f"{self.cluster.folder / PROXY}.kubeconfig"},
            "hostnameOverride": NAME,
            "clusterCIDR": POD_NETWORK,
            "bindAddress": self.enclosure.address,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # The machine's own settings, which a node must leave alone.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _is_ready(self) -> bool:
        node = self.cluster.client.find("v1", "Node", NAME)
        tainted = node is not None and any("not-ready" in each["key"] for each in node["spec"].get("taints") or ())
        conditions = node["status"].get("conditions", []) if node else []
        return not tainted and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _has_dns(self) -> bool:
        found = self.cluster.client.find("apps/v1", "Deployment", "coredns", "kube-system")
        return found is not None and found.get("status", {}).get("readyReplicas", 0) == 1


def require_running(node: RealNode) -> None:
    """Raise ClusterError for a server of the node that ended by itself, or rules that could not be set."""
    node.cluster.processes.check()
    if node.rules.problems:
        raise ClusterError(f"network policies are not enforced: {'; '.join(sorted(node.rules.problems))}")


def _cni() -> Object:
    """Each pod has a link of its own to the node, so that what pods send each other passes the node's rules."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}]}


_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/hosts"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
"""`restrict_oom_score_adj`: without the capability SYS_RESOURCE, no sandbox could be started.

Source: https://github.com/containerd/containerd/blob/v1.6.20/docs/cri/config.md
"""
