"""The platform's own components on a real node: they start, keep their data, and reach only what they may."""

import pulumi
import pulumi_kubernetes
import pulumi_random
import pytest
from simulated_pulumi.providers import Random

from infra import artifact_store, database, online_store, policy_server
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.base.paths import CHECKOUT
from infra.base.volume import Volume
from infra.compute.kubernetes import ComputeOnKubernetes, ComputeOnKubernetesArgs
from infra.compute.pod import SCRATCH
from infra.compute.settings import ComputeOnKubernetesSettings
from infra.compute.spec import JobSpec, ScheduleSpec, ServiceSpec
from infra.database.settings import PostgresOnKubernetesSettings
from infra.identity.store_keys import StoreKeys
from infra.kube.objects import CALLS_API_SERVER, LABEL_PREFIX, OURS
from infra.kube.substrate import Kubernetes
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.namespaces.settings import Quota
from infra.online_store.settings import RedisOnKubernetesSettings
from infra.policy_server.settings import OpaOnKubernetesSettings
from tests import official
from tests.node import pods
from tests.node.images import own

pytestmark = [pytest.mark.node, pytest.mark.timeout(600), pytest.mark.usefixtures("platform")]

SPACE = "platform"
VOLUME = Volume(size_gib=1, protection="delete")
SERVERS = {"artifact-store": 7070, "database": 5432, "online-store": 6379, "policy-server": 8181}
"""Role -> port; each serves at the Service of its name."""
PAGES = f"{SCRATCH['work']}/www"
ECHO = f"""\
mkdir -p {PAGES} && echo "$CONTENT" > {PAGES}/index.html
trap 'exit 0' TERM
httpd -f -p "$PORT" -h {PAGES} & wait $!
"""
USERS = {"artifact-store": 65532, "database": 999, "online-store": 65532, "policy-server": 65532, "echo": 65532}
"""Component -> user that its container runs as."""


def program(node):
    """A guarded namespace with the stores, OPA, a database, and a task of each kind."""

    def run():
        provider = pulumi_kubernetes.Provider("cluster", kubeconfig=node.cluster.kubeconfig, context="admin")
        opts = pulumi.ResourceOptions(providers=[provider, pulumi_random.Provider("random")])
        space = GuardedNamespace("space", GuardedNamespaceArgs(name=SPACE, quota=Quota()), opts)
        inside = Kubernetes(
            provider=provider, namespace=space.namespace, checkout=CHECKOUT, image=lambda _: own(node.digests)
        ).within(space.namespace, space.ready)
        versitygw = VersitygwOnKubernetesSettings(kind="versitygw-on-kubernetes", volume=VOLUME)
        artifact_store.build("artifact-store", versitygw, inside, ["some"], opts)
        redis = RedisOnKubernetesSettings(kind="redis-on-kubernetes", volume=VOLUME)
        online_store.build("online-store", redis, inside, ["some"], opts)
        opa = OpaOnKubernetesSettings(kind="opa-on-kubernetes", replicas=1)
        policy_server.build("policy-server", opa, inside, opts)
        postgres = PostgresOnKubernetesSettings(kind="postgres-on-kubernetes", volume=VOLUME)
        made = database.build("database", postgres, inside, opts)
        pulumi.export("url", made.create("tracking-database", opts))
        tasks(inside, opts)

    return run


def tasks(inside, opts):
    settings = ComputeOnKubernetesSettings(kind="compute-on-kubernetes")
    identity = StoreKeys("identity", opts)
    compute = ComputeOnKubernetes(
        "compute", ComputeOnKubernetesArgs(settings=settings, substrate=inside, identity=identity), opts
    )
    common = {"image": "workload", "environment": {"CONTENT": "hello"}}
    serving = ServiceSpec(command=["sh", "-c", ECHO], port=8080, health_path="/index.html", **common)
    for name in ("echo", "hangs"):
        compute.service(name, serving, opts)
    compute.job("once", JobSpec(command=["sh", "-c", "echo done"], timeout_seconds=60, **common), opts)
    compute.schedule("each-minute", ScheduleSpec(command=["sh", "-c", "sleep 5"], cron="* * * * *", **common), opts)


@pytest.fixture(scope="module")
def platform(kube_node, made_stack):
    """The stack, up; its first `up` is in `first`."""
    stack = official.stack(made_stack, program(kube_node), [Random()], timeout_seconds=400)
    stack.first = stack.up(parallel=32)
    shell(kube_node, "hangs", "rm", f"{PAGES}/index.html")
    yield stack
    stack.destroy(parallel=32)
    assert kube_node.cluster.client.find("v1", "Namespace", SPACE) is None


def test_everything_comes_up_and_a_second_up_changes_nothing(platform):
    assert set(platform.first.counts) == {"create"}
    platform.assert_no_changes()


