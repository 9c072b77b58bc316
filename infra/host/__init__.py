"""Resources of this machine, of which the `local` stack is made; `infra.host.provider` is behind them."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
from pulumi import Input, Output


class HealthCheckDict(TypedDict, total=False):
    """How a process shows that it works: `http_url` or `command`. See `infra.host.models.HealthCheck`."""

    http_url: Input[str]
    """URL that answers 2xx."""

    command: Input[Sequence[Input[str]]]
    """Command that exits with 0; it gets the process's environment."""

    login: Input[str]
    """`user:password` that the URL asks for; secret."""

    interval_seconds: Input[float]
    """Time from one look of the watchdog to the next; 10 by default."""

    timeout_seconds: Input[float]
    """Time within which an answer must come; 10 by default."""

    misses: Input[int]
    """Misses in a row after which a hung process is restarted; 6 by default."""

    grace_seconds: Input[float]
    """Time after a launch in which misses do not count before the first answer; 600 by default."""


class HostProvider(pulumi.ProviderResource):
    """The provider of one stack's folder."""

    def __init__(self, name: str, *, root: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """`root`: absolute path of the folder that everything is kept in."""
        super().__init__("host", name, {"root": root}, opts)


class Supervisor(pulumi.CustomResource):
    """Starts, watches and ends the stack's processes; they depend on it."""

    state: Output[str]
    """`running`, `dead`, `watchdog hung` or `watchdog outdated`."""

    def __init__(self, name: str, *, search_path: Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        """`search_path`: PATH of everything it starts."""
        super().__init__("host:index:Supervisor", name, {"search_path": search_path, "state": None, "root": None}, opts)


class Process(pulumi.CustomResource):
    """A supervised process: created once it answers its health check, restarted when it dies."""

    state: Output[str]
    """`running`, or what is wrong: `dead`, `changed: …`, `foreign: …`, `unhealthy: …`."""

    log_path: Output[str]
    """Standard output and error, rotated."""

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[Input[str]],
        health: HealthCheckDict,
        environment: Input[Mapping[str, Input[str]]] | None = None,
        directory: Input[str] | None = None,
        ports: Sequence[Input[int]] = (),
        triggers: Mapping[str, Input[str]] | None = None,
        folders: Input[Sequence[Input[str]]] = (),
        start_timeout_seconds: float | None = None,
        stop_timeout_seconds: float | None = None,
        runbook: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Arguments are those of `infra.host.models.ProcessInputs`."""
        given = {
            "command": list(command),
            "health": health,
            "environment": {} if environment is None else environment,
            "directory": directory,
            "ports": list(ports),
            "triggers": dict(triggers or {}),
            "folders": list(folders) if isinstance(folders, Sequence) else folders,
            "start_timeout_seconds": start_timeout_seconds,
            "stop_timeout_seconds": stop_timeout_seconds,
            "runbook": runbook,
        }
        super().__init__("host:index:Process", name, _with_outputs(given, "state", "digest", "log_path"), opts)


class Job(pulumi.CustomResource):
    """A command that runs to its end once for each set of inputs."""

    digest: Output[str]
    """Digest of the inputs that it was done with."""

    log_path: Output[str]
    """Standard output and error of the last run."""

    state: Output[str]
    """`done`, or why the result of the job is missing or cannot be checked."""

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[Input[str]],
        environment: Input[Mapping[str, Input[str]]] | None = None,
        directory: Input[str] | None = None,
        triggers: Mapping[str, Input[str]] | None = None,
        check: Sequence[Input[str]] = (),
        repair: Sequence[Input[str]] = (),
        timeout_seconds: float | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Arguments are those of `infra.host.models.JobInputs`."""
        given = {
            "command": list(command),
            "environment": {} if environment is None else environment,
            "directory": directory,
            "triggers": dict(triggers or {}),
            "check": list(check),
            "repair": list(repair),
            "timeout_seconds": timeout_seconds,
        }
        super().__init__("host:index:Job", name, _with_outputs(given, "digest", "log_path", "state"), opts)


class Folder(pulumi.CustomResource):
    """A folder below the stack's folder."""

    absolute_path: Output[str]

    def __init__(self, name: str, *, path: str, keep: bool = False, opts: pulumi.ResourceOptions | None = None) -> None:
        """`path`: relative to the stack's folder; `keep`: deletion leaves it and its content."""
        super().__init__("host:index:Folder", name, {"path": path, "keep": keep, "absolute_path": None}, opts)


class File(pulumi.CustomResource):
    """A file, readable by its owner only, whose content was accepted by `check`."""

    absolute_path: Output[str]

    sha256: Output[str]
    """Hex digest of the content; a process that reads the file takes it as a trigger."""

    def __init__(
        self,
        name: str,
        *,
        path: str,
        content: Input[str],
        check: Sequence[Input[str]] = (),
        reload: Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Arguments are those of `infra.host.models.FileInputs`."""
        given = {"path": path, "content": content, "check": list(check), "reload": reload}
        super().__init__("host:index:File", name, _with_outputs(given, "absolute_path", "sha256"), opts)


class Secret(pulumi.CustomResource):
    """A random text of letters and digits, made once."""

    value: Output[str]
    """Secret in state and outputs."""

    def __init__(self, name: str, *, length: int = 32, opts: pulumi.ResourceOptions | None = None) -> None:
        """`length`: characters, 16 to 128."""
        super().__init__("host:index:Secret", name, {"length": length, "value": None}, opts)


class Port(pulumi.CustomResource):
    """A loopback port, chosen once."""

    chosen: Output[int]

    def __init__(self, name: str, *, number: int | None = None, opts: pulumi.ResourceOptions | None = None) -> None:
        """`number`: the port to take; None chooses a free one."""
        super().__init__("host:index:Port", name, _with_outputs({"number": number}, "chosen"), opts)


class KindCluster(pulumi.CustomResource):
    """A Kubernetes cluster in Docker on this machine."""

    kubeconfig: Output[str]
    """YAML; secret in state and outputs."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        configuration: str,
        node_image: str | None = None,
        registry_port: int | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Arguments are those of `infra.host.models.KindClusterInputs`."""
        given = {
            "cluster_name": cluster_name,
            "configuration": configuration,
            "node_image": node_image,
            "registry_port": registry_port,
        }
        super().__init__("host:index:KindCluster", name, _with_outputs(given, "kubeconfig"), opts)


def _with_outputs(given: Mapping[str, object], *outputs: str) -> dict[str, object]:
    return {**given, **dict.fromkeys(outputs)}
