"""Container images made from programs of this machine, for a registry that a test's node pulls from.

An image has a base with busybox and, for each program, the file with the shared libraries that it loads. Images whose
names are those of others' images are stand-ins: what the official ones contain is not proved by them. Layers are cached
by the content of their files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pulumi_kubernetes.registry import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_CHUNK = 1 << 20
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Content = Path | str | bytes
"""A file or folder of this machine, or a text; executable where the file is, texts always."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image."""

    reference: str
    """`registry/repository:tag`, by which pods name it."""

    stands_for: str = ""
    """What is really in it, where it has the name of somebody else's image, e.g. `Debian's Redis 7.0.15`."""

    files: Mapping[str, Content] = field(default_factory=dict)
    """Absolute path in the image -> what is there; executables bring the libraries that they load."""

    entrypoint: Sequence[str] = ()

    environment: Mapping[str, str] = field(default_factory=dict)

    users: Mapping[str, int] = field(default_factory=dict)
    """Names of users by number, beside `root`."""

    user: str = "65532"

    folder: str = "/"
    """Working directory."""

    @property
    def name(self) -> str:
        """Repository and tag, without the registry."""
        return self.reference.partition("/")[2]


class ImageStore:
    """A folder that `registry.py` serves."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self._cache = folder, cache
        (folder / "blobs").mkdir(parents=True)
        cache.mkdir(parents=True, exist_ok=True)

    def add(self, image: Image, busybox: Path) -> str:
        """Build an image and give its digest, `sha256:…`."""
        users = {"root": 0, "nonroot": 65532, **image.users}
        passwd = "".join(f"{name}:x:{number}:{number}::/tmp:/bin/sh\n" for name, number in users.items())
        groups = "".join(f"{name}:x:{number}:\n" for name, number in users.items())
        base: dict[str, Content] = {"/bin/busybox": busybox, "/etc/passwd": passwd, "/etc/group": groups}
        layers = [self._layer(base, applets=busybox)]
        if image.files:
            layers.append(self._layer(image.files))
        variables = {"PATH": PATH, **image.environment}
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": [f"{key}={value}" for key, value in variables.items()],
                "Entrypoint": list(image.entrypoint) or None,
                "User": image.user,
                "WorkingDir": image.folder,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._json(config, _CONFIG),
            "layers": layers,
        }
        digest = str(self._json(manifest, MANIFEST)["digest"])
        self.tag(image.name, digest)
        return digest

    def adopt(self, folder: Path) -> dict[str, str]:
        """Serve what the folder of another registry holds; gives `repository:tag` -> digest."""
        for blob in (folder / "blobs").iterdir():
            place = self.folder / "blobs" / blob.name
            if not place.exists():
                place.symlink_to(blob)
        found = {}
        for tag in (path for path in (folder / "tags").rglob("*") if path.is_file()):
            repository = tag.parent.relative_to(folder / "tags")
            found[f"{repository}:{tag.name}"] = tag.read_text()
            self.tag(f"{repository}:{tag.name}", tag.read_text())
        return found

    def tag(self, name: str, digest: str) -> None:
        """Give the image of a digest a name, `repository:tag`."""
        repository, _, tag = name.rpartition(":")
        path = self.folder / "tags" / repository / tag
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(digest)

    def _json(self, value: Any, kind: str) -> dict[str, Any]:
        data = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def _layer(self, files: Mapping[str, Content], applets: Path | None = None) -> dict[str, Any]:
        wanted = dict(_with_libraries(files))
        key = hashlib.sha256(json.dumps([_identity(wanted), applets is not None]).encode()).hexdigest()[:24]
        cached = self._cache / f"{key}.tar"
        if not cached.exists():
            temporary = self._cache / f".{key}.{os.getpid()}"
            with tarfile.open(temporary, "w") as archive:
                _fill(archive, wanted, _applets(applets) if applets else [])
            temporary.replace(cached)
        digest = _sha256(cached)
        blob = self.folder / "blobs" / digest
        if not blob.exists():
            blob.symlink_to(cached)
        return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": cached.stat().st_size}


def _fill(archive: tarfile.TarFile, files: Mapping[str, Content], links: Sequence[str]) -> None:
    """Write a layer that is the same for the same files."""
    if links:
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(temporary)
    for name in links:
        link = tarfile.TarInfo(f"bin/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        archive.addfile(link)
    for name, content in sorted(files.items()):
        data = content.read_bytes() if isinstance(content, Path) else _bytes(content)
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.size, entry.mode = len(data), _mode(content)
        archive.addfile(entry, BytesIO(data))


def _mode(content: Content) -> int:
    executable = os.access(content, os.X_OK) if isinstance(content, Path) else True
    return 0o755 if executable else 0o644


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _with_libraries(files: Mapping[str, Content]) -> Iterator[tuple[str, Content]]:
    """Every file of folders that are given, and the libraries that executables load, at their own paths."""
    libraries: set[Path] = set()
    for name, content in files.items():
        if isinstance(content, Path) and content.is_dir():
            for file in sorted(p for p in content.rglob("*") if p.is_file()):
                yield f"{name}/{file.relative_to(content)}", file
                if os.access(file, os.X_OK):
                    libraries |= _libraries(file)
        else:
            yield name, content
            if isinstance(content, Path) and os.access(content, os.X_OK):
                libraries |= _libraries(content)
    for library in sorted(libraries):
        yield str(library), library


def _libraries(executable: Path) -> set[Path]:
    """Shared libraries and loader of an executable, none for a static one."""
    if shutil.which("ldd") is None:
        return set()
    answer = subprocess.run(["ldd", executable], capture_output=True, text=True, check=False)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", answer.stdout)}


def _applets(busybox: Path) -> list[str]:
    answer = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    return sorted(set(answer.stdout.split()) - {"busybox"})


def _identity(files: Mapping[str, Content]) -> list[list[Any]]:
    """What a layer's content depends on: of files of this machine path, size and time, of texts all."""
    found: list[list[Any]] = []
    for name, content in sorted(files.items()):
        if isinstance(content, Path):
            status = content.stat()
            found.append([name, str(content), status.st_size, status.st_mtime_ns, status.st_mode])
        else:
            found.append([name, hashlib.sha256(_bytes(content)).hexdigest()])
    return found


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            total.update(data)
    return total.hexdigest()
