"""The small language host under the real CLI: programs and policy packs run, fail and end as users expect."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tools import pulumi_cli

pytestmark = pytest.mark.engine

INTERPRETER = Path(sys.executable)
ENVIRONMENT = INTERPRETER.parent.parent


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """A copy of the CLI with the small host beside it, also on a machine whose CLI has the official one."""
    cli = pulumi_cli.chosen()
    assert cli is not None, "run `python3 -m tools.install pulumi` first"
    folder = tmp_path_factory.mktemp("commands")
    shutil.copy(Path(cli.command).resolve(), folder / "pulumi")
    host = folder / "pulumi-language-python"
    host.write_text(f'#!/bin/sh\nexec "{INTERPRETER}" -I -m tools.language_host "$@"\n')
    host.chmod(0o755)
    return folder


class Project:
    """A Pulumi project in its own folder with its own backend."""

    def __init__(self, folder, commands):
        self.folder = folder
        self.initiated = commands / "initiated"
        for name in ("project", "backend", "home"):
            (folder / name).mkdir()
        self.root = folder / "project"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        self.environment = kept | {
            "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_STACK": "dev",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def initiate(self):
        """Make the stack; the CLI makes the first of the session, and what it wrote is copied."""
        places = {self.folder / "backend": "backend", self.root / "Pulumi.dev.yaml": "Pulumi.dev.yaml"}
        first = not self.initiated.exists()
        if first:
            self.run("stack", "init", "dev")
            self.initiated.mkdir()
        for place, name in places.items():
            source, target = (place, self.initiated / name) if first else (self.initiated / name, place)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)

    def write(self, program, *, main="", virtualenv=str(ENVIRONMENT)):
        lines = ["name: tried", "runtime:", "  name: python", "  options:", f"    virtualenv: {virtualenv}"]
        (self.root / "Pulumi.yaml").write_text("\n".join([*lines, f"main: {main}" if main else ""]))
        (self.root / main).mkdir(exist_ok=True)
        (self.root / main / "__main__.py").write_text(textwrap.dedent(program))
        if not (self.folder / "backend" / ".pulumi").exists():
            self.initiate()

    def run(self, *arguments, code=0):
        answer = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = answer.stdout + answer.stderr
        assert answer.returncode in ([0] if code == 0 else range(1, 256)), said
        return said

    def start(self, *arguments):
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def project(tmp_path, commands):
    return Project(tmp_path, commands)


def diagnostics(said):
    """What the CLI reports at the end, without the stack's name and blank lines."""
    part = said.partition("Diagnostics:")[2].partition("Resources:")[0].partition("Outputs:")[0]
    return [line.strip() for line in part.splitlines() if line.strip()][1:]


def wait_until(reached, seconds=20.0):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_program_is_previewed_brought_up_unchanged_and_destroyed(project):
    project.write(
        """
        import pulumi

        class Part(pulumi.ComponentResource):
            def __init__(self, name):
                super().__init__("tried:index:Part", name)
                self.register_outputs({})

        Part("one")
        pulumi.export("greeting", pulumi.Output.secret("hello"))
        pulumi.export("size", pulumi.Config().require_int("size"))
        """
    )
    project.run("config", "set", "size", "3")
    assert "+ 2 to create" in project.run("preview")
    assert "+ 2 created" in project.run("up", "--yes", "--skip-preview")
    assert '"size": 3' in project.run("stack", "output", "--json")
    assert '"greeting": "hello"' in project.run("stack", "output", "--json", "--show-secrets")
    assert "2 unchanged" in project.run("up", "--yes", "--expect-no-changes")
    assert "- 2 deleted" in project.run("destroy", "--yes")


def test_a_secret_setting_reaches_the_program_and_is_not_shown(project):
    project.write(
        """
        import pulumi

        value = pulumi.Config().require_secret("token")
        pulumi.export("length", value.apply(len))
        pulumi.export("token", value)
        """
    )
    project.run("config", "set", "--secret", "token", "hunter2")
    said = project.run("up", "--yes", "--skip-preview")
    assert "hunter2" not in said
    assert "token : [secret]" in said
    assert '"length": 7' in project.run("stack", "output", "--json", "--show-secrets")


def test_what_a_program_prints_is_shown(project):
    project.write(
        """
        import sys

        print("to the output")
        print("to the errors", file=sys.stderr)
        """
    )
    assert sorted(diagnostics(project.run("preview"))) == ["to the errors", "to the output"]


def test_an_exception_is_shown_from_the_programs_own_line_on(project):
    project.write("import json\n\ndef read():\n    return json.loads('{')\n\nread()\n")
    shown = diagnostics(project.run("preview", code=1))
    assert shown[0] == "error: Program failed with an unhandled exception:"
    assert shown[1:4] == [
        "Traceback (most recent call last):",
        f'File "{project.root}/__main__.py", line 6, in <module>',
        "read()",
    ]
    assert shown[-1].startswith("json.decoder.JSONDecodeError")


def test_an_exception_in_an_apply_fails_the_run(project):
    project.write("import pulumi\n\npulumi.Output.from_input(0).apply(lambda value: 1 / value)\n")
    assert diagnostics(project.run("preview", code=1))[-1] == "ZeroDivisionError: division by zero"


def test_a_run_error_is_one_line(project):
    project.write("import pulumi\n\nraise pulumi.RunError('size is 9: at most 5')\n")
    assert diagnostics(project.run("preview", code=1)) == ["error: size is 9: at most 5"]


