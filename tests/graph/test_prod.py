"""The whole prod stack as a graph, without an engine; what AWS and the cluster answer is simulated."""

import itertools
import json
import re
from fnmatch import fnmatchcase

import pytest
from pulumi_aws import ec2, eks, iam, kms, rds, s3, vpc

from infra.base import paths
from infra.identity.aws import ROLE_ANNOTATION
from infra.kube import authority
from infra.namespaces.aws import AGENT_CIDR
from infra.pipelines.kubernetes import ACCOUNTS
from stacks.commands.access_matrix import holders, rights
from stacks.outputs import SECRETS_OF_A_WORKLOAD
from tests import prod
from tests.clusters import empty_maps, loose, pods
from tests.iam import allowed, refused
from tests.limits import PROXIES, containers, ranges, refusals

DATA = (s3.Bucket, rds.Instance, "aws:elasticache/replicationGroup:ReplicationGroup")
OURS = ("mlplatform", "loan-default")
S3_POLICY_BYTES = 20 * 1024
KUBEFLOW = {f"kubeflow/{account}" for account in (*ACCOUNTS, "loan-default")}
"""Service accounts of KFP's manifests, and of the pipeline, whose pods the graph does not show."""


@pytest.fixture(scope="module")
def graph():
    """Once for all tests: the program takes seconds."""
    return prod.whole()


def test_the_graph_is_the_golden_one(graph, pulumi_golden):
    text = graph.snapshot().replace(str(paths.CHECKOUT), "<checkout>")
    pulumi_golden.hashed(re.sub("[0-9a-f]{64}", "<sha256>", text))


def test_rights_in_the_store_are_the_golden_ones(graph, pulumi_golden):
    """In full: `tests/unit/workloads/test_store_rights.py` puts them before an S3 API."""
    found = {
        each.name: json.loads(each.get("policy"))
        for each in graph.resources
        if each.name.endswith("-identity-policy") or each.name == "artifact-store-objects-policy"
    }
    pulumi_golden(json.dumps(found, indent=1, sort_keys=True) + "\n")


def test_aws_provider_tags_everything_and_allows_only_its_account(graph):
    provider = graph.one("pulumi:providers:aws")
    assert json.loads(provider.get("defaultTags")) == {"tags": {"mlplatform:stack": "prod"}}
    assert json.loads(provider.get("allowedAccountIds")) == ["111122223333"]


def test_what_holds_data_is_protected(graph):
    kept = [each for kind in DATA for each in graph.all(kind)]
    assert len(kept) >= 4
    assert [each.name for each in kept if not each.protect] == []


def test_every_key_is_our_own_and_rotated(graph):
    assert {each.get("enableKeyRotation") for each in graph.all(kms.Key)} == {True}


def test_nothing_is_open_to_the_internet(graph):
    for group in graph.all(ec2.SecurityGroup):
        assert "0.0.0.0/0" not in json.dumps(group.inputs.get("ingress") or [])
    assert graph.one(eks.Cluster).get("vpcConfig.endpointPublicAccess") is False
    assert {each.get("publiclyAccessible") for each in graph.all(rds.Instance)} == {False}


def test_access_to_the_cluster_comes_before_its_objects(graph):
    provider = graph.one("pulumi:providers:kubernetes")
    needed = graph.dependencies(provider)
    assert {each.name for each in graph.all(eks.AccessPolicyAssociation)} <= {each.name for each in needed}
    assert graph.one(eks.NodeGroup, "cluster-system-nodes") in needed
    assert set(graph.all(vpc.SecurityGroupIngressRule, "cluster-api-*")) & set(needed)


def test_no_pod_of_ours_is_loose(graph):
    assert {name: found for name, pod in pods(graph).items() if (found := loose(pod))} == {}


def test_no_metadata_holds_an_empty_map(graph):
    """An API server drops it, so that the provider reports an update at every run."""
    assert empty_maps(graph) == []


def test_no_container_is_refused_by_its_namespaces_limits(graph):
    assert {PROXIES, *OURS} <= set(ranges(graph))
    assert len({owner for owner, *_ in containers(graph)}) > 20
    assert refusals(graph) == []


def accounts(graph):
    """Namespace and name of the service account of every pod of the stack, to its logical name."""
    found = {}
    for name, pod in pods(graph).items():
        owner = next(each for each in graph.resources if each.name == name and "spec" in (each.inputs or {}))
        found[owner.inputs["metadata"]["namespace"], pod.get("serviceAccountName", "default")] = name
    return found


