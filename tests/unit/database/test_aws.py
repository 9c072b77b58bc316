"""Databases on RDS as a graph, and what a stack file may say about them."""

import json

import pulumi
import pytest
from pulumi_aws import cloudwatch, ec2, eks, iam, kms, rds, vpc
from pydantic import ValidationError

from infra import database
from infra.database.settings import RdsPostgresSettings
from infra.kube import authority
from tests.aws import ACCOUNT
from tests.clusters import loose, pods
from tests.stores_on_aws import on_aws

pytestmark = pytest.mark.aws


def settings(**changes):
    return RdsPostgresSettings.model_validate({"kind": "rds-postgres", **changes})


@pytest.fixture
def graph(pulumi_run):
    def run(*names, certificates=None, **changes):
        def build(substrate, opts):
            made = database.build("database", settings(**changes), substrate, opts)
            for name in names or ("tracking-database",):
                pulumi.export(name, made.create(name, opts))

        return pulumi_run(on_aws(build, certificates))

    return run


def test_a_database_has_its_own_role_and_its_url_is_secret(graph):
    made = graph()
    host = made.one(rds.Instance).outputs["address"]
    assert made.outputs["tracking-database"] == (
        f"postgresql+psycopg://tracking_database:tracking-database-password-value@{host}:5432/tracking_database"
        "?sslmode=require"
    )
    assert made.secret_outputs == {"tracking-database"}


def test_where_the_certificate_is_known_it_is_checked(graph):
    made = graph(certificates="tests/database-authority.pem")
    assert made.outputs["tracking-database"].endswith(f"?sslmode=verify-full&sslrootcert={authority.PATH}")
    job = pods(made)["tracking-database-provision-job"]["containers"][0]
    environment = {each["name"]: each.get("value") for each in job["env"]}
    assert (environment["SSLMODE"], environment["SSLROOTCERT"]) == ("verify-full", authority.PATH)
    assert authority.FOLDER in [each["mountPath"] for each in job["volumeMounts"]]
    (held,) = (each.get("data") for each in made.all("kubernetes:core/v1:ConfigMap"))
    assert held[authority.FILE].startswith(authority.BEGINNING)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----", None])
def test_file_without_certificates_is_refused_with_how_to_get_one(tmp_path, text):
    file = tmp_path / "rds.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(authority.AuthorityError, match=r"rds\.pem is no file of certificates .*: get one"):
        authority.read(file, "get one")


def test_masters_password_is_managed_by_aws_and_not_in_the_program(graph):
    made = graph()
    instance = made.one(rds.Instance)
    assert instance.get("manageMasterUserPassword") is True
    assert "password" not in instance.inputs
    assert instance.get("masterUserSecretKmsKeyId") == made.one(kms.Key).outputs["arn"]
    assert {each.name for each in made.resources if each.secret_inputs} == {"tracking-database-provision-secrets"}


def test_only_jobs_that_make_databases_may_read_the_masters_password(graph):
    made = graph("tracking-database", "feature-store-registry")
    (reader,) = made.all(iam.Role)
    trust = json.loads(reader.get("assumeRolePolicy"))["Statement"][0]["Condition"]["StringEquals"]
    assert trust["aws:RequestTag/kubernetes-namespace"] == "mlplatform"
    assert trust["aws:RequestTag/kubernetes-service-account"] == "database-master"
    rights = {each["Sid"]: each for each in json.loads(made.one(iam.RolePolicy).get("policy"))["Statement"]}
    assert rights["Read"]["Resource"] == [made.one(rds.Instance).outputs["masterUserSecrets"][0]["secretArn"]]
    assert rights["Decrypt"]["Condition"] == {
        "StringEquals": {"kms:ViaService": f"secretsmanager.{ACCOUNT.region}.amazonaws.com"}
    }
    made.one(eks.PodIdentityAssociation).assert_inputs(
        {"namespace": "mlplatform", "serviceAccount": "database-master", "clusterName": "theirs"}
    )
    assert {pod["serviceAccountName"] for pod in pods(made).values()} == {"database-master"}


def test_job_starts_once_the_instance_answers_and_has_its_rights(graph):
    made = graph()
    waits_for = {each.type.rsplit(":", 1)[-1] for each in made.dependencies(made.one("Job"))}
    assert {"Instance", "RolePolicy", "PodIdentityAssociation", "ServiceAccount", "NetworkPolicy"} <= waits_for


def test_job_is_restricted_and_reaches_only_the_instance_and_aws(graph):
    made = graph()
    (pod,) = pods(made).values()
    assert loose(pod) == []
    ways = made.one("NetworkPolicy").get("spec.egress")
    reached = [(peer["ipBlock"]["cidr"], port["port"]) for way in ways for peer in way["to"] for port in way["ports"]]
    assert reached == [
        *((f"10.40.2{number}.0/24", 5432) for number in range(3)),
        ("10.40.0.0/16", 443),
        ("169.254.170.23/32", 80),
    ]


