"""The way in on AWS: load balancer, certificate, records, and what external-dns may do."""

import json

import pytest
from pulumi_aws import acm, eks, iam, route53

from infra.exposure.settings import AwsGatewaySettings
from tests.aws import ACCOUNT, REGION
from tests.gateways import aws_gateway

pytestmark = pytest.mark.aws

OIDC = {"kind": "oidc", "issuer": "https://login.example.org", "client_id": "ml"}
ZONE = "Z0EXAMPLE0EXAMPLE00"
CHANGE = "route53:ChangeResourceRecordSets"
CHART = "kubernetes:helm.sh/v3:Release"
ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"


def settings(**others):
    chosen = {"kind": "aws-gateway", "domain": "ml.example.org", "zone_id": ZONE, "login": OIDC, **others}
    return AwsGatewaySettings.model_validate(chosen)


@pytest.fixture
def exposed(pulumi_run):
    """The graph of a gateway with a server behind it."""

    def run(**others):
        return pulumi_run(aws_gateway(settings(**others)))

    return run


def service(graph):
    return graph.one("*:EnvoyProxy").get("spec.provider.kubernetes.envoyService")


def test_gateway_is_behind_a_load_balancer_with_addresses_of_the_vpc(exposed):
    graph = exposed()
    assert graph.outputs["runs"] == "https://mlflow.ml.example.org"
    assert graph.outputs["hosts"][0] == "mlflow.ml.example.org"
    annotations = service(graph)["annotations"]
    assert service(graph)["type"] == "LoadBalancer"
    assert (annotations[f"{ANNOTATION}type"], annotations[f"{ANNOTATION}scheme"]) == ("nlb", "internal")
    assert annotations[f"{ANNOTATION}internal"] == "true"


def test_load_balancer_has_the_stacks_tags_for_sweep_and_bill(exposed):
    tags = service(exposed())["annotations"][f"{ANNOTATION}additional-resource-tags"]
    assert tags == "mlplatform:stack=test"


def test_public_load_balancer_has_a_login_and_takes_named_networks(exposed):
    graph = exposed(scheme="internet-facing", sources=["198.51.100.0/24"])
    assert f"{ANNOTATION}internal" not in service(graph)["annotations"]
    assert service(graph)["loadBalancerSourceRanges"] == ["198.51.100.0/24"]
    assert graph.one("*:SecurityPolicy").get("spec.oidc.clientID") == "ml"


@pytest.mark.parametrize("sources", [[], ["198.51.100.0/24"]])
def test_a_public_load_balancer_without_a_login_is_refused(sources):
    with pytest.raises(ValueError, match=r"login\.kind is none"):
        settings(scheme="internet-facing", login={"kind": "none"}, sources=sources)


def test_an_internal_one_may_go_without_a_login():
    assert settings(login={"kind": "none"}).login.kind == "none"


def test_certificate_is_requested_proved_in_the_zone_and_then_used(exposed):
    graph = exposed()
    certificate = graph.one(acm.Certificate)
    assert (certificate.get("domainName"), certificate.get("validationMethod")) == ("*.ml.example.org", "DNS")
    record = graph.one(route53.Record)
    assert record.get("zoneId") == ZONE
    assert record.get("name").endswith(".ml.example.org.")
    issued = graph.one(acm.CertificateValidation)
    annotations = service(graph)["annotations"]
    assert annotations[f"{ANNOTATION}ssl-cert"] == certificate.outputs["arn"]
    assert issued in graph.dependencies(graph.one("*:EnvoyProxy"))
    assert "TLS13-1-2" in annotations[f"{ANNOTATION}ssl-negotiation-policy"]


def test_the_load_balancer_speaks_tls_to_the_gateway_too(exposed):
    graph = exposed()
    assert service(graph)["annotations"][f"{ANNOTATION}backend-protocol"] == "ssl"
    (listener,) = graph.one("*:Gateway").get("spec.listeners")
    assert listener["protocol"] == "HTTPS"
    issuer = graph.one("*:Issuer")
    assert issuer.get("spec") == {"selfSigned": {}}
    reference = graph.one("*cert-manager.io*:Certificate").get("spec.issuerRef")
    assert reference == {"kind": "Issuer", "name": issuer.get("metadata.name")}