def granted(graph):
    return {
        (each.get("namespace"), each.get("serviceAccount"))
        for each in graph.all(eks.PodIdentityAssociation)
        if each.get("namespace") in OURS
    }


def reaching(graph):
    """Service accounts of the pods that say, for the network's sake, that they call the artifact store."""
    found = set()
    for resource in graph.resources:
        spec = (resource.inputs or {}).get("spec") if isinstance(resource.inputs, dict) else None
        if not isinstance(spec, dict):
            continue
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
        labels = (template or {}).get("metadata", {}).get("labels") or {}
        if "mlplatform.dev/calls-artifact-store" in labels:
            found.add((resource.inputs["metadata"]["namespace"], template["spec"]["serviceAccountName"]))
        predictor = spec.get("predictor")
        if predictor is not None:
            found.add((resource.inputs["metadata"]["namespace"], predictor["serviceAccountName"]))
    return found


def test_whoever_reaches_the_artifact_store_has_a_grant(graph):
    assert reaching(graph) - granted(graph) == set()


def test_no_grant_is_there_that_no_pod_asked_for(graph):
    assert granted(graph) - set(accounts(graph)) == set()
    buckets = {
        right.who.removeprefix("pod ")
        for right in rights(graph)
        if any(":s3:::" in each for each in right.on) and right.who.startswith("pod ")
    }
    assert buckets == {"/".join(each) for each in reaching(graph)} | KUBEFLOW


def test_bucket_policy_refuses_exactly_what_tasks_have_no_right_to(graph):
    bucket = graph.one(s3.Bucket, "artifact-store-objects-bucket").outputs["arn"]
    policy = json.loads(graph.one(s3.BucketPolicy, "artifact-store-objects-policy").get("policy"))["Statement"]
    keys = ("loan-default/raw/a", "loan-default/captures/a", "mlflow/a", "pipelines/a", "a")
    seen = set()
    for role in graph.all(iam.Role):
        own = [
            each
            for held in graph.all(iam.RolePolicy)
            if held.get("role") == role.outputs["name"]
            for each in json.loads(held.get("policy"))["Statement"]
            if each["Sid"].startswith("Objects")
        ]
        arn = f"arn:aws:iam::111122223333:role/mlplatform/{role.outputs['name']}"
        for action, key in itertools.product(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), keys):
            asked = (arn, action, f"{bucket}/{key}")
            assert refused(policy, *asked) is not allowed(own, *asked), asked
            seen.add(allowed(own, *asked))
    assert seen == {True, False}
    assert len(json.dumps(policy)) < S3_POLICY_BYTES


def test_no_workload_may_do_more_than_its_prefix(graph):
    for right in rights(graph):
        if right.who.startswith("pod loan-default/") and any("s3:PutObject" in each for each in right.actions):
            mine = ("captures/*", "challengers/*") if "model" in right.who else ("*",)
            ends = tuple(f"/loan-default/{place}" for place in mine)
            assert all(each.endswith(ends) for each in right.on), right
        if right.who.startswith("pod ") and any(each.startswith("kms:") for each in right.actions):
            assert "kms:ViaService" in right.only_if


def test_no_policy_of_ours_allows_everything_on_everything(graph):
    for right in rights(graph):
        if right.allowed and "*" in right.on:
            assert not set(right.actions) & {"*", "s3:*", "iam:*", "kms:*"}


def test_every_role_but_those_of_ci_is_bound_and_the_bound_suffices(graph):
    limit = json.loads(graph.one(iam.Policy).get("policy"))["Statement"]
    within = [pattern for each in limit for pattern in each["Action"]]
    free = {"ci-preview", "ci-up", "ci-images"}
    for role in graph.all(iam.Role):
        bound = role.inputs.get("permissionsBoundary")
        assert bound == (
            None if role.inputs.get("name") in free else "arn:aws:iam::111122223333:policy/mlplatform/boundary"
        )
    given = {action for right in rights(graph) if not right.who.startswith("github") for action in right.actions}
    assert [each for each in given if not any(fnmatchcase(each, pattern) for pattern in within)] == []


def test_claims_that_name_no_class_get_encrypted_volumes_of_the_stack(graph):
    default = graph.one("kubernetes:storage.k8s.io/v1:StorageClass")
    assert default.get("metadata.annotations") == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert default.get("parameters") == {
        "type": "gp3",
        "encrypted": "true",
        "kmsKeyId": graph.one(kms.Key, "cluster-data-key").outputs["arn"],
        "tagSpecification_1": "mlplatform:stack=prod",
    }


