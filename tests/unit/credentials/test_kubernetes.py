import pulumi

from infra import credentials
from infra.credentials.settings import RandomCredentialsSettings
from tests.clusters import on_cluster


def test_credential_is_drawn_once_of_letters_and_digits_and_is_secret(pulumi_run):
    def build(substrate, opts):
        made = credentials.build("credentials", RandomCredentialsSettings(kind="random"), substrate, opts)
        pulumi.export("token", made.generate("token", length=24, opts=opts))

    graph = pulumi_run(on_cluster(build))
    graph.one("RandomPassword", "token").assert_inputs({"length": 24, "special": False})
    assert graph.secret_outputs == {"token"}
