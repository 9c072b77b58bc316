"""A Kubernetes cluster in Docker, by the program `kind`, with a registry on loopback that its nodes pull from.

Source: https://kind.sigs.k8s.io/docs/user/local-registry/
"""

import os
import subprocess

from infra.base import pins
from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import KindClusterInputs

READY_SECONDS = 180
REGISTRY, REGISTRY_PORT = "kind-registry", 5000
"""The registry's container, as kind's guide names it, and its port inside of kind's network."""

NETWORK, NAMES_IN_NETWORK = "kind", "{{range .Containers}}{{.Name}} {{end}}"
INSTALL = "install kind (https://kind.sigs.k8s.io) and Docker, or name an `existing-cluster` in the stack file"


class KindClusterKind:
    """Realizes `Kind` by one cluster among this machine's; one of the same name that is there already is adopted."""

    model = KindClusterInputs
    replace_on = frozenset({"cluster_name", "node_image", "configuration"})

    def create(self, host: Host, request: Request[KindClusterInputs]) -> Outputs:
        """Make it and wait until its nodes are ready; what a failed creation left is removed."""
        inputs, configuration = request.inputs, host.root / f"{request.name}.json"
        if inputs.cluster_name not in _clusters():
            configuration.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            configuration.write_text(inputs.configuration, encoding="utf-8")
            image = ["--image", inputs.node_image] if inputs.node_image else []
            command = ["create", "cluster", "--name", inputs.cluster_name, "--config", str(configuration), *image]
            try:
                _kind(*command, "--wait", f"{READY_SECONDS}s", "--kubeconfig", os.devnull)
            except HostError:
                _kind("delete", "cluster", "--name", inputs.cluster_name, "--kubeconfig", os.devnull)
                raise
            finally:
                configuration.unlink()
        _connect_registry(inputs)
        return {"kubeconfig": _kind("get", "kubeconfig", "--name", inputs.cluster_name)}

    def read(self, host: Host, request: Request[KindClusterInputs], outputs: Outputs) -> Outputs | None:
        """How it is reached now; None when this machine has no cluster of its name."""
        del host, outputs
        if request.inputs.cluster_name not in _clusters():
            return None
        return {"kubeconfig": _kind("get", "kubeconfig", "--name", request.inputs.cluster_name)}

    def drift(self, host: Host, inputs: KindClusterInputs, outputs: Outputs) -> list[str]:
        """A cluster either is or is not."""
        del host, inputs, outputs
        return []

    def update(self, host: Host, request: Request[KindClusterInputs], outputs: Outputs) -> Outputs:
        """Connect the registry; every other change makes another cluster."""
        del host
        _connect_registry(request.inputs)
        return outputs

    def delete(self, host: Host, request: Request[KindClusterInputs], outputs: Outputs) -> None:
        """Remove it with everything in it; the registry stays, with the images of other clusters."""
        del host, outputs
        if request.inputs.cluster_name in _clusters():
            _kind("delete", "cluster", "--name", request.inputs.cluster_name, "--kubeconfig", os.devnull)


def _connect_registry(inputs: KindClusterInputs) -> None:
    """Let nodes pull `127.0.0.1:<port>/…` from the registry's container, which is started where there is none."""
    if inputs.registry_port is None:
        return
    if REGISTRY not in _run("docker", "ps", "--all", "--format", "{{.Names}}").split():
        published = f"127.0.0.1:{inputs.registry_port}:{REGISTRY_PORT}"
        _run("docker", "run", "-d", "--restart=always", "-p", published, "--name", REGISTRY, pins.REGISTRY_IMAGE)
    if REGISTRY not in _run("docker", "network", "inspect", NETWORK, "--format", NAMES_IN_NETWORK).split():
        _run("docker", "network", "connect", NETWORK, REGISTRY)
    folder = f"/etc/containerd/certs.d/127.0.0.1:{inputs.registry_port}"
    file = f'[host."http://{REGISTRY}:{REGISTRY_PORT}"]\n'
    for node in _kind("get", "nodes", "--name", inputs.cluster_name).split():
        _run("docker", "exec", node, "mkdir", "-p", folder)
        _run("docker", "exec", "-i", node, "cp", "/dev/stdin", f"{folder}/hosts.toml", given=file)


def _clusters() -> list[str]:
    return _kind("get", "clusters").split()


def _kind(*arguments: str) -> str:
    """What `kind` prints; it never touches the kubeconfig of the person at the machine."""
    return _run("kind", *arguments)


def _run(*command: str, given: str = "") -> str:
    """What a program prints; raises HostError."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostError(f"cannot run `{command[0]}`: {INSTALL}") from error
    if done.returncode != 0:
        raise HostError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()}; {INSTALL}")
    return done.stdout
