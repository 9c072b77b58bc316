"""A file of given content, accepted by a check before it replaces the old one."""

import hashlib
import subprocess
from pathlib import Path

from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.kinds.folder import inside, make_folder, remove_empty
from infra.host.models import FileInputs


class FileKind:
    """Realizes `Kind` on the file system."""

    model = FileInputs
    replace_on = frozenset({"path"})

    def create(self, host: Host, request: Request[FileInputs]) -> Outputs:
        """Write it beside its place, check it, then put it there in one move."""
        path = inside(host.root, request.inputs.path)
        make_folder(path.parent)
        candidate = path.with_name(f".new.{path.name}")
        candidate.touch(mode=0o600)
        candidate.write_text(request.inputs.content, encoding="utf-8")
        try:
            _check(request, candidate)
            candidate.replace(path)
        finally:
            candidate.unlink(missing_ok=True)
        _reload(host, request.inputs)
        return {"absolute_path": str(path), "sha256": _sha256(request.inputs.content.encode())}

    def read(self, host: Host, request: Request[FileInputs], outputs: Outputs) -> Outputs | None:
        """Its digest as it is now."""
        path = inside(host.root, request.inputs.path)
        return {**outputs, "sha256": _sha256(path.read_bytes())} if path.is_file() else None

    def drift(self, host: Host, inputs: FileInputs, outputs: Outputs) -> list[str]:
        """Content that was edited behind the engine's back."""
        del host
        return [] if outputs.get("sha256") == _sha256(inputs.content.encode()) else ["sha256"]

    def update(self, host: Host, request: Request[FileInputs], outputs: Outputs) -> Outputs:
        """Write it again."""
        del outputs
        return self.create(host, request)

    def delete(self, host: Host, request: Request[FileInputs], outputs: Outputs) -> None:
        """Remove it; a server that read it is told."""
        del outputs
        path = inside(host.root, request.inputs.path)
        path.unlink(missing_ok=True)
        remove_empty(path.parent, host.root)
        _reload(host, request.inputs)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check(request: Request[FileInputs], candidate: Path) -> None:
    if not request.inputs.check:
        return
    command = [part.replace("{path}", str(candidate)) for part in request.inputs.check]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise HostError(f"cannot check {request.name!r}: {command[0]!r} is not installed, run `make up`") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise HostError(f"{command[0]} refuses {request.inputs.path}:\n{said}")


def _reload(host: Host, inputs: FileInputs) -> None:
    if inputs.reload is not None:
        host.supervision.hang_up(inputs.reload)
