"""How much memory each component's pods used at most, as the kubelet measures it, beside their limits."""

import contextlib
import threading
from dataclasses import dataclass, field

from pytest_pulumi_kubernetes.client import ApiError, Client, UnreachableError
from pytest_pulumi_kubernetes.real_node import NAME

from tests.node.workload.program import SPACES

PAUSE_SECONDS = 3.0
MIB = 1024**2
UNITS = {"Mi": MIB, "Gi": 1024 * MIB}


@dataclass
class Sizes:
    """Looks at the node from `start` to `close`."""

    client: Client

    peaks: dict[str, float] = field(default_factory=dict)
    """Component -> MiB of its working set, which is what the kernel kills it for."""

    limits: dict[str, float] = field(default_factory=dict)
    """Component -> MiB of its limit."""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> "Sizes":
        """Begin to look."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def table(self) -> str:
        """One line for each component, the largest first."""
        lines = [
            f"{name:<45} {self.peaks[name]:6.0f} MiB of {self.limits[name]:6.0f}"
            for name in sorted(self.peaks, key=lambda each: -self.peaks[each])
        ]
        return "\n".join(lines)

    def _watch(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            with contextlib.suppress(ApiError, UnreachableError, KeyError):  # pods come and go
                self._look()

    def _look(self) -> None:
        components = {}
        for space in SPACES:
            for pod in self.client.list("v1", "Pod", space):
                name = pod["metadata"].get("labels", {}).get("app.kubernetes.io/name")
                (container,) = pod["spec"]["containers"]
                limit = container["resources"].get("limits", {}).get("memory")
                if name and limit:
                    components[space, pod["metadata"]["name"]] = name, int(limit[:-2]) * UNITS[limit[-2:]] / MIB
        for pod in self.client.request("GET", f"/api/v1/nodes/{NAME}/proxy/stats/summary")["pods"]:
            known = components.get((pod["podRef"]["namespace"], pod["podRef"]["name"]))
            used = sum(each["memory"]["workingSetBytes"] for each in pod.get("containers", ()) if "memory" in each)
            if known is not None:
                name, limit = known
                self.peaks[name] = max(self.peaks.get(name, 0.0), used / MIB)
                self.limits[name] = limit
