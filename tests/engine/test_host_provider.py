"""The host provider under the real CLI: state, refresh, repair, interruption and removal."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
import yaml

from infra.base import paths
from infra.host.supervision import Supervision
from tools import pulumi_cli

pytestmark = pytest.mark.engine

JOB = """
import sys, pulumi
from infra.host import File, Folder, HostProvider, Job, Port, Process, Secret, Supervisor

config = pulumi.Config()
opts = pulumi.ResourceOptions(provider=HostProvider("host", root=config.require("root")))
secret = Secret("secret", opts=opts)
check = ["sh", "-c", config.get("check")] if config.get("check") else []
Job("job", command=["sh", "-c", config.require("job")], environment={"TOKEN": secret.value}, check=check, opts=opts)
pulumi.export("secret", secret.value)
"""
"""A program with a job and a secret."""
PROGRAM = f"""{JOB}
supervisor = Supervisor("supervisor", search_path=config.require("path"), opts=opts)
started = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[supervisor]))
port = Port("port", opts=opts)
folder = Folder("folder", path="data/web", opts=opts)
page = File("page", path="data/web/index.html", content=pulumi.Output.concat("hello ", secret.value), opts=opts)
Process(
    "web",
    command=[sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", folder.absolute_path,
             port.chosen.apply(str)],
    environment={{"TOKEN": secret.value}},
    ports=[port.chosen],
    health={{"http_url": pulumi.Output.format("http://127.0.0.1:{{0}}/", port.chosen)}},
    triggers={{"page": page.sha256}},
    opts=started,
)
pulumi.export("port", port.chosen)
"""
"""The same with a server under the supervisor, and all that it needs."""
SETTLE_SECONDS = 60


class Stack:
    """A project of its own with a backend of its own, made of host resources."""

    INITIATED: ClassVar = {}
    """What `pulumi stack init` wrote for the first of these stacks: file to content. Each run takes a second of CPU."""

    def __init__(self, folder, program):
        self.folder, self.root = folder, folder / "s"
        project, backend = folder / "project", folder / "backend"
        for each in (project, backend):
            each.mkdir()
        (project / "Pulumi.yaml").write_text(
            json.dumps(
                {
                    "name": "tried",
                    "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
                    "plugins": {"providers": [{"name": "host", "path": str(paths.CHECKOUT / "infra" / "host")}]},
                }
            )
        )
        (project / "__main__.py").write_text(program)
        self.project, self.backend = project, backend
        cli = pulumi_cli.chosen()
        assert cli is not None, "run `python3 -m tools.install pulumi` first"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        host = paths.cache_dir() / "envs" / paths.checkout_key() / "bin"
        self.environment = kept | {
            "PATH": os.pathsep.join([str(host), str(Path(cli.command).parent), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_STACK": "dev",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        self.initiate()
        self.configure(root=str(self.root), path=os.environ["PATH"], job=f"echo ran >> {folder}/ran")

    def initiate(self):
        before = {file for file in self.folder.rglob("*") if file.is_file()}
        if not self.INITIATED:
            self.run("stack", "init", "dev")
            made = {file for place in (self.project, self.backend) for file in place.rglob("*") if file.is_file()}
            self.INITIATED.update({file.relative_to(self.folder): file.read_bytes() for file in made - before})
        for name, content in self.INITIATED.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)

    def configure(self, **values):
        """As `pulumi config set` writes it."""
        file = self.project / "Pulumi.dev.yaml"
        settings = yaml.safe_load(file.read_text())
        config = settings.get("config", {}) | {f"tried:{key}": value for key, value in values.items()}
        file.write_text(yaml.safe_dump(settings | {"config": config}))

    def start(self, *arguments):
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments, fails=False):
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, output
        return output

    def up(self, *arguments, fails=False):
        return self.run("up", "--yes", "--skip-preview", *arguments, fails=fails)

    def output(self, name):
        return json.loads(self.run("stack", "output", "--json", "--show-secrets"))[name]

    def is_locked(self):
        return any(each.is_file() for each in (self.backend / ".pulumi" / "locks").rglob("*"))

    def is_up(self):
        state = json.loads((self.backend / ".pulumi" / "stacks" / "tried" / "dev.json").read_text())
        return bool(state["checkpoint"].get("latest", {}).get("resources"))

    def pid(self):
        return json.loads((self.root / "supervisor" / "specs" / "web.run").read_text())["pid"]


@contextlib.contextmanager
def made(program):
    folder = Path(tempfile.mkdtemp(prefix="mlp-"))
    stack = Stack(folder, program)
    yield stack
    if stack.is_locked():
        stack.run("cancel", "--yes")
    if stack.is_up():
        stack.run("destroy", "--yes", "--skip-preview")
    shutil.rmtree(folder)


@pytest.fixture
def stack():
    """A stack with a job that is not up."""
    with made(JOB) as stack:
        yield stack


@pytest.fixture(scope="module")
def running():
    """A stack that is up, as each test leaves it until the last takes it down; and what its first `up` said."""
    with made(PROGRAM) as stack:
        assert "+ 9 to create" in stack.run("preview")
        assert not stack.root.exists(), "a preview starts nothing"
        yield stack, stack.up()


def belonging_to(folder):
    """Processes that mention the folder in their command."""
    everyone = psutil.process_iter(["cmdline"])
    return [each for each in everyone if str(folder) in " ".join(each.info["cmdline"] or [])]


def wait_until(condition):
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


def test_preview_starts_nothing_and_first_up_makes_what_it_said(running):
    _, shown = running
    assert "+ 9 created" in shown


def test_a_second_up_changes_nothing_and_runs_no_job_again(running):
    stack, _ = running
    stack.up("--refresh", "--expect-no-changes")
    assert (stack.folder / "ran").read_text() == "ran\n"


def test_secrets_are_encrypted_in_state_and_hidden_from_outputs(running):
    stack, shown = running
    secret = stack.output("secret")
    assert len(secret) == 32
    assert secret not in shown
    assert secret not in stack.run("stack", "output")
    state = [file for file in (stack.folder / "backend").rglob("*") if file.is_file()]
    assert state
    assert [file for file in state if secret.encode() in file.read_bytes()] == []
    assert [file for file in (stack.root / "logs").iterdir() if secret.encode() in file.read_bytes()] == []


def test_refresh_sees_a_stopped_process_and_up_mends_it(running):
    stack, _ = running
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisorctl", "-s", f"unix://{stack.root}/supervisor.sock", "stop", "web"],
        check=True,
        capture_output=True,
    )
    assert "dead" in stack.run("refresh", "--yes", "--skip-preview", "--diff")
    stack.up()
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_refresh_finds_no_change_in_a_restarted_process(running):
    stack, _ = running
    before = stack.pid()
    wait_until(lambda: Supervision(stack.root).status("web").state == "RUNNING")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid() != before)
    stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_everything_comes_back_on_its_ports_after_a_reboot(running):
    stack, _ = running
    port = stack.output("port")
    for process in belonging_to(stack.root):
        process.kill()
    wait_until(lambda: not belonging_to(stack.root))
    stack.up("--refresh")
    assert stack.output("port") == port
    stack.up("--refresh", "--expect-no-changes")


def test_an_edited_file_is_put_right_and_its_reader_restarted(running):
    stack, _ = running
    page, before = stack.root / "data" / "web" / "index.html", stack.pid()
    page.write_text("edited")
    stack.up("--refresh")
    assert page.read_text().startswith("hello ")
    assert stack.pid() == before, "the page is as the process was started with"


def test_interrupted_up_leaves_nothing_running_and_the_next_finishes(stack):
    stack.configure(job=f"touch {stack.folder}/begun; sleep 300.25")
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until((stack.folder / "begun").exists)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "cancelled" in output
    assert belonging_to("sleep 300.25") == []
    stack.configure(job=f"echo ran >> {stack.folder}/ran")
    stack.up("--refresh")
    assert (stack.folder / "ran").read_text() == "ran\n"


def test_failing_job_fails_update_with_its_last_lines_and_is_retried(stack):
    stack.configure(job=f"echo no hat; test -e {stack.folder}/hat")
    assert "no hat" in stack.up(fails=True)
    (stack.folder / "hat").touch()
    stack.up()


def test_job_runs_again_with_the_inputs_from_before_a_failure(stack):
    good = f"echo ran >> {stack.folder}/ran"
    stack.up()
    for number, refresh in enumerate([(), ("--refresh",)], 2):
        stack.configure(job="exit 7")
        assert "exited with status 7" in stack.up(*refresh, fails=True)
        stack.configure(job=good)
        stack.up(*refresh)
        assert (stack.folder / "ran").read_text() == "ran\n" * number
    stack.up("--refresh", "--expect-no-changes")


def test_refresh_names_a_lost_result_and_up_makes_it_again(stack):
    stack.configure(
        job=f"echo ran >> {stack.folder}/ran; touch {stack.folder}/result",
        check=f"test -e {stack.folder}/result || {{ echo the result is gone; exit 3; }}",
    )
    stack.up()
    stack.up("--refresh", "--expect-no-changes")
    (stack.folder / "result").unlink()
    assert "the result is gone" in stack.run("preview", "--refresh", "--diff")
    stack.up("--refresh")
    assert (stack.folder / "ran").read_text() == "ran\nran\n"
    stack.up("--refresh", "--expect-no-changes")


def test_down_leaves_no_process_and_no_file(running):
    stack, _ = running
    assert belonging_to(stack.root)
    stack.run("destroy", "--yes", "--skip-preview")
    assert belonging_to(stack.root) == []
    assert [path for path in stack.root.rglob("*") if path.is_file()] == []
