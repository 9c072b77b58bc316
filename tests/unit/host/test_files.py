import os
import sys
import time

import pytest

from infra.host.errors import HostError

from .conftest import kind_of, request_for, web_server

FILE, FOLDER = kind_of("File"), kind_of("Folder")


def test_a_file_is_readable_by_its_owner_only(host, root):
    outputs = FILE.create(host, request_for("File", "f", path="config/a.conf", content="x"))
    assert (root / "config" / "a.conf").read_text() == "x"
    assert (root / "config" / "a.conf").stat().st_mode & 0o777 == 0o600
    assert outputs["absolute_path"] == str(root / "config" / "a.conf")


def test_a_file_that_its_check_refuses_does_not_replace_the_old_one(host, root):
    FILE.create(host, request_for("File", "f", path="a.conf", content="old"))
    asked = request_for("File", "f", path="a.conf", content="new", check=["sh", "-c", "echo line 3 is odd; exit 1"])
    with pytest.raises(HostError, match=r"sh refuses a.conf:\nline 3 is odd"):
        FILE.create(host, asked)
    assert [path.name for path in root.iterdir()] == ["a.conf"]
    assert (root / "a.conf").read_text() == "old"


def test_an_edit_behind_the_engines_back_is_drift_and_is_mended(host, root):
    asked = request_for("File", "f", path="a.conf", content="x")
    outputs = FILE.create(host, asked)
    (root / "a.conf").write_text("edited")
    seen = FILE.read(host, asked, outputs)
    assert FILE.drift(host, asked.inputs, seen) == ["sha256"]
    assert FILE.update(host, asked, seen) == outputs
    assert (root / "a.conf").read_text() == "x"


def test_a_removed_file_is_gone(host, root):
    asked = request_for("File", "f", path="a.conf", content="x")
    outputs = FILE.create(host, asked)
    (root / "a.conf").unlink()
    assert FILE.read(host, asked, outputs) is None


HANGS_UP = """
import http.server, pathlib, signal, sys
told = pathlib.Path(sys.argv[2])
signal.signal(signal.SIGHUP, lambda *_: told.write_text(pathlib.Path("a.conf").read_text()))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def await_text(path, text):
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_text() != text:
        assert time.monotonic() < deadline, f"{path} does not say {text!r}"
        time.sleep(0.05)


def test_a_server_is_told_of_a_change_by_a_signal(supervised, root, port):
    told = root / "told"
    process, command = kind_of("Process"), [sys.executable, "-c", HANGS_UP, str(port), str(told)]
    process.create(supervised, web_server(port, command=command))
    before = supervised.supervision.status("web").identity
    for text in ("first", "second"):
        FILE.create(supervised, request_for("File", "f", path="a.conf", content=text, reload="web"))
        await_text(told, text)
    assert supervised.supervision.status("web").identity == before


def test_a_server_that_does_not_run_need_not_be_told(host, supervised):
    asked = request_for("File", "f", path="a.conf", content="x", reload="web")
    FILE.delete(supervised, asked, FILE.create(supervised, asked))
    supervised.supervision.shut_down()
    FILE.delete(host, asked, FILE.create(host, asked))


def test_a_file_of_a_stack_of_before_asks_no_url(host):
    """Nothing listens there."""
    asked = request_for("File", "f", path="a.conf", content="x", reload_url="http://127.0.0.1:1/-/reload")
    FILE.delete(host, asked, FILE.create(host, asked))


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "."])
def test_a_path_outside_the_stacks_folder_is_refused(host, path):
    with pytest.raises((HostError, ValueError), match=r"not below the stack's folder|pattern"):
        FOLDER.create(host, request_for("Folder", "f", path=path))


def test_a_folder_goes_with_what_is_in_it_unless_it_is_kept(host, root):
    for name, keep in (("gone", False), ("kept", True)):
        asked = request_for("Folder", name, path=f"data/{name}", keep=keep)
        outputs = FOLDER.create(host, asked)
        (root / "data" / name / "object").touch()
        FOLDER.delete(host, asked, outputs)
    assert [path.name for path in (root / "data").iterdir()] == ["kept"]


def test_the_last_thing_to_go_takes_the_empty_folders_above_it_along(host, root):
    first, second = (request_for("Folder", name, path=f"data/{name}") for name in ("first", "second"))
    for asked in (first, second):
        FOLDER.create(host, asked)
    FOLDER.delete(host, first, {})
    assert [path.name for path in (root / "data").iterdir()] == ["second"]
    FOLDER.delete(host, second, {})
    assert not root.exists()
    root.mkdir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_names_the_path_and_the_fix(host, root):
    root.chmod(0o500)
    with pytest.raises(HostError, match="Permission denied; make it writable, or set XDG_STATE_HOME"):
        FOLDER.create(host, request_for("Folder", "f", path="data"))


def test_a_folder_below_a_file_names_the_path_and_the_fix(host, root):
    (root / "data").touch()
    with pytest.raises(HostError, match=r"cannot make the folder .*/data/x: Not a directory; make it writable, or set"):
        FOLDER.create(host, request_for("Folder", "f", path="data/x"))
