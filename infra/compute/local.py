"""Compute on this machine: services are supervised processes, jobs run once; all in the `workloads` environment."""

from dataclasses import dataclass
from typing import Literal

import pulumi

from infra.compute.spec import JobSpec, ScheduleSpec, ServiceSpec, TaskSpec
from infra.core.settings import Settings
from infra.core.substrate import LOOPBACK, Local
from infra.host import Folder, Job, Port, Process

START_TIMEOUT_SECONDS = 180
"""Importing a model server's libraries takes 7 s on an idle core, many times that on a busy one."""


class ComputeOnHostSettings(Settings):
    """What a stack file says about compute on this machine."""

    kind: Literal["compute-on-host"]


@dataclass(frozen=True, kw_only=True)
class ComputeOnHostArgs:
    """The settings, and what other components hand over."""

    settings: ComputeOnHostSettings

    substrate: Local


class ServiceOnHost(pulumi.ComponentResource):
    """One supervised process that serves HTTP on a loopback port.

    Realizes `infra.compute.Service`.
    """

    url: pulumi.Output[str]

    ready: pulumi.Resource
    """The process, once it is live."""

    def __init__(self, name: str, spec: ServiceSpec, substrate: Local, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("mlplatform:index:ServiceOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        port = Port(f"{name}-port", number=spec.port, opts=child)
        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=child)
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-process",
            command=spec.command,
            directory=str(substrate.checkout),
            environment=_environment(spec, substrate, WORK_DIR=scratch.absolute_path, PORT=port.chosen.apply(str)),
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, spec.health_path)},
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=substrate.child(self),
        )

        self.register_outputs({"url": self.url})


class JobOnHost(pulumi.ComponentResource):
    """One command that runs to its end; it starts once the stores that it needs answer.

    Realizes `infra.compute.Job`.
    """

    done: pulumi.Resource

    def __init__(self, name: str, spec: JobSpec, substrate: Local, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("mlplatform:index:JobOnHost", name, None, opts)

        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=pulumi.ResourceOptions(parent=self))
        self.done = Job(
            f"{name}-run",
            command=spec.command,
            directory=str(substrate.checkout),
            environment=_environment(spec, substrate, WORK_DIR=scratch.absolute_path),
            triggers=spec.triggers,
            timeout_seconds=spec.timeout_seconds,
            opts=substrate.child(self, *(need.store.ready for need in spec.needs)),
        )

        self.register_outputs({})


class ScheduleOnHost(pulumi.ComponentResource):
    """One supervised timer that runs a command at the times of a cron expression."""

    def __init__(self, name: str, spec: ScheduleSpec, substrate: Local, opts: pulumi.ResourceOptions | None) -> None:
        super().__init__("mlplatform:index:ScheduleOnHost", name, None, opts)

        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=pulumi.ResourceOptions(parent=self))
        record = pulumi.Output.concat(scratch.absolute_path, "/timer.json")
        Process(
            f"{name}-timer",
            command=[
                # By its path, because importing the package would keep Pulumi's SDK in memory.
                *(substrate.python, str(substrate.checkout / "infra" / "host" / "timer.py")),
                *("--cron", spec.cron),
                *("--record", record),
                "--",
                *spec.command,
            ],
            directory=str(substrate.checkout),
            environment=_environment(spec, substrate, WORK_DIR=scratch.absolute_path),
            health={"command": ["test", "-s", record]},
            opts=substrate.child(self),
        )

        self.register_outputs({})


class ComputeOnHost(pulumi.ComponentResource):
    """Runs what workloads declare as processes and jobs below the stack's supervisor.

    Realizes `infra.compute.Compute`. A need for a store becomes the store's own credentials: on one machine with one
    user there is no narrower identity to give.
    """

    def __init__(self, name: str, args: ComputeOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ComputeOnHost", name, None, opts)
        self._substrate = args.substrate
        self.register_outputs({})

    def service(self, name: str, spec: ServiceSpec, opts: pulumi.ResourceOptions | None = None) -> ServiceOnHost:
        """Keep a service running."""
        return ServiceOnHost(name, spec, self._substrate, opts)

    def job(self, name: str, spec: JobSpec, opts: pulumi.ResourceOptions | None = None) -> JobOnHost:
        """Run a job; `up` waits for its end and fails with it."""
        return JobOnHost(name, spec, self._substrate, opts)

    def schedule(self, name: str, spec: ScheduleSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run a task at the times of a cron expression."""
        ScheduleOnHost(name, spec, self._substrate, opts)


def _environment(spec: TaskSpec, substrate: Local, **more: pulumi.Input[str]) -> dict[str, pulumi.Input[str]]:
    credentials = {key: value for need in spec.needs for key, value in need.store.client_env.items()}
    return {"PATH": substrate.search_path, **credentials, **spec.environment, **more}