def test_next_generation_draws_a_new_password_and_reruns_the_job(graph):
    first, second = graph(), graph(password_generation=2)
    assert first.one("RandomPassword").get("keepers") != second.one("RandomPassword").get("keepers")


def test_data_are_encrypted_by_a_stack_key_and_reached_over_tls_only(graph):
    made = graph()
    key = made.one(kms.Key)
    made.one(rds.Instance).assert_inputs(
        {"storageEncrypted": True, "kmsKeyId": key.outputs["arn"], "publiclyAccessible": False}
    )
    assert {"name": "rds.force_ssl", "value": "1", "applyMethod": "pending-reboot"} in made.one(
        rds.ParameterGroup, "*-17"
    ).get("parameters")


def test_a_standby_backups_and_deletion_protection_are_on(graph):
    graph(backup_days=20).one(rds.Instance).assert_inputs(
        {
            "multiAz": True,
            "backupRetentionPeriod": 20,
            "deletionProtection": True,
            "skipFinalSnapshot": False,
            "finalSnapshotIdentifier": "database-0a1b2c3d-final",
            "iamDatabaseAuthenticationEnabled": True,
            "performanceInsightsEnabled": True,
            "performanceInsightsRetentionPeriod": 7,
        }
    )


@pytest.mark.parametrize(
    ("protection", "protect", "retain", "snapshot"),
    [("protect", True, False, True), ("retain", False, True, True), ("delete", False, False, False)],
)
def test_data_and_their_key_are_protected_as_the_stack_file_says(graph, protection, protect, retain, snapshot):
    made = graph(protection=protection)
    instance = made.one(rds.Instance)
    for kept in (instance, made.one(kms.Key)):
        assert (kept.protect, kept.options.get("retainOnDelete", False)) == (protect, retain)
    assert instance.get("deletionProtection") is protect
    assert instance.get("skipFinalSnapshot") is not snapshot


def test_encrypted_expiring_log_groups_are_made_before_the_instance(graph):
    made = graph(logs_days=30)
    groups = made.all(cloudwatch.LogGroup)
    assert {each.get("name") for each in groups} == {
        f"/aws/rds/instance/database-0a1b2c3d/{log}" for log in ("postgresql", "upgrade")
    }
    assert {each.get("retentionInDays") for each in groups} == {30}
    assert set(groups) <= set(made.dependencies(made.one(rds.Instance)))


def test_major_version_changes_to_a_parameter_group_that_exists(graph):
    """RDS upgrades in the maintenance window and refuses to delete the old group until then."""
    older, newer = graph(version="17"), graph(version="18")
    names = {each.name for each in older.all(rds.ParameterGroup)}
    assert names == {each.name for each in newer.all(rds.ParameterGroup)}
    for made, version in ((older, "17"), (newer, "18")):
        group = made.one(rds.ParameterGroup, f"*-{version}")
        group.assert_inputs({"family": f"postgres{version}"})
        assert made.one(rds.Instance).get("parameterGroupName") == group.outputs["name"]


def test_only_nodes_and_pods_of_the_cluster_reach_it_on_its_port(graph):
    made = graph()
    made.one(ec2.SecurityGroup)
    made.one(vpc.SecurityGroupIngressRule).assert_inputs(
        {"referencedSecurityGroupId": "sg-1", "fromPort": 5432, "toPort": 5432, "ipProtocol": "tcp"}
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance_class": "db.t2.micro"}, "instance_class\n.*'db.t4g.medium'"),
        ({"version": "12"}, "'16', '17' or '18'"),
        ({"storage_gib": 10}, "greater than or equal to 20"),
        ({"storage_gib": 500}, "storage_max_gib 500 is less than a tenth above storage_gib 500: give 551 or more"),
        ({"backup_days": 0}, "greater than or equal to 1"),
        ({"backup_days": 36}, "less than or equal to 35"),
        ({"backup_window": "03:30-04:30"}, "the backup window 03:30-04:30 overlaps the maintenance window"),
        ({"root_certificate": "/etc/ssl/rds.pem"}, "root_certificate"),
        ({"root_certificate": "rds.crt"}, "root_certificate"),
        ({"insights": "none"}, "'standard' or 'advanced'"),
        ({"protection": "no"}, "'protect', 'retain' or 'delete'"),
    ],
)
def test_a_wrong_database_is_refused_with_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_a_name_that_postgres_cannot_have_is_refused(graph):
    with pytest.raises(ValueError, match="64 characters, at most 63"):
        graph("x" * 64)
