"""The simulated AWS against the types of the installed SDK; no test here talks to AWS."""

import json
from dataclasses import dataclass

import pulumi
import pytest
from pytest_pulumi.result import OperationError

from simulated_pulumi.providers import Aws, Computed, Planned, Random, aws_rules
from simulated_pulumi.providers.aws_tables import ARNS, IDS, IMMUTABLE, NAME_RULES
from simulated_pulumi.providers.base import RefusedError
from simulated_pulumi.providers.schema import resource_class, shape_of
from simulated_pulumi.values import encode_bag

aws = pytest.importorskip("pulumi_aws", reason="pulumi-aws is not installed")


def program(make, **provider):
    def run():
        made = aws.Provider("main", region="eu-west-1", **provider)
        make(pulumi.ResourceOptions(provider=made))

    return run


def planned(token, **inputs):
    return Planned(f"urn:pulumi:test::project::{token}::it", inputs)


BUCKET = "aws:s3/bucket:Bucket"
RULES = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"


@pytest.mark.parametrize(
    ("token", "inputs", "path", "reason"),
    [
        (BUCKET, {"forceDestroi": True}, "forceDestroi", "unknown property 'forceDestroi'; did you mean forceDestroy?"),
        (BUCKET, {"forceDestroy": "yes"}, "forceDestroy", "expected true or false, got a string"),
        (BUCKET, {"tags": ["a"]}, "tags", "expected an object, got a list"),
        (BUCKET, {"tags": {"a": 1}}, "tags.a", "expected a string, got a number"),
        ("aws:ec2/subnet:Subnet", {}, "vpcId", "missing required property 'vpcId'"),
        ("aws:eks/nodeGroup:NodeGroup", {}, "scalingConfig", "missing required property 'scalingConfig'"),
        (RULES, {"bucket": "b", "rules": [{"id": "a"}]}, "rules[0].status", "missing required property 'status'"),
        (
            RULES,
            {"bucket": "b", "rules": [{"id": "a", "status": 1}]},
            "rules[0].status",
            "expected a string, got a number",
        ),
        ("aws:s3/nothing:Nothing", {}, "", "pulumi_aws has no resource type aws:s3/nothing:Nothing"),
    ],
)
def test_wrong_inputs_are_named_by_path(token, inputs, path, reason):
    assert (path, reason) in [(p.path, p.reason) for p in Aws().check(planned(token, **inputs))]


@pytest.mark.parametrize(
    ("token", "name", "inputs"),
    [
        ("aws:rds/parameterGroup:ParameterGroup", "mysql-8.4", {"family": "mysql8.4"}),
        ("aws:rds/parameterGroup:ParameterGroup", "it", {"family": "mysql8.4", "name": "a--b"}),
        ("aws:iam/role:Role", "it", {"assumeRolePolicy": "{}", "name": "a" * 65}),
        (BUCKET, "it", {"bucket": "Upper"}),
    ],
)
def test_name_that_the_service_refuses_is_refused_at_check(token, name, inputs):
    (problem,) = Aws().check(Planned(f"urn:pulumi:test::project::{token}::{name}", inputs))
    assert problem.reason.startswith("AWS refuses ")


