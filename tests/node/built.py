"""The workload's images, built by `make images`' own code from the real Containerfile on stand-in bases.

They are kept by their content below the cache of the installer, as the folder of a registry. What is built is real:
Containerfile, locks, code. The bases are stand-ins (`bases.py`).
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pytest_pulumi_kubernetes import registry
from pytest_pulumi_kubernetes.processes import free_port
from pytest_pulumi_kubernetes.real_node import REGISTRY

from infra.base import images as targets
from infra.base import paths
from tests.node.bases import JAVA, PYTHON, Store
from tools import images, stamps

TARGETS: tuple[targets.Target, ...] = ("serve", "workload", "ingest")
"""All but `train-gpu`, which needs a GPU."""

_START_SECONDS = 30.0


def folder() -> Path:
    """Where the images of this checkout's content are; builds them where they are not there yet.

    Raises: MissingToolError, ToolError.
    """
    with tempfile.TemporaryDirectory() as context:
        content = images.prepare(Path(context))
    home = paths.cache_dir() / "node-images"
    made = home / content
    with stamps.only_one(home / "lock", "the images of a real node"):
        if not (made / "images.json").exists():
            shutil.rmtree(made, ignore_errors=True)
            _build(made, Store(home / "store"))
            for other in home.iterdir():  # of a former content: some 3 GB
                if other.is_dir() and other.name not in ("store", content):
                    shutil.rmtree(other)
    return made


def digests(made: Path) -> dict[targets.Target, str]:
    """Target -> `registry/repository@sha256:…`, as the node pulls it."""
    known: dict[str, str] = json.loads((made / "images.json").read_text())
    return {
        target: f"{REGISTRY}/{known[target].partition('/')[2]}"
        for target in get_args(targets.Target)
        if target in known
    }


def _build(made: Path, store: Store) -> None:
    (made / "blobs").mkdir(parents=True)
    (made / "tags").mkdir()
    store.make_bases()
    bases = [f"--build-arg=PYTHON_IMAGE={PYTHON}", f"--build-arg=JAVA_IMAGE={JAVA}"]
    before = dict(os.environ)
    os.environ.update(store.environment())
    try:
        with _registry(made) as address:
            images.make(f"{address}/mlplatform", TARGETS, bases, made / "images.json", sign=False)
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _registry(made: Path) -> Iterator[str]:
    """A registry that takes images, until the end of the block."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-I", registry.__file__, str(made), str(port), "--writable"])
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/").close()
                break
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
