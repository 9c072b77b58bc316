"""What a run costs: `pulumi_run` against raw mocks, peak memory, and the plugin's start-up when nobody uses it.

Run by hand: `python bench/run_cost.py`. It prints figures and asserts nothing.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys

RESOURCES = 1000

MEASURE = """
import asyncio, json, resource, sys, time
import pulumi
from pulumi.runtime import mocks

COUNT, WHAT = int(sys.argv[1]), sys.argv[2]

class Bucket(pulumi.CustomResource):
    def __init__(self, name, opts=None, **props):
        super().__init__("fake:s3/bucket:Bucket", name, {"arn": None, **props}, opts)

class Provider(pulumi.ProviderResource):
    def __init__(self, name):
        super().__init__("fake", name, {})

def program():
    options = pulumi.ResourceOptions(provider=Provider("main"))
    last = None
    for number in range(COUNT - 1):
        last = Bucket(f"b{number}", options, tags={"n": str(number)}, source=last.id if last and number % 5 else None)

def with_plugin():
    from simulated_pulumi.facts import Facts
    from simulated_pulumi.runner import run
    facts = Facts(timeout_seconds=300)
    def once():
        assert len(run(program, facts).resources) == COUNT
    return once

def with_mocks():
    class Mocks(mocks.Mocks):
        def new_resource(self, args):
            return f"{args.name}-id", dict(args.inputs)
        def call(self, args):
            return {}
    def once():
        asyncio.set_event_loop(asyncio.new_event_loop())
        pulumi.runtime.reset_options()
        mocks.set_mocks(Mocks())
        pulumi.runtime.test(program)()
    return once

once = {"plugin": with_plugin, "mocks": with_mocks}[WHAT]()
times = []
for _ in range(5):
    started, busy = time.perf_counter(), time.process_time()
    once()
    times.append((time.perf_counter() - started, time.process_time() - busy))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
wall, cpu = (min(column) for column in zip(*times, strict=True))
print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))
"""


def measure(what, count):
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, str(count), what], check=True, capture_output=True, text=True
    )
    return json.loads(printed.stdout)


def startup(*args):
    """Median CPU seconds of a pytest that does nothing."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "/tmp", "-c", "/dev/null"]
    spent = []
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, *args, "--version", "--version"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(spent)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=RESOURCES)
    count = parser.parse_args().resources
    plugin, mocks = measure("plugin", count), measure("mocks", count)
    for label, found in (("pulumi_run", plugin), ("raw mocks", mocks)):
        print(f"{count} resources, {label}: {found['wall']:.2f} s ({found['cpu']:.2f} s CPU), {found['peak']:.0f} MiB")
    print(f"pulumi_run / raw mocks: {plugin['wall'] / mocks['wall']:.2f} wall, {plugin['cpu'] / mocks['cpu']:.2f} CPU")
    print(f"start-up when unused: {startup() - startup('-p', 'no:pulumi'):.3f} s CPU")


if __name__ == "__main__":
    main()