def test_a_reported_error_and_exit_code_32_add_nothing(project):
    project.write("import sys\n\nimport pulumi\n\npulumi.log.error('size is 9: at most 5')\nsys.exit(32)\n")
    assert diagnostics(project.run("preview", code=1)) == ["error: size is 9: at most 5"]


def test_an_exit_code_fails_the_run_and_is_named(project):
    project.write("import sys\n\nsys.exit(3)\n")
    shown = diagnostics(project.run("preview", code=1))
    assert shown == ["error: an unhandled error occurred: program exited with code 3"]


def test_leaving_with_exit_code_0_deletes_nothing(project):
    project.write("import pulumi\n\npulumi.export('a', 1)\n")
    project.run("up", "--yes", "--skip-preview")
    project.write("import sys\n\nsys.exit(0)\n")
    assert "sys.exit(0)" in diagnostics(project.run("up", "--yes", "--skip-preview", code=1))[0]
    assert "tried-dev" in project.run("stack", "--show-urns")


def test_a_killed_program_fails_the_run(project):
    project.write("import os\nimport signal\n\nos.kill(os.getpid(), signal.SIGKILL)\n")
    shown = diagnostics(project.run("preview", code=1))
    assert shown == ["error: an unhandled error occurred: program was ended by signal SIGKILL"]


def test_an_unknown_virtualenv_is_named_with_the_way_out(project):
    project.write("", virtualenv="nowhere")
    shown = diagnostics(project.run("preview", code=1))
    assert len(shown) == 1
    assert f"'nowhere', but there is no Python at {project.root}/nowhere/bin/python" in shown[0]


def test_a_virtualenv_is_found_from_the_projects_root_and_activated(project):
    (project.root / "linked").symlink_to(ENVIRONMENT)
    project.write("import os, sys\n\nprint(sys.executable, os.environ['VIRTUAL_ENV'])\n", virtualenv="linked")
    (shown,) = diagnostics(project.run("preview"))
    assert shown == f"{project.root}/linked/bin/python {project.root}/linked"


def test_main_names_the_folder_in_which_the_program_runs(project):
    (project.root / "stacks").mkdir()
    (project.root / "stacks" / "server.py").write_text("NAME = 'the own module'\n")
    project.write("import os\nimport server\n\nprint(os.getcwd(), server.NAME)\n", main="stacks")
    assert diagnostics(project.run("preview")) == [f"{project.root}/stacks the own module"]


def test_a_missing_program_is_named(project):
    project.write("")
    (project.root / "__main__.py").unlink()
    (shown,) = diagnostics(project.run("preview", code=1))
    assert f"no __main__.py in {project.root}" in shown


def test_about_names_the_interpreter_and_the_packages(project):
    project.write("")
    said = project.run("about")
    assert f"executable='{INTERPRETER}'" in said
    assert "pulumi_policy" in said


SLEEPING = """
import os
import time
from pathlib import Path

Path(os.environ["PULUMI_HOME"], "pid").write_text(str(os.getpid()))
time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_program_does_not_outlive_the_cli(project, number):
    project.write(SLEEPING)
    cli = project.start("preview")
    noted = project.folder / "home" / "pid"
    wait_until(lambda: noted.exists() and noted.read_text())
    program = psutil.Process(int(noted.read_text()))
    hosts = [process for process in program.parents() if "tools.language_host" in process.cmdline()]
    assert hosts
    cli.send_signal(number)
    cli.wait(30)
    wait_until(lambda: not any(process.is_running() for process in (program, *hosts)))


@pytest.mark.parametrize(("variable", "shown"), [("true", True), ("false", False)])
def test_debug_messages_are_sent_only_where_the_cli_shows_them(project, variable, shown):
    project.write("import pulumi\n\npulumi.log.debug('tried to see')\npulumi.log.info('tried to tell')\n")
    project.environment["PULUMI_OPTION_DEBUG"] = variable
    said = project.run("preview")
    assert ("tried to see" in said) == shown
    assert "tried to tell" in said


PACK = """
import time

from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def refuse(args, report):
    if args.name.startswith("bad"):
        report(f"{args.name} must not be")


PolicyPack(
    name="tried-pack",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[ResourceValidationPolicy(name="no-bad", description="No bad resources.", validate=refuse)],
)
"""


@pytest.fixture
def pack(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text(
        f"runtime:\n  name: python\n  options:\n    virtualenv: {ENVIRONMENT}\nversion: 0.0.1\n"
    )
    (folder / "__main__.py").write_text(PACK)
    return folder


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("bad", 1)])
def test_a_policy_pack_decides_about_a_preview(project, pack, name, code):
    project.write(f"import pulumi\n\npulumi.ComponentResource('tried:index:Part', '{name}')\n")
    said = project.run("preview", "--policy-pack", str(pack), code=code)
    assert "tried-pack@" in said
    assert ("bad must not be" in said) == (code == 1)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(pack) in (p.info["cmdline"] or [])]
    assert left == []


def test_a_policy_pack_that_raises_shows_why(project, pack):
    project.write("")
    (pack / "__main__.py").write_text("raise ValueError('the pack is broken')\n")
    assert "ValueError: the pack is broken" in project.run("preview", "--policy-pack", str(pack), code=1)


def test_language_host_of_checkout_is_used_without_an_official_one(project):
    cli = pulumi_cli.chosen()
    project.environment["PATH"] = os.pathsep.join([str(pulumi_cli.folder_of(cli)), os.environ["PATH"]])
    project.write("import psutil\n\nprint(psutil.Process().parent().cmdline())\n")
    said = project.run("preview")
    assert "warning" not in said
    assert ("tools.language_host" in said) == pulumi_cli.needs_language_host(cli)
