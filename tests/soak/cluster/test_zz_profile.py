import contextlib, json, os, threading, time
import pytest
from pytest_pulumi.providers import server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def test_profile(dev, monkeypatch):
    log = []
    original = server._Service._operation

    @contextlib.contextmanager
    def timed(self, kind, planned, context):
        begun = time.time()
        try:
            with original(self, kind, planned, context):
                yield
        finally:
            log.append((kind, planned.type, planned.name, begun, time.time()))

    monkeypatch.setattr(server._Service, "_operation", timed)
    settle = server._Service._settle

    def settled(self, planned, item, context):
        begun = time.time()
        try:
            settle(self, planned, item, context)
        finally:
            log.append(("settle", planned.type, planned.name, begun, time.time()))

    monkeypatch.setattr(server._Service, "_settle", settled)

    def cpu():
        out = {}
        hz = os.sysconf("SC_CLK_TCK")
        for p in os.listdir("/proc"):
            if p.isdigit():
                try:
                    f = open(f"/proc/{p}/stat").read().rsplit(")", 1)
                    name = f[0].split("(")[1]
                    rest = f[1].split()
                    out[p, name] = (int(rest[11]) + int(rest[12])) / hz
                except OSError:
                    pass
        return out

    marks = {}
    load = os.getloadavg()
    c0 = cpu()
    t0 = time.time()
    up = dev.stack.up()
    t1 = time.time()
    c1 = cpu()
    mem = dev.cluster.memory_mib()
    print("UP", t1 - t0, up.counts, "load", load, os.getloadavg(), "mem", mem, sum(mem.values()))
    diff = sorted(((c1[k] - c0.get(k, 0)), k) for k in c1)
    print("CPU", [(round(v, 1), k) for v, k in diff[-12:]])
    t2 = time.time()
    c2 = cpu()
    dev.stack.destroy()
    t3 = time.time()
    c3 = cpu()
    print("DOWN", t3 - t2)
    print("CPU", [(round(v, 1), k) for v, k in sorted(((c3[k] - c2.get(k, 0)), k) for k in c3)[-12:]])
    json.dump({"log": log, "t": [t0, t1, t2, t3]}, open("/tmp/dev.profile.json", "w"))
