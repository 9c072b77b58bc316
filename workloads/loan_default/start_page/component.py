"""The start page as a service of the platform's compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.compute import Compute, Role, ServiceSpec

CALLS: tuple[Role, ...] = (
    "feature-server",
    "model-server",
    "monitoring",
    "online-store",
    "pipelines",
    "policy-server",
    "retraining",
    "tracking",
)


@dataclass(frozen=True, kw_only=True)
class StartPageArgs:
    """What other components hand over."""

    compute: Compute

    probed: Mapping[str, pulumi.Input[str]]
    """Outputs of the stack as its own processes reach them; no secrets."""

    links: Mapping[str, pulumi.Input[str]]
    """The same as people reach them."""


class StartPage(pulumi.ComponentResource):
    """Serves where everything is and how it does."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: StartPageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:StartPage", name, None, opts)
        service = args.compute.service(
            f"{name}-service",
            ServiceSpec(
                image="workload",
                command=["python", "-m", "workloads.loan_default.start_page"],
                environment={
                    "ENDPOINTS": pulumi.Output.json_dumps(args.probed),
                    "LINKS": pulumi.Output.json_dumps(args.links),
                },
                calls=CALLS,
                health_path="/healthz",
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.url = service.url
        self.register_outputs({"url": self.url})
