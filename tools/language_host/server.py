"""The `LanguageRuntime` service: starts programs and policy packs as processes and reports how they ended."""

import importlib.metadata
import json
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from tools.language_host import program, protos
from tools.language_host.interpreter import NoInterpreterError, activated, interpreter

GRACE_SECONDS = 5
"""How long a program may take to end after an interrupt before it is killed."""


class Children:
    """The processes that were started and have not ended, so that none outlives the host."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own: an interrupt at the terminal is the engine's to pass on."""
        with self._lock:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
            self._running.add(process)
        return process

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """The process has ended."""
        with self._lock:
            self._running.discard(process)

    def stop_all(self) -> None:
        """Interrupt every process, and kill those that do not end in time."""
        with self._lock:
            running = list(self._running)
        for process in running:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process, and kill it when it does not end within `GRACE_SECONDS`."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


class LanguageHost(protos.language_grpc.LanguageRuntimeServicer):  # type: ignore[misc]  # generated without types
    """Serves one engine: the one whose address the CLI gave on the command line or in the handshake."""

    def __init__(self, engine_address: str, children: Children) -> None:
        self._engine_address = engine_address
        self._children = children

    def Handshake(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Remember where the engine is."""
        self._engine_address = request.engine_address
        return protos.language.LanguageHandshakeResponse()

    def GetPluginInfo(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The version of the SDK that this host was made with."""
        return protos.plugin.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """None in advance: the engine asks for a provider's plugin when a resource needs it."""
        return protos.language.GetRequiredPackagesResponse()

    def InstallDependencies(self, _request: Any, _context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Nothing to do: environments are made by `tools.install`."""
        return iter(())

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Which Python runs the program."""
        python = self._interpreter(request.info, context)
        version = subprocess.check_output(
            [python, "-c", "import platform; print(platform.python_version())"], text=True
        )
        return protos.language.AboutResponse(executable=str(python), version=version.strip())

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """The packages in the program's environment, by its own pip."""
        command = [str(self._interpreter(request.info, context)), "-m", "pip", "list", "--format", "json"]
        if not request.transitiveDependencies:
            command.append("--not-required")
        found = json.loads(subprocess.check_output(command))
        return protos.language.GetProgramDependenciesResponse(
            dependencies=[protos.language.DependencyInfo(name=p["name"], version=p["version"]) for p in found]
        )

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Run a program to its end; its output goes where the host's goes."""
        info = request.info
        python = self._interpreter(info, context)
        command = [
            *(str(python), "-u", program.__file__),
            *("--monitor", request.monitor_address),
            *("--engine", self._engine_address),
            *("--project", request.project),
            *("--stack", request.stack),
            *("--organization", request.organization),
            *("--root", info.root_directory),
            *("--directory", info.program_directory),
            *("--parallel", str(request.parallel)),
            *(("--dry-run",) if request.dryRun else ()),
            *("--", info.entry_point, *request.args),
        ]
        environment = activated(python, os.environ)
        environment["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        environment["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        process = self._children.start(command, cwd=info.program_directory, env=environment)
        context.add_callback(lambda: stop(process))
        code = process.wait()
        self._children.forget(process)
        if code == program.REPORTED:
            return protos.language.RunResponse(bail=True)
        if code != 0:
            return protos.language.RunResponse(error=f"program {_ending(code)}")
        return protos.language.RunResponse()

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Run a policy pack until the engine is done with it, streaming what it writes."""
        info = request.info
        if request.kind != "analyzer":
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"this language host runs policy packs, not plugins of kind {request.kind!r}",
            )
        python = self._interpreter(info, context)
        environment = activated(python, dict(entry.split("=", 1) for entry in request.env) or os.environ)
        process = self._children.start(
            [str(python), "-u", "-m", "pulumi.policy", *request.args, info.program_directory],
            cwd=info.program_directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        context.add_callback(lambda: stop(process))
        yield from _output(process)
        code = process.wait()
        self._children.forget(process)
        yield protos.language.RunPluginResponse(exitcode=code)

    def Cancel(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Stop what runs."""
        self._children.stop_all()
        from google.protobuf import empty_pb2  # noqa: PLC0415

        return empty_pb2.Empty()

    def _interpreter(self, info: Any, context: grpc.ServicerContext) -> Path:
        try:
            return interpreter(Path(info.root_directory), dict(info.options))
        except NoInterpreterError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by signal {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _output(process: subprocess.Popen[bytes]) -> Iterator[Any]:
    """What a process writes, until it has closed both streams."""
    with selectors.DefaultSelector() as selector:
        for name in ("stdout", "stderr"):
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _events in selector.select():
                data = os.read(key.fd, 65536)
                if data:
                    yield protos.language.RunPluginResponse(**{key.data: data})
                else:
                    selector.unregister(key.fileobj)