def test_karpenter_may_use_the_key_of_the_volumes_that_its_nodes_have(graph):
    key = graph.one(kms.Key, "autoscaler-volumes-key").outputs["arn"]
    used = {
        a
        for right in rights(graph)
        if right.who == "pod kube-system/karpenter"
        for a in right.actions
        if key in right.on
    }
    assert {"kms:CreateGrant", "kms:GenerateDataKeyWithoutPlaintext"} <= used
    assert "AWSServiceRoleForEC2Spot" in graph.one(kms.Key, "autoscaler-volumes-key").get("policy")


def test_no_role_trusts_everybody(graph):
    for role in graph.all(iam.Role):
        for statement in json.loads(role.get("assumeRolePolicy"))["Statement"]:
            assert statement["Principal"] not in ("*", {"AWS": "*"})
            if "Federated" in statement["Principal"]:
                assert "*" not in json.dumps(statement["Condition"]["StringEquals"])


def test_outside_of_the_cluster_pods_reach_managed_stores_only(graph):
    outside = {}
    for each in graph.all("kubernetes:networking.k8s.io/v1:NetworkPolicy"):
        if each.get("metadata.namespace") not in OURS:
            continue
        for rule in each.inputs["spec"].get("egress") or []:
            cidrs = [peer["ipBlock"]["cidr"] for peer in rule.get("to") or [] if "ipBlock" in peer]
            if cidrs:
                outside.setdefault(each.name, []).extend(cidrs)
    provisioning = {name for name in outside if name.endswith("-provision-ways")}
    assert set(outside) - provisioning == {
        f"{space}-namespace-managed-{role}" for space in OURS for role in ("artifact-store", "database", "online-store")
    }
    assert not any("0.0.0.0/0" in cidrs for cidrs in outside.values())


def test_pages_need_a_login_from_outside_and_programs_reach_the_model(graph):
    policies = {each.get("spec.targetRefs")[0]["kind"]: each for each in graph.all("*:SecurityPolicy")}
    everywhere, model = policies["Gateway"], policies["HTTPRoute"]
    gateway = graph.one("*:Gateway", "exposure-gateway-gateway")
    assert everywhere.get("spec.targetRefs")[0]["name"] == gateway.get("metadata.name")
    assert everywhere.get("spec.oidc.clientID") == "mlplatform"
    routes = {each.get("metadata.name"): each.get("spec.hostnames")[0] for each in graph.all("*:HTTPRoute")}
    assert routes[model.get("spec.targetRefs")[0]["name"]] == "model.ml.example.com"
    assert {host.split(".")[0] for host in routes.values()} >= {"mlflow", "pipelines", "grafana", "prometheus", "start"}


def test_urls_for_people_are_https_of_the_domain_and_cache_is_rediss(graph):
    urls = {name: url for name, url in graph.outputs.items() if name.endswith("_url")}
    assert urls.pop("online_store_url").startswith("rediss://")
    assert [url for url in urls.values() if ".ml.example.com" not in url or not url.startswith("https://")] == []


def test_mlflow_answers_the_public_host_and_lets_its_pages_write(graph):
    command = " ".join(map(str, pods(graph)["tracking-server"]["containers"][0]["command"]))
    assert ",mlflow.ml.example.com,mlflow.ml.example.com:443 " in command
    assert "--cors-allowed-origins https://mlflow.ml.example.com" in command


def test_pipelines_have_no_store_key_and_their_server_is_on_rds(graph):
    secrets = {
        each.get("metadata.name", None): each.inputs["stringData"] for each in graph.all("kubernetes:core/v1:Secret")
    }
    assert secrets["pipelines-store"] == {"accesskey": "", "secretkey": ""}
    assert "pipelines-ui-keys" not in secrets
    hosts = {each.get("engine"): each.outputs["address"] for each in graph.all(rds.Instance)}
    assert secrets["pipelines-database"]["host"] == hosts["mysql"]
    assert secrets["pipelines-metadata"]["host"] == hosts["postgres"]
    assert secrets["pipelines-metadata"]["sslmode"] == "require"


