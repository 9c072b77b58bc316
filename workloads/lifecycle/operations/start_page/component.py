"""The start page as a service of the platform's compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.compute import Compute, Role, ServiceSpec
from infra.credentials import Credentials

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
class Shown:
    """A workload of the page."""

    reference: str
    """Its definition, `module:NAME`."""

    probed: Mapping[str, pulumi.Input[str]]
    """Outputs of the stack as its own processes reach them; no secrets."""

    links: Mapping[str, pulumi.Input[str]]
    """The same as people reach them."""


@dataclass(frozen=True, kw_only=True)
class StartPageArgs:
    """What other components hand over."""

    compute: Compute

    default: str
    """Name of the workload that the page opens with."""

    shown: Mapping[str, Shown]
    """By name of the workload."""

    logins: Mapping[str, pulumi.Output[str]]
    """Output of the stack (`prometheus_login`, `policy_token`) -> `user:password` or token; secret."""

    view_tokens: Mapping[str, pulumi.Output[str]]
    """Workload -> token by which its retraining service lets the page read; secret."""

    prediction_probes: Mapping[str, pulumi.Output[str]]
    """Workload -> what tells its model server that a request only tries it; secret."""

    credentials: Credentials | None
    """What draws the token of a page that is closed; None for a page that is open to all who reach it."""


class StartPage(pulumi.ComponentResource):
    """Serves where everything is and how it does."""

    url: pulumi.Output[str]

    token: pulumi.Output[str] | None = None
    """Opens the page to programs, and signs the links that open it to people; secret. None where it is open."""

    def __init__(self, name: str, args: StartPageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:StartPage", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        secrets = {"LOGINS": pulumi.Output.json_dumps(args.logins)} if args.logins else {}
        secrets["VIEW_TOKENS"] = pulumi.Output.json_dumps(args.view_tokens)
        secrets["PREDICTION_PROBES"] = pulumi.Output.json_dumps(args.prediction_probes)
        if args.credentials is not None:
            secrets["START_TOKEN"] = self.token = args.credentials.generate(f"{name}-token", opts=child)
        service = args.compute.service(
            f"{name}-service",
            ServiceSpec(
                image="workload",
                command=["python", "-m", "workloads.lifecycle.operations.start_page"],
                environment={
                    "SHOWN": pulumi.Output.json_dumps({name: vars(each) for name, each in args.shown.items()}),
                    "WORKLOAD": args.shown[args.default].reference,
                },
                secrets=secrets,
                calls=CALLS,
                health_path="/healthz",
            ),
            child,
        )
        self.url = service.url
        self.register_outputs({"url": self.url})
