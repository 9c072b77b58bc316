"""The artifact store: one class over pyarrow's filesystems, for `s3://` and `file://` alike.

Trees are copied under a prefix of their own and named by a small pointer object that is written last, so a crash
never shows half a run. Leaves out versioning, locking and deletion of anything but whole prefixes.
"""

import json
import os
import shutil
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlparse

from pyarrow import fs
from pydantic import BaseModel, ValidationError

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.identifiers import IdentifierError, object_path

_PIECE_BYTES = 1 << 20
_Model = TypeVar("_Model", bound=BaseModel)


class Store:
    """The workload's part of the artifact store; paths are relative to `<uri>/<workload>/` and cannot leave it."""

    def __init__(self, filesystem: fs.FileSystem, root: str, uri: str) -> None:
        self._fs = filesystem
        self._root = root
        self.uri = uri
        """`<ARTIFACT_STORE_URI>/<workload>`, for people and records."""

    @classmethod
    def open(cls, environment: Environment) -> Self:
        """Client for `ARTIFACT_STORE_URI`; raises WorkloadError when the URI has another scheme."""
        uri = environment.need("artifact_store_uri").rstrip("/")
        parsed = urlparse(uri)
        if parsed.scheme == "file" and not parsed.netloc and parsed.path:
            filesystem, root = fs.LocalFileSystem(), parsed.path
        elif parsed.scheme == "s3" and parsed.netloc:
            filesystem, root = _s3(environment.aws_endpoint_url_s3), parsed.netloc + parsed.path
        else:
            raise WorkloadError(f"ARTIFACT_STORE_URI={uri} must be s3://bucket[/prefix] or file:///absolute/path")
        name = environment.definition.name
        return cls(filesystem, f"{root}/{name}", f"{uri}/{name}")

    def upload_tree(self, source: Path, prefix: str) -> None:
        """Copy the files below a local folder under a prefix that no reader knows yet."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                self.upload_file(file, f"{prefix}/{file.relative_to(source).as_posix()}")

    def upload_file(self, source: Path, path: str) -> None:
        """Copy one local file."""
        full = self._path(path)
        with _named(self.uri):
            if isinstance(self._fs, fs.LocalFileSystem):  # S3 has no folders, and markers of some are only in the way
                Path(full).parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as content, self._fs.open_output_stream(full) as stream:
                shutil.copyfileobj(content, stream, _PIECE_BYTES)

    def download_tree(self, prefix: str, target: Path) -> None:
        """Copy a prefix to a local folder; the folder appears whole or not at all.

        Raises IdentifierError, and leaves the folder as it was, when an object's name leads out of the prefix.
        """
        root = self._path(prefix)
        partial = _partial(target)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            with _named(self.uri):
                for info in self._fs.get_file_info(fs.FileSelector(root, recursive=True)):
                    if info.type is fs.FileType.File:
                        file = partial / object_path(info.path.removeprefix(f"{root}/"), "object name")
                        file.parent.mkdir(parents=True, exist_ok=True)
                        with self._fs.open_input_stream(info.path) as content, file.open("wb") as copy:
                            shutil.copyfileobj(content, copy, _PIECE_BYTES)
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def write(self, path: str, content: bytes) -> None:
        """Write one object; a reader sees the old or the new content, never a part."""
        full = self._path(path)
        with _named(self.uri):
            if isinstance(self._fs, fs.LocalFileSystem):
                target = Path(full)
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = _partial(target)
                partial.write_bytes(content)
                partial.replace(target)
            else:
                with self._fs.open_output_stream(full) as stream:
                    stream.write(content)

    def read(self, path: str) -> bytes | None:
        """Content of one object, None when there is none."""
        with _named(self.uri):
            if self._fs.get_file_info(self._path(path)).type != fs.FileType.File:
                return None
            with self._fs.open_input_stream(self._path(path)) as stream:
                return bytes(stream.read())

    def write_json(self, path: str, value: Mapping[str, Any]) -> None:
        """Write a mapping as JSON with sorted keys."""
        self.write(path, json.dumps(value, indent=1, sort_keys=True).encode())

    def read_json(self, path: str) -> dict[str, Any] | None:
        """Mapping stored by `write_json`, None when there is none."""
        content = self.read(path)
        return None if content is None else dict(json.loads(content))

    def read_model(self, path: str, kind: type[_Model]) -> _Model | None:
        """Mapping stored by `write_json` as a model, None when there is none; raises DataError when it is not one."""
        content = self.read(path)
        if content is None:
            return None
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "content"
            raise DataError(f"{self.uri}/{path} is not what this workload wrote: {where}: {first['msg']}") from error

    def names(self, prefix: str) -> list[str]:
        """Names directly below a prefix (empty: the root), sorted; empty when there is none."""
        with _named(self.uri):
            selector = fs.FileSelector(self._path(prefix) if prefix else self._root, allow_not_found=True)
            return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def names_by_age(self, prefix: str) -> list[str]:
        """Names of the folders directly below a prefix, the one with the newest object first."""
        root, newest = self._path(prefix), dict[str, int]()
        with _named(self.uri):
            for info in self._fs.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True)):
                name, _, below = info.path.removeprefix(f"{root}/").partition("/")
                if info.type is fs.FileType.File and below:
                    newest[name] = max(newest.get(name, 0), info.mtime_ns or 0)
        return sorted(newest, key=lambda name: (newest[name], name), reverse=True)

    def paths(self, prefix: str, since: datetime | None = None) -> list[str]:
        """Paths of every object below a prefix, at any depth, sorted; `since`: only those written from then on."""
        root = self._path(prefix)
        with _named(self.uri):
            found = self._fs.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        files = [info for info in found if info.type is fs.FileType.File]
        if since is not None:
            oldest = int(since.timestamp() * 1e9)
            files = [info for info in files if info.mtime_ns is None or info.mtime_ns >= oldest]
        return sorted(f"{prefix}/{info.path.removeprefix(f'{root}/')}" for info in files)

    def remove(self, path: str) -> None:
        """Delete one object; none is fine."""
        full = self._path(path)
        with _named(self.uri):
            if self._fs.get_file_info(full).type is fs.FileType.File:
                self._fs.delete_file(full)

    def remove_tree(self, prefix: str) -> None:
        """Delete everything below a prefix."""
        with _named(self.uri):
            self._fs.delete_dir(self._path(prefix))

    def dataset(self, prefix: str) -> tuple[str, fs.FileSystem]:
        """Path and filesystem for pyarrow's readers and writers."""
        return self._path(prefix), self._fs

    def _path(self, path: str) -> str:
        """Full path of an object below the root; raises IdentifierError for a path that could leave it."""
        full = f"{self._root}/{object_path(path)}"
        if isinstance(self._fs, fs.LocalFileSystem) and not _is_below(full, self._root):
            raise IdentifierError(f"object path {path!a} is refused; allowed: no link that leads out of {self._root}")
        return full


def fetch(environment: Environment, uri: str, target: Path) -> None:
    """Copy one object `s3://bucket/key` to a local file; raises WorkloadError that names it."""
    with _named(uri):
        fs.copy_files(uri.removeprefix("s3://"), str(target), source_filesystem=_s3(environment.aws_endpoint_url_s3))


def _partial(target: Path) -> Path:
    """Where this thread writes what will take the place of `target`."""
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")


def _is_below(path: str, root: str) -> bool:
    """Whether a path is in a folder once every link on the way is followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


class _named:  # noqa: N801  used as a context, like contextlib's own
    """Turns a filesystem's error into one line that names the store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise WorkloadError(f"artifact store {self._uri}: {str(error).splitlines()[0]}") from error


def _s3(endpoint: str) -> fs.S3FileSystem:
    """Client with the SDK's own credential chain; an endpoint other than Amazon's is taken from its URL."""
    if not endpoint:
        return fs.S3FileSystem()
    parsed = urlparse(endpoint)
    return fs.S3FileSystem(scheme=parsed.scheme, endpoint_override=parsed.netloc, region=os.environ.get("AWS_REGION"))
