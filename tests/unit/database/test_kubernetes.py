import pulumi

from infra import database
from infra.database.settings import PostgresOnKubernetesSettings
from tests.clusters import loose, on_cluster, pods


def declare(**settings):
    def build(substrate, opts):
        chosen = PostgresOnKubernetesSettings(kind="postgres-on-kubernetes", **settings)
        made = database.build("database", chosen, substrate, opts)
        pulumi.export("url", made.create("some-registry", opts))

    return on_cluster(build)


def variables(pod):
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod["containers"][0]["env"]}


def test_every_pod_is_as_restricted_as_can_be(pulumi_run):
    found = pods(pulumi_run(declare()))
    assert set(found) == {"database-server", "some-registry-creation-job"}
    assert [loose(pod) for pod in found.values()] == [[], []]


def test_database_has_its_own_role_and_password_and_its_url_is_secret(pulumi_run):
    graph = pulumi_run(declare())
    assert graph.outputs["url"] == (
        "postgresql+psycopg://some_registry:some-registry-password-value@"
        "database.somewhere.svc.cluster.local:5432/some_registry"
    )
    assert graph.secret_outputs == {"url"}


def test_no_password_is_outside_of_a_secret(pulumi_run):
    graph = pulumi_run(declare())
    holders = {each.name for each in graph.resources if each.secret_inputs and "RandomPassword" not in each.type}
    assert holders == {"database-secrets", "some-registry-creation-secrets"}
    assert graph.one("Secret", "database-secrets").get("stringData.POSTGRES_PASSWORD") == "database-password-value"


def test_whoever_has_the_url_waits_for_the_database_to_be_made(pulumi_run):
    def program():
        declare()()

    graph = pulumi_run(program)
    creation = graph.one("Job", "some-registry-creation-job")
    assert graph.one("StatefulSet") in graph.dependencies(creation)


def test_the_creation_may_call_the_database_and_nothing_else(pulumi_run):
    creation = pulumi_run(declare()).one("Job")
    labels = creation.get("spec.template.metadata.labels")
    assert [key for key in labels if "/calls-" in key] == ["mlplatform.dev/calls-database"]
    assert "mlplatform.dev/serves" not in labels


def test_shared_buffers_are_a_quarter_of_the_servers_memory(pulumi_run):
    pod = pods(pulumi_run(declare(memory_mib=2048)))["database-server"]
    assert "shared_buffers=512MB" in pod["containers"][0]["args"]
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "2Gi"


def test_passwords_are_demanded_of_everybody_and_pages_are_checked(pulumi_run):
    pod = pods(pulumi_run(declare()))["database-server"]
    assert variables(pod)["POSTGRES_INITDB_ARGS"] == "--auth=scram-sha-256 --data-checksums"
