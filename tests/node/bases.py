"""Stand-ins for the base images of the Containerfile, where the official ones cannot be pulled.

`python` is a minimal Debian 12 with the Python that runs the tests, at the paths of the official image; `java` holds
this machine's Java 17 at the paths of Temurin's. Both are in a store of buildah. What the official images contain is
not proved by them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pulumi_kubernetes import MissingToolError

PYTHON, JAVA = "localhost/stand-in/python:3.11", "localhost/stand-in/java:17"
DEBIAN = "bookworm"
PACKAGES = (
    *("ca-certificates", "netbase", "tzdata"),
    *(
        "libbz2-1.0",
        "libexpat1",
        "libffi8",
        "liblzma5",
        "libreadline8",
        "libsqlite3-0",
        "libssl3",
        "libuuid1",
        "zlib1g",
    ),
)
"""What the official image `python:3.11-slim-bookworm` has beside the interpreter and its libraries."""

JAVA_HOME = Path("/usr/lib/jvm/java-17-openjdk-amd64")
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__", "site-packages", "test", "idlelib", "tkinter", "*.a", "src.zip", "docs"
)
_FILE = "FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n"


@dataclass(frozen=True)
class Store:
    """Images of buildah in a folder of their own, deleted with it."""

    folder: Path

    def environment(self) -> Mapping[str, str]:
        """By which buildah, and what calls it, uses this store and no daemon's."""
        configuration = self.folder / "storage.conf"
        if not configuration.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            places = f'graphroot = "{self.folder}/graph"\nrunroot = "{self.folder}/run"\n'
            configuration.write_text(f'[storage]\ndriver = "overlay"\n{places}')
        return {**os.environ, "CONTAINERS_STORAGE_CONF": str(configuration), "BUILDAH_ISOLATION": "chroot"}

    def make_bases(self) -> None:
        """Make both images where they are missing.

        Raises: MissingToolError for a missing command, Python or Java.
        """
        require()
        for name, fill in ((PYTHON, _fill_python), (JAVA, _fill_java)):
            if self._run("buildah", "images", "--quiet", name, check=False).stdout:
                continue
            root = self.folder / "root"
            shutil.rmtree(root, ignore_errors=True)
            fill(root)
            file = self.folder / "Containerfile"
            file.write_text(_FILE)
            self._run("buildah", "build", "--file", str(file), "--tag", name, str(root))
            shutil.rmtree(root)

    def _run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(words, env=self.environment(), capture_output=True, check=check)


def require() -> None:
    """Look for everything first.

    Raises: MissingToolError.
    """
    absent = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if absent:
        raise MissingToolError(f"images need {', '.join(absent)}: run `python3 -m tools.install node-images`")
    if sys.version_info[:2] != (3, 11):
        raise MissingToolError(f"the stand-in base needs a Python 3.11 to copy, this is {sys.version.split()[0]}")
    if not JAVA_HOME.is_dir():
        raise MissingToolError(f"there is no {JAVA_HOME}: install openjdk-17-jre-headless")


def _fill_python(root: Path) -> None:
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, str(root)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    shutil.rmtree(root / "var/cache/apt/archives")
    authorities = "etc/ssl/certs/ca-certificates.crt"  # this machine may trust a mirror of its own
    shutil.copyfile(Path("/") / authorities, root / authorities)
    (root / "etc/pip.conf").write_text(f"[global]\ncert = /{authorities}\n")
    home, library = Path(sys.base_prefix), sysconfig.get_config_var("INSTSONAME")
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(home / "bin/python3.11", root / "usr/local/bin")
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("python3.11")
    if library and library.endswith(".so.1.0"):
        shutil.copy2(home / "lib" / library, root / "usr/local/lib")
    shutil.copytree(home / "lib/python3.11", root / "usr/local/lib/python3.11", ignore=_NOT_COPIED, dirs_exist_ok=True)
    for command in (["ldconfig"], ["/usr/local/bin/python", "-m", "ensurepip", "--default-pip"]):
        _within(root, command)


def _fill_java(root: Path) -> None:
    shutil.copytree(JAVA_HOME, root / "opt/java/openjdk", ignore=_NOT_COPIED, ignore_dangling_symlinks=True)


def _within(root: Path, command: Sequence[str]) -> None:
    subprocess.run(["chroot", str(root), *command], stdout=subprocess.DEVNULL, check=True)