@pytest.mark.parametrize(
    ("certificate", "hostname"),
    [({"kind": "acm"}, None), ({"kind": "cluster-issuer", "name": "letsencrypt"}, "*.ml.example.org")],
)
def test_listener_has_a_hostname_only_where_clients_send_sni(exposed, certificate, hostname):
    (listener,) = exposed(certificate=certificate).one("*:Gateway").get("spec.listeners")
    assert listener.get("hostname") == hostname


def test_a_certificate_that_is_there_is_used_as_it_is(exposed):
    arn = f"arn:aws:acm:{REGION}:{ACCOUNT.id}:certificate/0a1b"
    graph = exposed(certificate={"kind": "acm", "arn": arn})
    assert service(graph)["annotations"][f"{ANNOTATION}ssl-cert"] == arn
    assert not graph.all(acm.Certificate)


def test_load_balancer_passes_tls_on_with_a_cert_manager_certificate(exposed):
    graph = exposed(certificate={"kind": "cluster-issuer", "name": "letsencrypt"})
    assert not [key for key in service(graph)["annotations"] if "ssl" in key]
    reference = graph.one("*cert-manager.io*:Certificate").get("spec.issuerRef")
    assert reference == {"kind": "ClusterIssuer", "name": "letsencrypt"}


def rights(graph):
    (role,) = [each for each in graph.all(iam.Role) if each.name == "exposure-dns-role"]
    trust = json.loads(role.get("assumeRolePolicy"))["Statement"][0]["Condition"]["StringEquals"]
    assert trust["aws:RequestTag/kubernetes-service-account"] == "external-dns"
    return {
        statement["Sid"]: statement for statement in json.loads(graph.one(iam.RolePolicy).get("policy"))["Statement"]
    }


@pytest.mark.parametrize(
    ("policy", "actions"),
    [("upsert-only", ["CREATE", "UPSERT"]), ("sync", ["CREATE", "UPSERT", "DELETE"])],
)
def test_external_dns_changes_the_domains_records_in_its_zone_only(exposed, policy, actions):
    graph = exposed(records={"policy": policy})
    found = rights(graph)
    assert {action for each in found.values() for action in each["Action"]} == {
        "route53:ListHostedZones",
        "route53:ListResourceRecordSets",
        CHANGE,
    }
    own = found["OwnRecords"]
    assert own["Resource"] == [f"arn:aws:route53:::hostedzone/{ZONE}"]
    assert own["Condition"]["ForAllValues:StringLike"] == {f"{CHANGE}NormalizedRecordNames": ["*.ml.example.org"]}
    assert own["Condition"]["ForAllValues:StringEquals"][f"{CHANGE}Actions"] == actions
    values = graph.one(CHART).get("values")
    assert values["policy"] == policy
    assert values["txtOwnerId"] == "test"
    assert values["extraArgs"]["zone-id-filter"] == ZONE
    assert values["extraArgs"]["gateway-name"] == graph.one("*:Gateway").get("metadata.name")


def test_external_dns_starts_once_its_rights_are_bound(exposed):
    graph = exposed()
    needed = graph.dependencies(graph.one(CHART))
    assert graph.one(eks.PodIdentityAssociation) in needed
    assert graph.one(iam.RolePolicy) in needed


def test_without_records_there_is_no_external_dns(exposed):
    graph = exposed(records=None)
    assert not graph.all(CHART)
    assert not graph.all(iam.Role)


@pytest.mark.parametrize("zone", ["example.org", "z0", "Z!", ""])
def test_a_zone_is_named_by_its_id(zone):
    with pytest.raises(ValueError, match="zone_id"):
        settings(zone_id=zone)
