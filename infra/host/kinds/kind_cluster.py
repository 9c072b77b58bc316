"""A Kubernetes cluster in Docker, by the program `kind`."""

import os
import subprocess

from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import KindClusterInputs

READY_SECONDS = 180
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
        """Every change makes another cluster."""
        del host, request
        return outputs

    def delete(self, host: Host, request: Request[KindClusterInputs], outputs: Outputs) -> None:
        """Remove it with everything in it."""
        del host, outputs
        if request.inputs.cluster_name in _clusters():
            _kind("delete", "cluster", "--name", request.inputs.cluster_name, "--kubeconfig", os.devnull)


def _clusters() -> list[str]:
    return _kind("get", "clusters").split()


def _kind(*arguments: str) -> str:
    """What `kind` prints; it never touches the kubeconfig of the person at the machine."""
    command = ["kind", *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostError(f"cannot run `kind`: {INSTALL}") from error
    if done.returncode != 0:
        raise HostError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()}; {INSTALL}")
    return done.stdout
