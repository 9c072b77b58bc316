"""Namespaces of a test's own (mounts, network, processes, IPC, host name), in which a real node runs.

Nothing outside them changes: interfaces, routes, firewall rules and mounts vanish with the namespaces, which end with
one process. Kernel settings that a kubelet sets for the whole machine are covered by files with the expected values.
Cgroups are the exception: they belong to the machine, so the node has one of its own in each hierarchy, which `close`
removes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_pulumi_kubernetes.processes import ClusterError
from pytest_pulumi_kubernetes.tools import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ADDRESS: Final = "10.88.0.1"
"""Address of the node in its own network, which nothing outside reaches."""

CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
"""Hierarchies of cgroup v1 that kubelet and runc use."""

NAMED = "name=systemd"
"""A hierarchy without a controller, which a kubelet uses where the machine has it."""

DISK_GIB = 6
"""Free disk space that a node with its images needs."""

_COMMANDS = ("unshare", "nsenter", "setpriv", "ip", "mount")
_PREFIX = "pytest-node-"
_START_SECONDS = 60.0
_REMOVE_SECONDS = 20.0

_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet would set for the whole machine.

Source: https://github.com/kubernetes/kubernetes/blob/v1.36.2/pkg/kubelet/cm/container_manager_linux.go
"""

_INIT = r"""
set -e
address=$1; shift
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for controller in "$@"; do
  mkdir "/sys/fs/cgroup/${controller##*=}"
  mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/${controller##*=}"
done
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p /run/netns /run/lock /run/tunables
ip link set lo up
ip link add node0 type veth peer name node1
ip address add "$address/24" dev node0
ip link set node0 up
ip link set node1 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
cover() {
  file=/run/tunables/$(basename "$1")
  printf '%s\n' "$2" > "$file"
  mount --bind "$file" "/proc/sys/$1"
}
COVERS
nft 'add table inet probe { chain forward { type filter hook forward priority 0; }; }; delete table inet probe'
echo ready
exec <&- >&- 2>&-
trap 'exit 0' TERM
while :; do sleep 3600 & wait $!; done
"""


class NoNodeError(MissingToolError):
    """This machine cannot run a real node; the message names what is missing and how to get it."""


def require(folder: Path) -> None:
    """Check rights, cgroups, commands and disk space.

    Raises: NoNodeError.
    """
    if os.geteuid() != 0:
        raise NoNodeError("a real node needs root, for namespaces and mounts: run this as root")
    if absent := [name for name in _COMMANDS if shutil.which(name) is None]:
        raise NoNodeError(f"a real node needs the commands {', '.join(absent)}: install util-linux and iproute2")
    known = {line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines() if line.split()[3] == "1"}
    if absent := [name for name in CONTROLLERS if name not in known or _hierarchy(name) is None]:
        raise NoNodeError(
            f"a real node needs cgroup v1 with {', '.join(absent)}: this machine has them disabled, or has cgroup v2 "
            "alone, for which the node is not written; boot with systemd.unified_cgroup_hierarchy=0"
        )
    if "overlay" not in Path("/proc/filesystems").read_text():
        raise NoNodeError("a real node needs the file system overlay: this kernel does not have it")
    free = shutil.disk_usage(folder).free / 1024**3
    if free < DISK_GIB:
        raise NoNodeError(
            f"a real node needs {DISK_GIB} GiB of free disk below {folder}, there are {free:.1f}: free some"
        )


class Enclosure:
    """Namespaces that exist once the constructor returns; `close` ends every process in them.

    Raises: NoNodeError when the machine does not allow them.
    """

    def __init__(self, folder: Path) -> None:
        require(folder)
        self.address = ADDRESS
        self.cgroup = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        """Name of the node's cgroup in every hierarchy."""
        _remove_left_over()
        self._folder = folder
        covers = "\n".join(f"cover {key} {value}" for key, value in _TUNABLES.items())
        separate = ("--mount", "--propagation", "private", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
        init = ["sh", "-c", _INIT.replace("COVERS", covers), "init", ADDRESS, *_hierarchies()]
        self._log = folder / "init.log"
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *separate, "--", *init],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.pid = self._await_ready()
            self._make_cgroups()
        except BaseException:
            self.close()
            raise

    def command(self, words: Sequence[str | Path]) -> list[str | Path]:
        """Give a command that runs inside, and that ends when the process that runs it does."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--ipc", "--uts", "--"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", "--", *words]

    def run(self, *words: str | Path, text: str | None = None) -> str:
        """Run a command inside, with a text as input, and give what it printed.

        Raises: ClusterError with what it complained about.
        """
        done = subprocess.run(self.command(words), input=text or "", capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{' '.join(map(str, words[:3]))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """End every process inside, and remove the node's cgroups."""
        self._popen.kill()
        self._popen.wait()
        for path in self._cgroups():
            _remove(path)

    def _await_ready(self) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            said = self._log.read_text(errors="replace")
            if said.endswith("ready\n"):
                children = Path(f"/proc/{self._popen.pid}/task/{self._popen.pid}/children").read_text().split()
                return int(children[0])
            if self._popen.poll() is not None:
                break
            time.sleep(0.02)
        said = self._log.read_text().strip() or "no answer"
        raise NoNodeError(f"a real node needs namespaces, veth, cgroup v1 mounts and nftables: {said}")

    def _cgroups(self) -> Iterator[Path]:
        for options in _hierarchies():
            hierarchy = _hierarchy(options.removeprefix("none,"))
            if hierarchy is not None:
                yield hierarchy / self.cgroup

    def _make_cgroups(self) -> None:
        """Make the node's cgroup in every hierarchy; a cpuset takes processes only when it has cores and memory."""
        for path in self._cgroups():
            path.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (path / name).exists():
                    (path / name).write_text((path.parent / name).read_text())


def _hierarchies() -> list[str]:
    """Options by which each hierarchy of the node is mounted."""
    return [*CONTROLLERS, *([f"none,{NAMED}"] if _hierarchy(NAMED) else [])]


def _hierarchy(controller: str) -> Path | None:
    """Where this machine has the hierarchy of a controller mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(","):
            return Path(where)
    return None


def _remove_left_over() -> None:
    """Remove the empty cgroups of nodes whose test was killed; their names hold its process id."""
    for options in _hierarchies():
        hierarchy = _hierarchy(options.removeprefix("none,"))
        for path in hierarchy.glob(f"{_PREFIX}*") if hierarchy else ():
            owner = path.name.removeprefix(_PREFIX).partition("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a cgroup and those below it, once their processes have ended.

    Raises: ClusterError naming the cgroup that cannot be removed.
    """
    deadline = time.monotonic() + _REMOVE_SECONDS
    while path.exists():
        for below in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
            with contextlib.suppress(OSError):  # busy: its processes are ending
                below.rmdir()
        try:
            path.rmdir()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"the cgroup {path} cannot be removed: {error.strerror}") from error
            time.sleep(0.05)
