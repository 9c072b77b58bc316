"""Programs that the operating system's packages bring: found, or installed without ever starting their services."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.base import paths
from tools import stamps
from tools.console import ToolError, run, say

SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
"""Looked through after PATH: daemons live in sbin, which is often not on a person's PATH."""

APART = Path("/usr/lib/postgresql")
"""Where Debian keeps Postgres, one folder for each version, off everybody's PATH."""

CNI = "/usr/lib/cni"
"""Where Debian keeps the plugins of container networks, likewise."""

JAVA_MAJOR = 17
"""The oldest Java that Spark 4 runs on."""

POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = (
    "#!/bin/sh\n# mlplatform's installer: packages may not start services; removed when it is done\nexit 101\n"
)


@dataclass(frozen=True)
class Program:
    """A program and the packages that bring it."""

    names: tuple[str, ...]
    """What the executable is called, by Debian first, by its own project second."""

    packages: tuple[str, ...]
    """Debian packages that have it; the first one that the system offers is taken."""

    units: tuple[str, ...] = ()
    """Services that the package would start at boot."""


PROGRAMS = (
    Program(("redis-server",), ("redis-server",), ("redis-server",)),
    Program(("prometheus",), ("prometheus",), ("prometheus",)),
    Program(("promtool",), ("prometheus",), ("prometheus",)),
    Program(("prometheus-alertmanager", "alertmanager"), ("prometheus-alertmanager",), ("prometheus-alertmanager",)),
    Program(("amtool",), ("prometheus-alertmanager",), ("prometheus-alertmanager",)),
    Program(("prometheus-pushgateway", "pushgateway"), ("prometheus-pushgateway",), ("prometheus-pushgateway",)),
    Program(("java",), ("openjdk-17-jre-headless", "openjdk-21-jre-headless")),
)

TEST_PROGRAMS = (
    Program(("chromium", "chromium-browser"), ("chromium",)),
    Program(("postgres",), ("postgresql",), ("postgresql",)),
)
"""What only tests use: a browser that looks at pages, the database of clusters."""

NODE_PROGRAMS = (
    Program(("containerd",), ("containerd",), ("containerd",)),
    Program(("runc",), ("runc",)),
    Program(("host-local",), ("containernetworking-plugins",)),
    Program(("nft",), ("nftables",), ("nftables",)),
    Program(("busybox",), ("busybox-static",)),
    Program(("redis-server",), ("redis-server",), ("redis-server",)),
    Program(("postgres",), ("postgresql",), ("postgresql",)),
)
"""What a real node of a test runs, and what its stand-in images are made of."""

IMAGE_PROGRAMS = (Program(("buildah",), ("buildah",)), Program(("debootstrap",), ("debootstrap",)))
"""What builds the workload's images for a real node, and the base that stands in for the official ones."""

BY_HAND = (
    "install Redis, Prometheus (with promtool), Alertmanager (with amtool), Pushgateway (all three from this system's "
    f"packages or https://prometheus.io/download/) and a Java {JAVA_MAJOR} or newer runtime, and put them on PATH"
)


def find(program: Program) -> Path | None:
    """The executable of a program; a Java that is too old does not count."""
    search = os.pathsep.join([*os.get_exec_path(), *SEARCHED, CNI, *map(str, APART.glob("*/bin"))])
    for name in program.names:
        found = shutil.which(name, path=search)
        if found is not None and (name != "java" or java_major(Path(found)) >= JAVA_MAJOR):
            return Path(found)
    return None


def java_major(java: Path) -> int:
    """Major version of a Java, 0 when it cannot say; remembered, because starting a virtual machine takes a while."""
    status = java.stat()
    key = f"{java.resolve()} {status.st_size} {status.st_mtime_ns}"
    file = paths.cache_dir() / "java.json"
    known = stamps.read(file)
    if key not in known:
        answer = subprocess.run(
            [java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        found = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr + answer.stdout)
        major = int(found[1]) if found else 0
        known[key] = int(found[2] or 0) if found and major == 1 else major
        stamps.write(file, known)
    return int(known[key])


def missing(programs: Sequence[Program] = PROGRAMS) -> list[Program]:
    """Programs that are not there."""
    return [program for program in programs if find(program) is None]


def are_there(programs: Sequence[Program] = PROGRAMS) -> bool:
    """Whether nothing is missing."""
    return not missing(programs)


def install(programs: Sequence[Program] = PROGRAMS) -> None:
    """Install what is missing.

    Raises: ToolError naming everything that is missing and the command that brings it.
    """
    absent = missing(programs)
    names = ", ".join(program.names[0] for program in absent)
    apt = shutil.which("apt-get")
    if apt is None:
        raise ToolError(f"missing: {names}; {BY_HAND}")
    packages = sorted({_offered(program) for program in absent})
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    prefix = _as_root()
    if prefix is None:
        raise ToolError(f"missing: {names}; no right to install packages here, run: sudo {command}")
    say(f"installing packages of the system: {' '.join(packages)}")
    way_out = f"missing: {names}; run: sudo apt-get update && sudo {command}"
    with _no_service_starts(prefix):
        _apt_install(prefix, packages, way_out)
    _disable(prefix, sorted({unit for program in absent for unit in program.units}))
    still = [program.names[0] for program in missing(programs)]
    if still:
        raise ToolError(f"missing although {', '.join(packages)} is installed: {', '.join(still)}; {BY_HAND}")


def _offered(program: Program) -> str:
    for package in program.packages:
        if subprocess.run(["apt-cache", "show", package], capture_output=True, check=False).returncode == 0:
            return package
    return program.packages[0]


def _as_root() -> list[str] | None:
    """What to put before a command to run it as root; None where that is not allowed without asking."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _apt_install(prefix: Sequence[str], packages: Sequence[str], way_out: str) -> None:
    """Install packages; the package lists are renewed only when they do not serve."""
    quiet = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    wanted = [*quiet, "install", "--no-install-recommends", *packages]
    try:
        run(wanted, way_out)
    except ToolError:
        run([*quiet, "update"], way_out)
        run(wanted, way_out)


@contextlib.contextmanager
def _no_service_starts(prefix: Sequence[str]) -> Iterator[None]:
    """Tell packages not to start services, unless the system tells them something already."""
    left_over = POLICY.exists() and POLICY.read_text() == POLICY_TEXT  # by an installer that was killed
    if POLICY.exists() and not left_over:
        yield
        return
    command = ["sh", "-c", 'printf %s "$1" > "$2" && chmod 755 "$2"', "sh", POLICY_TEXT, str(POLICY)]
    subprocess.run([*prefix, *command], check=True)
    try:
        yield
    finally:
        subprocess.run([*prefix, "rm", "-f", str(POLICY)], check=True)


def _disable(prefix: Sequence[str], units: Sequence[str]) -> None:
    """Keep the services of newly installed packages from starting at boot."""
    if units and Path("/run/systemd/system").is_dir():
        subprocess.run([*prefix, "systemctl", "--quiet", "disable", "--now", *units], check=False)
