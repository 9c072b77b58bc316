"""A local stack of its own: own state folder, own ports, beside whatever else runs on this machine."""

import base64
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.base import paths
from infra.host.supervision import WATCHDOG, Supervision

REAL_DATA = paths.CHECKOUT.parent / "shared" / "data" / "uci_credit_card_default.csv"
UP_SECONDS = 900
ANSWER_SECONDS = 30
RECOVERY_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class LocalStack:
    """A checkout's `local` stack in a temporary state folder, driven by the README's commands."""

    def __init__(self, state: Path | None = None, checkout: Path = paths.CHECKOUT) -> None:
        self.checkout = checkout
        # Short, because a unix socket's path must be.
        self.state = state or Path(tempfile.mkdtemp(prefix="mlp-"))
        self.before = ""
        self.known: dict[str, str] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "MAKE", "MFLAGS"))}
        kept.pop("MLPLATFORM_STATE_DIR", None)
        self.environ = kept | {"XDG_STATE_HOME": str(self.state)}
        if REAL_DATA.exists():
            self.environ["DATA"] = str(REAL_DATA)

    @property
    def folder(self) -> Path:
        """What the stack keeps."""
        return paths.state_dir(self.environ).with_name(paths.checkout_key(self.checkout)) / "local"

    def make(self, *arguments: str, fails: bool = False) -> str:
        """Run one of the README's commands and give what it printed."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.checkout,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        if (done.returncode != 0) != fails:
            raise AssertionError(f"make {' '.join(arguments)} exited with {done.returncode}:\n{done.stdout[-20_000:]}")
        return done.stdout

    def start_up(self) -> subprocess.Popen[bytes]:
        """Begin `make up` in a process group of its own and open to an interrupt, as a terminal does."""
        return subprocess.Popen(
            ["env", "--default-signal=INT", "make", "up", "ARGS=--non-interactive"],
            cwd=self.checkout,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def up(self, *flags: str, fails: bool = False) -> str:
        """`make up` without questions."""
        return self.make("up", f"ARGS={' '.join(['--non-interactive', *flags])}", fails=fails)

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        found: dict[str, str] = json.loads(self.make("-s", "outputs"))
        return found

    def login(self, server: str) -> str:
        """`user:password` of a server that asks for one."""
        return self._credentials(server)

    def shown(self, server: str) -> dict[str, str]:
        """The header by which a program is known to a server that asks for a token."""
        name, _, value = self._credentials(server).partition(": ")
        return {name: value}

    def link(self) -> str:
        """A link that opens the start page once."""
        (found,) = [line.split()[0] for line in self.make("-s", "credentials").splitlines() if "/login?" in line]
        return found

    def _credentials(self, server: str) -> str:
        if server not in self.known:
            self.known[server] = self.make("-s", "credentials", f"SERVER={server}").split('"')[1]
        return self.known[server]

    def programs(self) -> list[str]:
        """Names of the supervised programs."""
        names = [path.stem for path in (self.folder / "supervisor" / "programs").glob("*.conf")]
        return sorted([*names, WATCHDOG])

    def pid(self, program: str) -> int:
        """The process that a program is now; 0 while it has none."""
        info: Any = Supervision(self.folder)._call("getProcessInfo", f"{program}:{program}")
        return int(info["pid"])

    @contextmanager
    def without(self, program: str) -> Iterator[None]:
        """Keep a program ended: the supervisor does not start what it was told to stop."""
        supervision = Supervision(self.folder)
        supervision._call("stopProcess", f"{program}:{program}")
        try:
            yield
        finally:
            supervision._call("startProcess", f"{program}:{program}")

    def sh(self, command: str) -> str:
        """Run a command line of a document in the checkout and give what it printed."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.checkout,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        if done.returncode:
            raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout[-20_000:]}")
        return done.stdout

    def specification(self, program: str) -> dict[str, Any]:
        """What a program is started with: `command` and `environment`."""
        found: dict[str, Any] = json.loads((self.folder / "supervisor" / "specs" / f"{program}.json").read_text())
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process of the stack: the supervisor and all below it."""
        supervisor = psutil.Process(int((self.folder / "supervisor" / "supervisord.pid").read_text()))
        return [supervisor, *supervisor.children(recursive=True)]


def wait_until(condition, what, seconds=RECOVERY_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def wait_until_at_work(address, headers):
    """Until an examination of the start page has begun after the release and has found nothing failed."""

    def at_work():
        status = ask(address, headers=headers).body
        return status["examined"] and "failed" not in {each["finding"]["status"] for each in status["answers"]}

    wait_until(at_work, "no probe of the start page has failed")


def copied(folder: Path) -> Path:
    """A repository with the tracked files of the checkout as they are now, in an empty folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=paths.CHECKOUT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(paths.CHECKOUT / name, place)
    as_somebody = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], [*as_somebody, "commit", "--quiet", "--message=copy"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def lend_environments(checkout: Path) -> Path:
    """Give a checkout hard links of this one's Python environments; making them takes a minute. Gives their folder."""
    ours = paths.environment_dir("infra").parent
    theirs = ours.with_name(paths.checkout_key(checkout))
    moved = {str(ours).encode(): str(theirs).encode(), str(paths.CHECKOUT).encode(): str(checkout).encode()}
    for name in ("infra", "workloads"):
        shutil.copytree(ours / name, theirs / name, symlinks=True, copy_function=os.link)
        shutil.copy2(ours / f"{name}.json", theirs)
        for file in [*(theirs / name / "bin").iterdir(), *(theirs / name).glob("lib/*/site-packages/*.pth")]:
            content = b"" if file.is_symlink() else file.read_bytes()
            if any(place in content for place in moved):
                mode = file.stat().st_mode
                file.unlink()  # the other environment keeps its own
                file.write_bytes(functools.reduce(lambda text, each: text.replace(*each), moved.items(), content))
                file.chmod(mode)
    return theirs


def checkout_status(checkout: Path) -> str:
    """What a command left in a checkout."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout


def ask(url: str, body: object = None, login: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """GET, or POST of `body` as JSON; an error status is an answer too. `login`: `user:password`."""
    data = None if body is None else json.dumps(body).encode()
    shown = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **shown, **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
            return Answer(response.status, _decoded(response.read()), response.headers)
    except urllib.error.HTTPError as error:
        return Answer(error.code, _decoded(error.read()), error.headers)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return content.decode(errors="replace")