def test_pipelines_in_the_cluster_reach_rds_s3_and_their_credentials():
    graph = prod.graph(prod.program(pipelines={"kind": "kfp-on-kubernetes"}))
    ways = {
        each.get("spec.podSelector.matchLabels", {}).popitem()[0]: json.dumps(each.get("spec.egress"))
        for each in graph.all("kubernetes:networking.k8s.io/v1:NetworkPolicy", "pipelines-namespace-managed-*")
    }
    assert '"port": 5432' in ways["mlplatform.dev/calls-database"]
    assert AGENT_CIDR in ways["mlplatform.dev/calls-artifact-store"]
    assert not [each for each in graph.all(rds.Instance) if each.get("engine") == "mysql"]


def test_database_clients_get_its_certificates_and_verify_them():
    graph = prod.graph(prod.program(database={"root_certificate": "tests/database-authority.pem"}))
    published = {
        each.get("metadata.namespace")
        for each in graph.all("kubernetes:core/v1:ConfigMap")
        if each.get("metadata.name", None) == authority.NAME
    }
    assert published == {*OURS, "kubeflow"}
    texts = [json.dumps(each.inputs["stringData"]) for each in graph.all("kubernetes:core/v1:Secret")]
    urls = [url for text in texts for url in re.findall(r"postgresql[^\"]+", text)]
    assert len(urls) > 5
    assert [url for url in urls if not url.endswith(f"?sslmode=verify-full&sslrootcert={authority.PATH}")] == []
    without = {
        name
        for name, pod in pods(graph).items()
        if authority.FOLDER not in [each["mountPath"] for each in pod["containers"][0].get("volumeMounts", [])]
    }
    assert len(calling(graph, "database")) > 5
    assert calling(graph, "database") & without == set()


def calling(graph, role):
    """Names of what makes pods that say they call a role."""
    found = set()
    for resource in graph.resources:
        spec = (resource.inputs or {}).get("spec") if isinstance(resource.inputs, dict) else None
        spec = spec if isinstance(spec, dict) else {}
        template = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template") or {}
        if f"mlplatform.dev/calls-{role}" in (template.get("metadata", {}).get("labels") or {}):
            found.add(resource.name)
    return found


def test_credentials_are_secret_in_the_outputs(graph):
    assert graph.secret_outputs == {"kubeconfig", *SECRETS_OF_A_WORKLOAD, *SECRETS_OF_A_WORKLOAD.values()}


ADDONS = {"kube-system/aws-node", "kube-system/ebs-csi-controller-sa"}
"""Service accounts of EKS' own add-ons, which come with the agent of Pod Identity."""
MANAGED = {
    "autoscaler": {"kind": "cluster-autoscaler"},
    "node_pool": {"kind": "managed-nodes", "instance_types": ["m7i.xlarge"], "nodes_max": 4},
    "gpu_node_pool": {"kind": "no-gpu-nodes"},
}


def trusting(graph, principal):
    """Service accounts whose role trusts this kind of principal."""
    return {
        who.removeprefix("pod ")
        for role in graph.all(iam.Role)
        for who in holders(role)
        if who.startswith("pod ") and principal in json.loads(role.get("assumeRolePolicy"))["Statement"][0]["Principal"]
    }


def announced(graph):
    """Service accounts that say which role they stand for: objects of the program, and of charts by their values."""
    found = {
        f"{each.inputs['metadata']['namespace']}/{each.inputs['metadata']['name']}"
        for each in graph.all("kubernetes:core/v1:ServiceAccount")
        if ROLE_ANNOTATION in (each.inputs["metadata"].get("annotations") or {})
    }
    for each in graph.all("kubernetes:helm.sh/v3:Release"):
        values = each.inputs.get("values") or {}
        account = values.get("serviceAccount") or values.get("rbac", {}).get("serviceAccount") or {}
        if ROLE_ANNOTATION in (account.get("annotations") or {}):
            found.add(f"{each.inputs['namespace']}/{account['name']}")
    return found


@pytest.mark.parametrize("blocks", [{}, MANAGED], ids=["karpenter", "cluster-autoscaler"])
def test_every_identity_is_bound_by_the_way_that_the_stack_file_names(blocks):
    by_agent = prod.graph(prod.program(**blocks))
    by_token = prod.graph(prod.program(**blocks, identity={"kind": "irsa"}))
    assert trusting(by_agent, "Federated") == announced(by_agent) == set()
    assert trusting(by_token, "Service") == ADDONS
    assert trusting(by_token, "Federated") == announced(by_token) == trusting(by_agent, "Service") - ADDONS
    assert not by_token.all(eks.PodIdentityAssociation)
    assert reaching(by_token) <= {tuple(who.split("/")) for who in announced(by_token)}
