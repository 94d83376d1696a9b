#!/usr/bin/env python3
"""kill -9 of the leading member during writes: nothing acknowledged is lost, and everything carries on."""
import json
import threading
import time

from harness import Cluster, Failure, contains, equal, eventually, main

c = Cluster("--haproxy", "--hollow-nodes", "2", "--set", "leader-elect-lease-seconds: 4", "--set", "leader-elect-renew-seconds: 3", "--set",
            "leader-elect-retry-seconds: 1")
killed = {}


class Writer(threading.Thread):
    """Writes one key after another, and keeps those that were acknowledged."""

    def __init__(self, write):
        super().__init__(daemon=True)
        self.write, self.acknowledged, self.gap, self.stopped = write, [], 0.0, False

    def run(self):
        last = time.monotonic()
        i = 0
        while not self.stopped:
            try:
                if self.write(i):
                    self.acknowledged.append(i)
                    now = time.monotonic()
                    self.gap, last = max(self.gap, now - last), now
            except Exception:  # noqa: BLE001: a write that fails is not acknowledged
                pass
            i += 1


def nothing_acknowledged_is_lost_when_the_leader_dies():
    survivors = ",".join(m["client"] for m in c.status()["members"] if not m["leader"])
    etcd = Writer(lambda i: "OK" in c.etcdctl("put", f"/chaos/{i}", str(i), endpoint=survivors, timeout=10))
    kube = Writer(lambda i: "created" in c.kubectl("create", "configmap", f"chaos-{i}", "--from-literal=i=x", timeout=15))
    etcd.start(), kube.start()
    time.sleep(2)
    s = c.status()
    killed.update(next(m for m in s["members"] if m["leader"]))
    killed["controllers"] = s["controllers_leader"]
    c.cluster("kill-member", "leader")
    time.sleep(6)
    etcd.stopped = kube.stopped = True
    etcd.join(20), kube.join(20)
    if len(etcd.acknowledged) < 10 or len(kube.acknowledged) < 5:
        raise Failure(f"too few writes to say anything: {len(etcd.acknowledged)}, {len(kube.acknowledged)}")
    print(f"# {len(etcd.acknowledged)} puts and {len(kube.acknowledged)} objects acknowledged; longest gap between acknowledged puts {etcd.gap:.2f} s")
    keys = set(c.etcdctl("get", "--prefix", "/chaos/", "--keys-only", endpoint=survivors).split())
    equal([i for i in etcd.acknowledged if f"/chaos/{i}" not in keys], [], "lost puts")
    names = set(c.kubectl("get", "cm", "-o", "name").split())
    equal([i for i in kube.acknowledged if f"configmap/chaos-{i}" not in names], [], "lost objects")


def controllers_and_scheduler_carry_on_elsewhere():
    eventually("another master has both", lambda: all(c.status()[k] not in ("", killed["name"]) for k in ("controllers_leader", "scheduler_leader")))
    c.kubectl("create", "deployment", "after", "--image=nginx:1", "--replicas=2")
    c.kubectl("rollout", "status", "deployment/after", "--timeout=40s", timeout=60)


def the_killed_member_rejoins_with_the_same_content():
    equal(c.cluster("start-member", killed["id"]).strip(), killed["name"])
    eventually("it is healthy", lambda: all(m["healthy"] for m in c.status()["members"]))

    def agree():
        revision = min(m["revision"] for m in c.status()["members"])
        rows = json.loads(c.coxctl("hash", "--rev", str(revision), "-o", "json"))["members"]
        return len({m["hash"] for m in rows}) == 1 and len(rows) == 3

    eventually("the three hashes agree", agree)


def a_member_stopped_in_good_order_costs_nothing():
    leader = next(m for m in c.status()["members"] if m["leader"])
    c.cluster("stop-member", leader["name"])
    contains(c.kubectl("create", "configmap", "while-one-is-away"), "created")
    c.cluster("start-member", leader["name"])
    eventually("all are healthy", lambda: all(m["healthy"] for m in c.status()["members"]))


main([nothing_acknowledged_is_lost_when_the_leader_dies, controllers_and_scheduler_carry_on_elsewhere,
      the_killed_member_rejoins_with_the_same_content, a_member_stopped_in_good_order_costs_nothing])
