"""A program's own MySQL: on RDS what holds for the stack's databases, on a cluster a restricted pod."""

import pulumi
import pytest
from pulumi_aws import cloudwatch, ec2, kms, rds, vpc

from infra.base.protection import Protection
from infra.database.mysql import MysqlOnKubernetes, MysqlOnKubernetesArgs
from infra.database.rds_mysql import RdsMysql, RdsMysqlArgs
from infra.database.settings import MysqlOnKubernetesSettings, RdsMysqlSettings
from tests.clusters import loose, on_cluster, pods
from tests.stores_on_aws import on_aws

pytestmark = pytest.mark.aws


def managed(**settings):
    def build(substrate, opts):
        args = RdsMysqlArgs(settings=RdsMysqlSettings(**settings), substrate=substrate, user="mlpipeline")
        made = RdsMysql("pipelines-database", args, opts).server
        pulumi.export("host", made.host)
        pulumi.export("password", made.password)

    return on_aws(build)


def own(**settings):
    def build(substrate, opts):
        args = MysqlOnKubernetesArgs(
            settings=MysqlOnKubernetesSettings(**settings), substrate=substrate, role="runs", database="runs"
        )
        pulumi.export("host", MysqlOnKubernetes("runs", args, opts).server.host)

    return on_cluster(build)


def test_the_managed_one_is_encrypted_private_saved_and_protected(pulumi_run):
    instance = pulumi_run(managed()).one(rds.Instance)
    assert instance.protect
    assert (instance.get("engine"), instance.get("engineVersion")) == ("mysql", "8.4")
    assert instance.get("storageEncrypted") is instance.get("multiAz") is instance.get("deletionProtection") is True
    assert instance.get("publiclyAccessible") is instance.get("skipFinalSnapshot") is False
    assert instance.get("backupRetentionPeriod") == 14


def test_managed_mysql_admits_encrypted_clients_of_the_cluster_only(pulumi_run):
    graph = pulumi_run(managed())
    parameters = {each["name"]: each["value"] for each in graph.one(rds.ParameterGroup).get("parameters")}
    assert parameters["require_secure_transport"] == "1"
    assert not graph.one(ec2.SecurityGroup).inputs.get("ingress")
    assert {each.get("fromPort") for each in graph.all(vpc.SecurityGroupIngressRule)} == {3306}


def test_its_logs_are_encrypted_and_forgotten_before_it_writes_them(pulumi_run):
    graph = pulumi_run(managed(logs_days=30, slow_statement_ms=250))
    groups = graph.all(cloudwatch.LogGroup)
    assert {each.name.rsplit("-", 2)[-2] for each in groups} == {"error", "slowquery"}
    assert {each.get("retentionInDays") for each in groups} == {30}
    assert {each.get("kmsKeyId") for each in groups} == {graph.one(kms.Key).outputs["arn"]}
    assert set(groups) <= set(graph.dependencies(graph.one(rds.Instance)))
    parameters = {each["name"]: each["value"] for each in graph.one(rds.ParameterGroup).get("parameters")}
    assert parameters["long_query_time"] == "0.25"


def test_its_password_is_drawn_secret_and_drawn_again_on_request(pulumi_run):
    graph = pulumi_run(managed(password_generation=2))
    assert "password" in graph.secret_outputs
    graph.one(rds.Instance).assert_secret("password")
    drawn = graph.one("random:index/randomPassword:RandomPassword")
    assert drawn.get("keepers") == {"generation": "2"}


@pytest.mark.parametrize(("protection", "kept"), [("retain", True), ("delete", False)])
def test_what_becomes_of_the_data_is_the_stack_files_choice(pulumi_run, protection: Protection, kept):
    instance = pulumi_run(managed(protection=protection)).one(rds.Instance)
    assert not instance.protect
    assert instance.get("skipFinalSnapshot") is not kept


def test_storage_that_cannot_grow_is_refused_before_aws_is_asked():
    with pytest.raises(ValueError, match="storage_max_gib 100 is less than a tenth above storage_gib 100"):
        RdsMysqlSettings(storage_gib=100)


def test_the_own_one_is_a_restricted_pod_that_only_its_callers_reach(pulumi_run):
    graph = pulumi_run(own())
    assert loose(pods(graph)["runs-server"]) == []
    (rule,) = graph.one("NetworkPolicy", "runs-callers").get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/calls-runs": "true"}
    assert rule["ports"] == [{"port": 3306, "protocol": "TCP"}]


def test_own_mysql_keeps_data_in_a_folder_as_volume_roots_have_files(pulumi_run):
    (container,) = pods(pulumi_run(own(memory_mib=2048)))["runs-server"]["containers"]
    assert "--datadir=/var/lib/mysql/data" in container["args"]
    assert "--innodb-buffer-pool-size=1024M" in container["args"]
    assert "/var/lib/mysql" in {mount["mountPath"] for mount in container["volumeMounts"]}
