"""Which part of the bill is whose, in numbers that can be checked by hand."""

import pytest

from stacks.commands.cost.graph import Graph, Resource
from stacks.commands.cost.prices import PriceError, load
from stacks.commands.cost.pricing import Line
from stacks.commands.cost.report import Estimate, as_text
from stacks.commands.cost.shares import SHARED, by_workload, part_of

PRICES = load()
CPUS_RUNNING = 8 * PRICES.usage.cpu_pool_share


def resource(role, kind, spec, name="thing", inside="mlplatform:index:Lifecycle$"):
    urn = f"urn:pulumi:prod::mlplatform::{inside}kubernetes:apps/v1:{kind}::{name}"
    return Resource(urn=urn, role=role, parent="", inputs={"kind": kind, "spec": spec})


def pod(cpu="500m", memory="1Gi", **more):
    return {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}], **more}


def line(role, name, expected, worst):
    return Line(role=role, name=name, what="", expected=expected, worst=worst, sources=frozenset())


POOL = resource("node-pool", "NodePool", {"limits": {"cpu": "8"}}, "pool", "mlplatform:index:Pool$")
GPUS = resource("gpus", "NodePool", {"limits": {"nvidia.com/gpu": "4"}}, "pool", "mlplatform:index:Pool$")
NODES = line("node-pool", "pool", 100.0, 800.0)
DATABASE = line("database", "instance", 50.0, 60.0)
MODEL = resource("loans", "InferenceService", {"predictor": pod(minReplicas=1, maxReplicas=4)})


def shares(*resources, lines=(NODES, DATABASE)):
    return by_workload(Graph(resources=(POOL, GPUS, *resources)), lines, PRICES)


def test_servers_pay_for_the_nodes_by_the_cpus_that_they_reserve():
    found = shares(MODEL)
    assert found["loans"] == pytest.approx((100 * 0.5 / CPUS_RUNNING, 800 * 4 * 0.5 / 8))
    assert found[SHARED] == pytest.approx((150 - found["loans"][0], 860 - found["loans"][1]))


def test_memory_counts_as_the_cpus_that_it_keeps_from_others():
    server = resource("loans", "Deployment", {"replicas": 2, "template": {"spec": pod("100m", "4096Mi")}})
    assert shares(server)["loans"] == pytest.approx((100 * 2 * 1 / CPUS_RUNNING, 800 * 2 / 8))


def test_what_a_workload_has_of_its_own_is_its_own():
    mine = line("loans", "bucket", 7.0, 9.0)
    assert shares(MODEL, lines=(mine,))["loans"] == (7.0, 9.0)


def test_jobs_and_servers_of_the_platform_are_shared():
    job = resource("loans", "CronJob", {"jobTemplate": {"spec": {"template": {"spec": pod()}}}})
    platforms = resource("tracking", "Deployment", {"template": {"spec": pod()}}, inside="")
    assert shares(job, platforms) == {"loans": (0, 0), SHARED: (150, 860)}


def test_workloads_that_reserve_too_much_pay_for_all_nodes():
    big = resource("engines", "StatefulSet", {"replicas": 3, "template": {"spec": pod("3")}})
    found = shares(MODEL, big)
    assert found["loans"][0] + found["engines"][0] == pytest.approx(100)
    assert found[SHARED] == pytest.approx((50, 60))


def test_one_workload_is_shown_beside_what_all_share():
    found = shares(MODEL)
    assert part_of(found, "loans") == found
    with pytest.raises(PriceError, match=r"no workload 'engines' \(it has loans\): correct WORKLOAD"):
        part_of(found, "engines")


def test_quantity_without_a_meaning_is_named():
    with pytest.raises(PriceError, match="a pod requests '1e3': write CPUs as 500m or 2"):
        shares(resource("loans", "Deployment", {"template": {"spec": pod("1e3")}}))


def test_text_has_a_row_for_each_workload_and_for_what_is_shared():
    told = Estimate(stack="prod", prices=PRICES, lines=(NODES, DATABASE), workloads=shares(MODEL))
    rows = as_text(told).partition("by workload")[2].splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["loans", SHARED]
    assert "by workload" not in as_text(Estimate(stack="dev", prices=PRICES, lines=(), workloads=shares(lines=())))