@pytest.mark.parametrize(
    ("token", "path", "value", "reason"),
    [
        ("aws:iam/role:Role", "path", "team/", "it must match "),
        ("aws:iam/role:Role", "maxSessionDuration", 60, "give 3600 to 43200"),
        ("aws:eks/nodeGroup:NodeGroup", "capacityType", "CHEAP", "give CAPACITY_BLOCK or ON_DEMAND"),
        ("aws:rds/instance:Instance", "backupRetentionPeriod", -1, "give 0 at least"),
        ("aws:sqs/queue:Queue", "name", "q" * 81, "it has 81 characters; give 80 at most"),
        ("aws:kms/key:Key", "deletionWindowInDays", 3, "give 7 to 30"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", "vpcEndpointType", "Gatway", "give Interface or Gateway"),
    ],
)
def test_value_that_awss_schema_refuses_is_refused_with_the_range(token, path, value, reason):
    found = {each.path: each.reason for each in Aws().check(planned(token, **{path: value}))}
    assert found[path].startswith(f"AWS refuses {value!r}: {reason}")


def test_value_in_a_list_of_objects_is_refused_by_its_path():
    rules = [{"id": "a", "status": "On"}]
    found = [each.path for each in Aws().check(planned(RULES, bucket="artifacts", rules=rules))]
    assert found == ["rules[0].status"]


def test_node_groups_minimum_above_its_desired_size_is_refused():
    scaling = {"minSize": 5, "desiredSize": 3, "maxSize": 6}
    group = planned("aws:eks/nodeGroup:NodeGroup", scalingConfig=scaling)
    with pytest.raises(RefusedError, match="Minimum capacity 5 can't be greater than desired size 3"):
        Aws().update(group, encode_bag(group.inputs))


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (BUCKET, {}),
        (
            BUCKET,
            {"acl": "private", "tags": {"a": "b"}, "corsRules": [{"allowedMethods": ["GET"], "allowedOrigins": ["*"]}]},
        ),
        ("aws:iam/role:Role", {"assumeRolePolicy": "{}"}),
        ("aws:ec2/securityGroup:SecurityGroup", {"egress": [{"fromPort": 0, "toPort": 0, "protocol": "-1"}]}),
    ],
)
def test_right_inputs_pass(token, inputs):
    assert Aws().check(planned(token, **inputs)) == []


@pytest.mark.parametrize("kind", sorted({*aws_rules.kinds(), *NAME_RULES, *IDS, *ARNS}))
def test_every_kind_in_the_tables_is_one_of_the_sdk(kind):
    name = kind.split("/")[1]
    assert resource_class("pulumi_aws", f"aws:{kind}:{name[0].upper()}{name[1:]}")


@pytest.mark.parametrize("kind", aws_rules.kinds())
def test_every_rule_is_of_an_input_of_its_kind(kind):
    name, rules = kind.split("/")[1], aws_rules.of(kind)
    inputs = shape_of("pulumi_aws", f"aws:{kind}:{name[0].upper()}{name[1:]}").inputs
    paths = [*rules.values, *(each for each in rules.replaces if not each.endswith("Prefix"))]
    assert {each.partition(".")[0].partition("[")[0] for each in paths} - set(inputs) == set()


@pytest.mark.parametrize("token", sorted(token for token in IMMUTABLE if "*" not in token))
def test_every_immutable_path_is_an_input_of_its_type(token):
    inputs = shape_of("pulumi_aws", token).inputs
    assert [path for path in IMMUTABLE[token] if path != "*" and path.split(".")[0] not in inputs] == []


def test_forced_replacements_in_the_sdks_documentation_are_found():
    token = "aws:odb/networkPeeringConnection:NetworkPeeringConnection"
    assert token not in IMMUTABLE
    assert "odbNetworkId" in shape_of("pulumi_aws", token).replaces
    assert set(Aws().replaces(planned(token))) >= {"odbNetworkId", "region"}