def shell(node, name, *command):
    """What a command prints in the pod of a server."""
    done = node.execute(SPACE, pod_of(node, name), *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pod_of(node, name):
    """The pod of a component that has not ended and is not being deleted."""
    labels = f"app.kubernetes.io/name={name}"
    found = node.cluster.client.list("v1", "Pod", SPACE, labelSelector=labels)
    (pod,) = [each for each in found if "deletionTimestamp" not in each["metadata"]]
    return pod["metadata"]["name"]


def test_database_is_made_by_its_job_and_opened_by_its_password(platform, node):
    url = platform.first.outputs["url"].replace("postgresql+psycopg", "postgresql")
    url = url.replace(f"database.{SPACE}.svc.cluster.local", "127.0.0.1")  # the server itself may call nobody
    assert shell(node, "database", "psql", url, "-Atc", "SELECT current_user") == "tracking_database"


def test_policy_server_answers_by_the_rules_of_the_checkout(node):
    with pods.namespace(node, "asking", OURS) as space:
        caller = pods.Pod(node, space, "caller", {f"{LABEL_PREFIX}/calls-policy-server": "true"}).start()
        said = caller.run("wget", "-qO-", f"http://policy-server.{SPACE}.svc.cluster.local:8181/health")
    assert said.strip() == "{}"


def test_callers_reach_the_server_that_they_name_and_no_other(node):
    with pods.namespace(node, "calling", OURS) as space, pods.namespace(node, "strangers") as strange:
        callers = {role: pods.Pod(node, space, role, {f"{LABEL_PREFIX}/calls-{role}": "true"}) for role in SERVERS}
        nobody = pods.Pod(node, space, "nobody")
        stranger = pods.Pod(node, strange, "stranger", {f"{LABEL_PREFIX}/calls-{role}": "true" for role in SERVERS})
        for pod in (*callers.values(), nobody, stranger):
            pod.start()
        node.rules.rounds.settle()
        targets = [f"{role}.{SPACE}.svc.cluster.local:{port}" for role, port in SERVERS.items()]
        for role, pod in callers.items():
            assert pod.reached(*targets) == [f"{role}.{SPACE}.svc.cluster.local:{SERVERS[role]}"]
        assert nobody.reached(*targets) == stranger.reached(*targets) == []


def test_pod_of_a_closed_namespace_reaches_nothing_but_names(node):
    pod = pods.Pod(node, SPACE, "closed").start()
    node.rules.rounds.settle()
    names = "kube-dns.kube-system.svc.cluster.local:53"
    api_server = "kubernetes.default.svc.cluster.local:443"
    targets = (names, api_server, f"online-store:{SERVERS['online-store']}")
    assert pod.reached(*targets) == [names]
    caller = pods.Pod(node, SPACE, "calls-api-server", CALLS_API_SERVER).start()
    node.rules.rounds.settle()
    assert caller.reached(*targets) == [names, api_server]


def test_volume_survives_its_pod(node):
    name = pod_of(node, "online-store")
    before = node.cluster.client.find("v1", "Pod", name, SPACE)["metadata"]["uid"]
    assert shell(node, "online-store", "redis-cli", "-e", "set", "kept", "yes") == "OK"
    pods.await_(lambda: is_written(node), "Redis does not write its file", str)
    node.cluster.client.delete("v1", "Pod", name, SPACE)
    pods.await_(lambda: ready(node, "online-store", other_than=before), "Redis does not come back", str, 120)
    assert shell(node, "online-store", "redis-cli", "-e", "get", "kept") == "yes"


def is_written(node):
    """Whether nothing that Redis answered is still to be written to its file."""
    return "aof_buffer_length:0" in shell(node, "online-store", "redis-cli", "-e", "info", "persistence").split()


def test_every_pod_runs_without_rights_on_a_read_only_root(node):
    for name, user in USERS.items():
        look = (
            "id -u; touch /file 2>/dev/null && echo writable; grep -hE '^(NoNewPrivs|CapEff|Seccomp):' /proc/1/status"
        )
        seen = shell(node, name, "sh", "-c", look).split()
        assert seen == [str(user), *("CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2")], name


def test_job_and_schedule_ran_to_their_ends(node):
    (job,) = [each for each in ended(node) if each.startswith("once-")]
    assert node.logs(SPACE, job) == "done\n"
    pods.await_(lambda: any(each.startswith("each-minute-") for each in ended(node)), "no run ended", str, 100)


def ended(node):
    """Names of the pods that have succeeded."""
    found = node.cluster.client.list("v1", "Pod", SPACE)
    return [each["metadata"]["name"] for each in found if each["status"].get("phase") == "Succeeded"]


def test_server_that_no_longer_answers_is_started_again_by_its_probe(node):
    """Its page was taken away after `up`, so that its health path answers 404."""
    name = pod_of(node, "hangs")
    pods.await_(lambda: restarts(node, name) == 1, "the container was not started again", str, 120)
    pods.await_(lambda: ready(node, "hangs"), "the server does not come back", str, 60)


def restarts(node, name):
    pod = node.cluster.client.find("v1", "Pod", name, SPACE)
    return pod["status"]["containerStatuses"][0]["restartCount"]


def ready(node, name, other_than=""):
    labels = f"app.kubernetes.io/name={name}"
    return any(
        each["metadata"]["uid"] != other_than and condition["type"] == "Ready" and condition["status"] == "True"
        for each in node.cluster.client.list("v1", "Pod", SPACE, labelSelector=labels)
        for condition in each.get("status", {}).get("conditions", [])
    )
