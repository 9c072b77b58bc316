"""What changes with the content of files, so that a resource notices: inputs of jobs that run again by them."""

import hashlib
from pathlib import Path

from workloads.lifecycle.base.settings import STORED


def digest(where: Path) -> str:
    """SHA-256 over the name and content of a file, or of each Python or YAML file in a folder."""
    sha256 = hashlib.sha256()
    files = [where] if where.is_file() else where.iterdir()
    for path in sorted(path for path in files if path.suffix in {".py", ".yaml"}):
        sha256.update(f"{path.name}\0".encode() + path.read_bytes())
    return sha256.hexdigest()


def fingerprint(path: str | None) -> str:
    """Changes when the file is another one: size in bytes and time of its last change; in the store, its address."""
    if path is None or path.startswith(STORED):
        return path or "generated"
    status = Path(path).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"
