import pulumi
import pytest

from infra import compute
from infra.compute import JobSpec, Resources, ScheduleSpec, ServiceSpec
from infra.compute.settings import ComputeOnKubernetesSettings
from tests.clusters import NoStores, image, loose, on_cluster, pods

TASK = {"image": "workload", "command": ["python", "-m", "x"], "environment": {"A": "b"}, "calls": ["tracking"]}


def declare(make, **settings):
    """A program that lets compute make something."""

    def build(substrate, opts):
        chosen = ComputeOnKubernetesSettings(kind="compute-on-kubernetes", **settings)
        make(compute.build("compute", chosen, substrate, NoStores(), opts), opts)

    return on_cluster(build)


def service(**spec):
    return lambda made, opts: made.service("web", ServiceSpec(**TASK | spec, health_path="/healthz"), opts)


def job(**spec):
    return lambda made, opts: made.job("once", JobSpec(**TASK | spec, timeout_seconds=60), opts)


def schedule(name="nightly", **spec):
    return lambda made, opts: made.schedule(name, ScheduleSpec(**TASK | spec, cron="0 3 * * *"), opts)


def environment(pod):
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod["containers"][0]["env"]}


@pytest.mark.parametrize("make", [service(), job(), schedule()], ids=["service", "job", "schedule"])
def test_a_pod_is_as_restricted_as_can_be(pulumi_run, make):
    graph = pulumi_run(declare(make))
    ((_, pod),) = pods(graph).items()
    assert loose(pod) == []
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["image"] == image("workload")


@pytest.mark.parametrize("make", [service, job, schedule])
def test_a_secret_variable_is_in_a_secret_only(pulumi_run, make):
    def with_a_secret(compute, opts):
        make(secrets={"TOKEN": pulumi.Output.secret("hunter2")})(compute, opts)

    graph = pulumi_run(declare(with_a_secret))
    secret = graph.one("Secret")
    secret.assert_secret("stringData.TOKEN")
    ((owner, pod),) = pods(graph).items()
    reference = environment(pod)["TOKEN"]["secretKeyRef"]
    assert reference == {"key": "TOKEN", "name": f"{secret.name}-1a2b3c4d"}
    assert graph.one("*", owner).secret_inputs == set()


def test_no_secret_is_made_for_a_task_without_secrets(pulumi_run):
    assert not pulumi_run(declare(service())).all("Secret")


def test_another_secret_value_makes_another_secret_so_that_pods_roll(pulumi_run):
    secret = pulumi_run(declare(service(secrets={"TOKEN": "x"}))).one("Secret")
    assert secret.inputs["immutable"] is True
    assert "name" not in secret.inputs["metadata"]


def test_service_binds_every_address_of_its_pod_on_its_own_port(pulumi_run):
    made = {}

    def make(compute, opts):
        made["service"] = service(port=9000)(compute, opts)
        pulumi.export("url", made["service"].url)

    graph = pulumi_run(declare(make))
    ((_, pod),) = pods(graph).items()
    variables = environment(pod)
    assert (variables["PORT"], variables["LISTEN_ADDRESS"], variables["A"]) == ("9000", "0.0.0.0", "b")
    assert graph.one("Service").get("spec.ports[0].port") == 9000
    assert graph.outputs["url"] == "http://web.somewhere.svc.cluster.local:9000"


def test_more_than_one_pod_is_spread_and_never_all_evicted(pulumi_run):
    graph = pulumi_run(declare(service(), service_replicas=2))
    assert graph.one("Deployment").get("spec.replicas") == 2
    assert graph.one("PodDisruptionBudget").get("spec.maxUnavailable") == 1
    ((_, pod),) = pods(graph).items()
    assert pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert not pulumi_run(declare(service())).all("PodDisruptionBudget")


def test_only_pods_that_say_so_reach_a_service(pulumi_run):
    policy = pulumi_run(declare(service())).one("NetworkPolicy")
    assert policy.get("spec.podSelector.matchLabels") == {"mlplatform.dev/serves": "web"}
    (rule,) = policy.get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/calls-web": "true"}
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_a_task_says_what_it_calls(pulumi_run):
    deployment = pulumi_run(declare(service())).one("Deployment")
    labels = deployment.get("spec.template.metadata.labels")
    assert {key for key in labels if "/calls-" in key} == {"mlplatform.dev/calls-tracking"}


@pytest.mark.parametrize("make", [service, job, schedule])
def test_one_argument_requests_limits_places_and_tolerates_gpus(pulumi_run, make):
    ((_, pod),) = pods(pulumi_run(declare(make(resources=Resources(gpus=1))))).items()
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert [each["key"] for each in pod["tolerations"]] == ["nvidia.com/gpu"]
    ((_, plain),) = pods(pulumi_run(declare(make()))).items()
    assert not {"nodeSelector", "tolerations"} & set(plain)


def test_changed_trigger_changes_the_jobs_pod_and_replaces_the_job(pulumi_run):
    def template(**triggers):
        return pulumi_run(declare(job(triggers=triggers))).one("Job").get("spec.template")

    assert template(data="1") == template(data="1")
    assert template(data="1") != template(data="2")


def test_a_job_fails_at_once_but_not_because_it_was_evicted(pulumi_run):
    made = pulumi_run(declare(job())).one("Job")
    assert (made.get("spec.backoffLimit"), made.get("spec.activeDeadlineSeconds")) == (0, 60)
    assert made.get("spec.podFailurePolicy.rules[0].action") == "Ignore"
    assert made.get("spec.template.spec.restartPolicy") == "Never"


def test_a_scheduled_run_never_overlaps_and_is_made_up_for(pulumi_run):
    made = pulumi_run(declare(schedule(), catch_up_seconds=600)).one("CronJob")
    assert made.get("spec.concurrencyPolicy") == "Forbid"
    assert made.get("spec.startingDeadlineSeconds") == 600
    assert (made.get("spec.schedule"), made.get("spec.timeZone")) == ("0 3 * * *", "Etc/UTC")


def test_schedule_follows_the_jobs_that_it_comes_after(pulumi_run):
    def make(made, opts):
        done = made.job("first", JobSpec(**TASK, timeout_seconds=60), opts).done
        schedule(after=[done])(made, opts)

    graph = pulumi_run(declare(make))
    assert graph.one("Job") in graph.dependencies(graph.one("CronJob"))


def test_too_long_name_of_a_cron_job_is_refused_before_any_creation(pulumi_run):
    with pytest.raises(ValueError, match="at most 52"):
        pulumi_run(declare(schedule(name="x" * 53)))


def test_everything_hangs_under_its_component(pulumi_run):
    graph = pulumi_run(declare(service()))
    component = graph.one("mlplatform:index:ServiceOnKubernetes")
    assert {each.type.rpartition(":")[2] for each in graph.children(component)} == {
        "Deployment",
        "NetworkPolicy",
        "Service",
        "ServiceAccount",
    }
