"""A gateway on AWS by itself, with one server behind it; no test that uses it talks to AWS."""

from collections.abc import Callable
from types import SimpleNamespace

import pulumi
import pulumi_aws
import pulumi_kubernetes

from infra import exposure, identity
from infra.aws.substrate import Aws
from infra.base.paths import CHECKOUT
from infra.exposure.settings import AwsGatewaySettings
from infra.exposure.spec import Server
from infra.identity.settings import PodIdentitySettings
from infra.kube.substrate import Kubernetes
from tests.aws import ACCOUNT, REGION
from tests.clusters import image


def aws_gateway(settings: AwsGatewaySettings) -> Callable[[], None]:
    """A program that makes the gateway and exposes MLflow; it exports the URL and the values of `Host`."""

    def program() -> None:
        aws = pulumi_aws.Provider("aws", region=REGION)
        cluster = pulumi_kubernetes.Provider("cluster")
        namespace = pulumi.Output.from_input("mlplatform")
        inside = Kubernetes(provider=cluster, namespace=namespace, checkout=CHECKOUT, image=image)
        eks_cluster = SimpleNamespace(
            name=pulumi.Output.from_input("prod"), arn=pulumi.Output.from_input(ACCOUNT.arn("eks", "cluster/prod"))
        )
        opts = pulumi.ResourceOptions(providers=[aws, cluster])
        pods = PodIdentitySettings(kind="pod-identity")
        substrate = Aws(
            provider=aws,
            account=ACCOUNT,
            network=SimpleNamespace(cidr="10.40.0.0/16"),
            cluster=eks_cluster,
            kubernetes=inside,
            identity=identity.build_on_aws("identity", pods, ACCOUNT, eks_cluster, opts),
        )
        made = exposure.build("exposure", settings, substrate, "s3cret", opts)
        runs = pulumi.Output.from_input("http://tracking.mlplatform.svc.cluster.local:5000")
        pulumi.export("runs", made.expose(Server(name="mlflow", path="tracking"), runs))
        pulumi.export("hosts", made.hosts("mlflow"))

    return program
