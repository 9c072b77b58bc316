"""A folder below the stack's folder."""

import errno
import shutil
from pathlib import Path

from infra.host.errors import HostError
from infra.host.kinds import Host, Outputs, Request
from infra.host.models import FolderInputs


class FolderKind:
    """Realizes `Kind` on the file system."""

    model = FolderInputs
    replace_on = frozenset({"path"})

    def create(self, host: Host, request: Request[FolderInputs]) -> Outputs:
        """Make it; one that is there already is adopted with its content."""
        path = inside(host.root, request.inputs.path)
        make_folder(path)
        return {"absolute_path": str(path)}

    def read(self, host: Host, request: Request[FolderInputs], outputs: Outputs) -> Outputs | None:
        """It, if it is there."""
        return outputs if inside(host.root, request.inputs.path).is_dir() else None

    def drift(self, host: Host, inputs: FolderInputs, outputs: Outputs) -> list[str]:
        """A folder either is or is not."""
        del host, inputs, outputs
        return []

    def update(self, host: Host, request: Request[FolderInputs], outputs: Outputs) -> Outputs:
        """Only `keep` can change, and it acts on deletion."""
        del host, request
        return outputs

    def delete(self, host: Host, request: Request[FolderInputs], outputs: Outputs) -> None:
        """Remove it and all in it, unless it is to be kept."""
        del outputs
        if not request.inputs.keep:
            path = inside(host.root, request.inputs.path)
            shutil.rmtree(path, ignore_errors=False, onerror=_raise_unless_gone)
            remove_empty(path.parent, host.root)


def inside(root: Path, relative: str) -> Path:
    """The absolute path; refused when it would leave the stack's folder."""
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()) or path == root.resolve():
        raise HostError(f"path {relative!r} is not below the stack's folder {root}: give a relative path without `..`")
    return path


def make_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, with a clear error where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise HostError(
            f"cannot make the folder {path}: {error.strerror}; make it writable, or set XDG_STATE_HOME to one that is"
        ) from error


def remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it, up to `root`, as long as nothing is in them."""
    for each in (folder, *folder.parents):
        if not each.is_relative_to(root):
            return
        try:
            each.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return


def _raise_unless_gone(_function: object, path: str, exception: tuple[type, BaseException, object]) -> None:
    if not isinstance(exception[1], FileNotFoundError):
        raise HostError(f"cannot remove {path}: {exception[1]}") from exception[1]