@pytest.mark.engine
class TestOnTheEngine:
    @pytest.fixture
    def cloud(self):
        return Aws()

    def test_names_are_generated_and_already_known_at_preview(self, pulumi_stack, cloud):
        seen = {}

        def make(options):
            bucket = aws.s3.Bucket("artifacts", opts=options)
            bucket.bucket.apply(lambda v: seen.update(name=v))
            bucket.arn.apply(lambda v: seen.update(arn=v))

        stack = pulumi_stack(program(make), providers=[cloud])
        stack.preview()
        assert list(seen) == ["name"]
        assert seen["name"].startswith("artifacts-")
        stack.up()
        assert seen["arn"] == f"arn:aws:s3:::{cloud.item(BUCKET).id}"
        stack.assert_no_changes()

    def test_outputs_that_programs_read_are_there(self, pulumi_stack, cloud):
        def make(options):
            key = aws.kms.Key("key", opts=options)
            vpc = aws.ec2.Vpc("net", cidr_block="10.0.0.0/16", opts=options)
            role = aws.iam.Role("role", assume_role_policy="{}", opts=options)
            cluster = aws.eks.Cluster(
                "main", role_arn=role.arn, vpc_config={"subnet_ids": ["subnet-1", "subnet-2"]}, opts=options
            )
            pulumi.export("key", key.arn)
            pulumi.export("vpc", vpc.id)
            pulumi.export("role", role.arn)
            pulumi.export("issuer", cluster.identities[0].oidcs[0].issuer)
            pulumi.export("certificate", cluster.certificate_authority.data)
            pulumi.export("endpoint", cluster.endpoint)

        outputs = pulumi_stack(program(make), providers=[cloud]).up().outputs
        assert outputs["key"].startswith("arn:aws:kms:eu-west-1:123456789012:key/mrk-")
        assert outputs["vpc"].startswith("vpc-")
        assert outputs["role"].startswith("arn:aws:iam::123456789012:role/role-")
        assert outputs["issuer"].startswith("https://oidc.eks.eu-west-1.amazonaws.com/id/")
        assert outputs["endpoint"].endswith(".eks.amazonaws.com")
        assert outputs["certificate"]

    def test_a_certificate_says_by_which_record_its_domain_is_proved(self, pulumi_stack, cloud):
        def make(options):
            certificate = aws.acm.Certificate(
                "wildcard", domain_name="*.example.org", validation_method="DNS", opts=options
            )
            proof = certificate.domain_validation_options[0]
            record = aws.route53.Record(
                "proof",
                zone_id="Z1",
                name=proof.resource_record_name,
                type=proof.resource_record_type,
                records=[proof.resource_record_value],
                ttl=60,
                opts=options,
            )
            issued = aws.acm.CertificateValidation(
                "issued", certificate_arn=certificate.arn, validation_record_fqdns=[record.fqdn], opts=options
            )
            pulumi.export("asked", certificate.arn)
            pulumi.export("issued", issued.certificate_arn)
            pulumi.export("record", record.fqdn)

        outputs = pulumi_stack(program(make), providers=[cloud]).up().outputs
        assert outputs["issued"] == outputs["asked"]
        assert outputs["record"].startswith("_")
        assert outputs["record"].endswith(".example.org")

    def test_default_tags_reach_every_resource(self, pulumi_stack, cloud):
        def make(options):
            aws.s3.Bucket("b", tags={"own": "1"}, opts=options)

        tags = {"tags": {"team": "ml"}}
        pulumi_stack(program(make, default_tags=tags), providers=[cloud]).up()
        assert cloud.item(BUCKET).values["tagsAll"] == {"team": "ml", "own": "1"}
        assert cloud.item(BUCKET).values["tags"] == {"own": "1"}

    def test_wrong_input_is_refused_with_its_path_before_any_creation(self, pulumi_stack, cloud):
        def make(options):
            aws.s3.Bucket("good", opts=options)
            bad = {"bucket": "b", "rules": [{"id": "a"}]}
            pulumi.CustomResource(RULES, "bad", bad, options)

        stack = pulumi_stack(program(make), providers=[cloud])
        with pytest.raises(OperationError, match=r"(?s)rules\[0\]\.status.*missing required property 'status'"):
            stack.preview()

    def test_an_immutable_input_replaces_and_a_mutable_one_does_not(self, pulumi_stack, cloud):
        def subnet(cidr, tag):
            return program(
                lambda options: aws.ec2.Subnet("s", vpc_id="vpc-1", cidr_block=cidr, tags={"t": tag}, opts=options)
            )

        stack = pulumi_stack(subnet("10.0.0.0/24", "a"), providers=[cloud])
        stack.up()
        stack.program = subnet("10.0.0.0/24", "b")
        stack.assert_only_updates("s")
        stack.program = subnet("10.0.1.0/24", "a")
        step = stack.preview().step("s")
        assert step.op == "replace"
        assert step.replaced_by == ("cidrBlock",)

    def test_a_replacement_gets_a_new_name(self, pulumi_stack, cloud):
        def role(path):
            return program(lambda options: aws.iam.Role("r", assume_role_policy="{}", path=path, opts=options))

        stack = pulumi_stack(role("/a/"), providers=[cloud])
        stack.up()
        before = cloud.item("aws:iam/role:Role").id
        stack.program = role("/b/")
        stack.up()
        assert cloud.item("aws:iam/role:Role").id != before

    def test_a_fixed_bucket_name_can_be_had_once(self, pulumi_stack, cloud):
        def make(options):
            aws.s3.Bucket("a", bucket="same", opts=options)
            aws.s3.Bucket("b", bucket="same", opts=options)

        with pytest.raises(OperationError, match="aws:s3/bucket:Bucket 'same' already exists"):
            pulumi_stack(program(make), providers=[cloud]).up()

    def test_passwords_stay_secret(self, pulumi_stack, cloud):
        def make(options):
            aws.rds.Instance(
                "db", instance_class="db.t4g.micro", engine="postgres", username="u", password="hunter2", opts=options
            )

        stack = pulumi_stack(program(make), providers=[cloud])
        stack.up()
        assert cloud.item().values["port"] == 5432
        assert "hunter2" not in json.dumps(stack.export())

    def test_common_functions_are_answered_and_others_by_the_test(self, pulumi_stack):
        cloud = Aws(answers={"aws:ssm/getParameter:getParameter": {"value": "ami-1"}})

        def make(options):
            call = pulumi.InvokeOptions(provider=options.provider)
            pulumi.export("account", aws.get_caller_identity_output(opts=call).account_id)
            pulumi.export("zones", aws.get_availability_zones_output(opts=call).names)
            pulumi.export("ami", aws.ssm.get_parameter_output(name="x", opts=call).value)
            document = aws.iam.get_policy_document_output(
                statements=[{"actions": ["s3:*"], "resources": ["*"]}], opts=call
            )
            pulumi.export("policy", document.json)

        outputs = pulumi_stack(program(make), providers=[cloud]).up().outputs
        assert outputs["account"] == "123456789012"
        assert outputs["zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
        assert outputs["ami"] == "ami-1"
        assert json.loads(outputs["policy"])["Statement"] == [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]

    def test_an_unknown_function_is_refused_with_the_fix(self, pulumi_stack, cloud):
        def make(options):
            call = pulumi.InvokeOptions(provider=options.provider)
            aws.ec2.get_ami_output(most_recent=True, opts=call)

        with pytest.raises(OperationError, match=r"getAmi has no simulated answer; pass answers="):
            pulumi_stack(program(make), providers=[cloud]).up()

    def test_a_subclass_of_a_few_lines_makes_more(self, pulumi_stack):
        @dataclass
        class Mine(Aws):
            def compute(self, planned):
                return super().compute(planned) | {"websiteEndpoint": "mine.example"}

        cloud = Mine()
        pulumi_stack(program(lambda options: aws.s3.Bucket("b", opts=options)), providers=[cloud]).up()
        assert cloud.item(BUCKET).values["websiteEndpoint"] == "mine.example"


@pytest.fixture
def pulumi_outputs():
    return Computed(Aws(account="111122223333"), Random(), others={"random:index/randomId:RandomId": {"hex": "cafe"}})


def test_a_run_without_an_engine_gets_what_the_provider_would_compute(pulumi_run):
    def program():
        options = pulumi.ResourceOptions(provider=aws.Provider("main", region="eu-west-1"))
        role = aws.iam.Role("worker", assume_role_policy="{}", opts=options)
        pulumi.export("arn", role.arn)

    assert pulumi_run(program).outputs["arn"].startswith("arn:aws:iam::111122223333:role/worker-")


def test_region_is_that_of_the_programs_own_provider(pulumi_run):
    def program():
        options = pulumi.ResourceOptions(provider=aws.Provider("main", region="eu-west-1"))
        pulumi.export("url", aws.sqs.Queue("jobs", opts=options).url)

    assert pulumi_run(program).outputs["url"].startswith("https://sqs.eu-west-1.amazonaws.com/111122223333/jobs-")


def test_queue_has_its_url():
    outputs = Aws(region="eu-west-1").compute(planned("aws:sqs/queue:Queue", name="jobs"))
    assert outputs["url"] == "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"
