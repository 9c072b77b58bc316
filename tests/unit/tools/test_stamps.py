import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.base import paths
from tools import stamps
from tools.console import ToolError


def test_a_stamp_is_read_back(tmp_path):
    stamps.write(tmp_path / "deep" / "a.json", {"digest": "1"})
    assert stamps.read(tmp_path / "deep" / "a.json") == {"digest": "1"}


@pytest.mark.parametrize("text", ["", '{"digest": ', "[1]"])
def test_a_damaged_stamp_says_nothing(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert stamps.read(tmp_path / "a.json") == {}


def test_a_missing_stamp_says_nothing(tmp_path):
    assert stamps.read(tmp_path / "a.json") == {}


def test_texts_and_where_they_end_both_count():
    assert stamps.digest("ab", "c") != stamps.digest("a", "bc")
    assert stamps.digest("ab") == stamps.digest(b"ab")


def test_a_file_that_cannot_be_replaced_keeps_its_text(tmp_path, monkeypatch):
    file = tmp_path / "a"
    stamps.write_text(file, "old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011  raised by the line above
        stamps.write_text(file, "new")
    assert file.read_text() == "old"


def test_a_written_file_has_the_mode_asked_for(tmp_path):
    stamps.write_text(tmp_path / "secret", "x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match=r"/file/below cannot be written .*XDG_CACHE_HOME"):
        stamps.make_folder(tmp_path / "file" / "below")


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, as which tests often run, may write everywhere
    with pytest.raises(ToolError, match="closed cannot be written"):
        stamps.make_folder(tmp_path / "closed")


def test_a_second_installer_waits_for_the_first_and_says_so(tmp_path):
    code = "import sys; from pathlib import Path; from tools import stamps\n"
    code += "with stamps.only_one(Path(sys.argv[1]), 'uv'): print('in')\n"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with stamps.only_one(tmp_path / "lock", "uv"):
        second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        holder = f"process {os.getpid()} in {paths.CHECKOUT}"
        assert second.stderr.readline() == f"==> waiting for {holder} to install uv\n"
        assert second.poll() is None
    assert second.communicate(timeout=20) == ("in\n", "")


def test_a_killed_installer_does_not_keep_the_lock(tmp_path):
    code = (
        "import os, sys, pathlib; from tools import stamps\n"
        "with stamps.only_one(pathlib.Path(sys.argv[1]), 'uv'): os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    with stamps.only_one(tmp_path / "lock", "uv"):
        assert (tmp_path / "lock").exists()


def test_what_a_killed_installer_started_keeps_the_lock_until_it_ends(tmp_path):
    code = (
        "import sys, pathlib; from tools import console, stamps\n"
        "with stamps.only_one(pathlib.Path(sys.argv[1]), 'uv'):\n"
        "    console.run(['/bin/sh', '-c', 'kill -9 $PPID; sleep 1; touch ' + sys.argv[2]])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock"), str(tmp_path / "late")], check=False)
    assert not (tmp_path / "late").exists()
    with stamps.only_one(tmp_path / "lock", "uv"):
        assert (tmp_path / "late").exists()


def test_unfinished_file_of_a_full_disk_is_removed(tmp_path, monkeypatch):
    def fill(path, _text):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(OSError, match="No space"):
        stamps.write_text(tmp_path / "folder" / "a", "text")
    assert list((tmp_path / "folder").iterdir()) == []
