#!/usr/bin/env python3
"""Stock etcdctl 3.4 against a three-node cluster, and coxctl beside it."""
import hashlib
import json
import subprocess
import time

from harness import Cluster, Failure, contains, equal, eventually, main, run

c = Cluster()


def put_get_and_delete_on_every_member():
    for i, member in enumerate(c.status()["members"]):
        equal(c.etcdctl("put", f"k{i}", f"v{i}", endpoint=member["client"]), "OK\n")
        for other in c.status()["members"]:
            equal(c.etcdctl("get", f"k{i}", endpoint=other["client"]), f"k{i}\nv{i}\n", other["name"])
    equal(c.etcdctl("get", "--prefix", "k", "--keys-only", "--limit", "2").split(), ["k0", "k1"])
    equal(c.etcdctl("del", "k0"), "1\n")
    equal(c.etcdctl("del", "k0"), "0\n")


def reads_at_a_revision_and_after_compaction():
    first = json.loads(c.etcdctl("put", "rev", "1", "-w", "json"))["header"]["revision"]
    c.etcdctl("put", "rev", "2")
    equal(c.etcdctl("get", "rev", "--rev", str(first)), "rev\n1\n")
    c.etcdctl("compact", str(first + 1))
    code, text = c.etcdctl("get", "rev", "--rev", str(first), check=False)
    equal(code != 0, True)
    contains(text, "etcdserver: mvcc: required revision has been compacted")


def transactions_choose_a_branch():
    c.etcdctl("put", "t", "1")
    out = c.etcdctl("txn", stdin='value("t") = "1"\n\nput t 2\nget t\n\nput t 3\n\n')
    equal(out.split()[:2], ["SUCCESS", "OK"])
    equal(c.etcdctl("get", "t", "--print-value-only"), "2\n")
    out = c.etcdctl("txn", stdin='value("t") = "1"\n\nput t 2\n\nput t 3\n\n')
    equal(out.split()[0], "FAILURE")
    equal(c.etcdctl("get", "t", "--print-value-only"), "3\n")


def a_watch_sees_the_past_and_the_present_in_order():
    start = json.loads(c.etcdctl("put", "w1", "a", "-w", "json"))["header"]["revision"]
    s = c.status()
    watch = subprocess.Popen(["etcdctl", "--endpoints", s["members"][0]["client"], "--cacert", s["ca"], "--cert", s["cert"], "--key", s["key"],
                              "watch", "--prefix", "w", "--rev", str(start)], stdout=subprocess.PIPE, text=True,
                             env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    try:
        c.etcdctl("put", "w2", "b")
        c.etcdctl("del", "w1")
        lines = [watch.stdout.readline().strip() for _ in range(9)]
        equal(lines, ["PUT", "w1", "a", "PUT", "w2", "b", "DELETE", "w1", ""])
    finally:
        watch.kill()


def a_lease_takes_its_keys_with_it():
    lease = c.etcdctl("lease", "grant", "2").split()[1]
    c.etcdctl("put", "leased", "x", "--lease", lease)
    follower = next(m for m in c.status()["members"] if not m["leader"])
    contains(c.etcdctl("lease", "keep-alive", "--once", lease, endpoint=follower["client"]), "keepalived")
    contains(c.etcdctl("lease", "timetolive", lease, "--keys", endpoint=follower["client"]), "leased")
    eventually("the lease expires", lambda: c.etcdctl("get", "leased") == "", seconds=15)
    contains(c.etcdctl("lease", "timetolive", lease), "already expired")


def members_status_and_snapshot():
    equal(len(c.etcdctl("member", "list").splitlines()), 3)
    rows = json.loads(c.etcdctl("endpoint", "status", "-w", "json"))
    equal(sum(r["Status"]["leader"] == r["Status"]["header"]["member_id"] for r in rows), 1)
    equal(c.etcdctl("endpoint", "health", check=False)[1].count("is healthy"), 3)
    path = c.root + "/snap"
    one = c.status()["members"][0]["client"]
    c.etcdctl("snapshot", "save", path, endpoint=one)
    data = open(path, "rb").read()
    equal(len(data) % 512, 32)
    equal(hashlib.sha256(data[:-32]).digest(), data[-32:])


def leadership_moves_on_request():
    s = c.status()
    target = next(m for m in s["members"] if not m["leader"])
    c.coxctl("move-leader", target["name"])
    eventually("the other leads", lambda: next(m for m in c.status()["members"] if m["leader"])["name"] == target["name"])


def coxctl_says_the_same():
    equal(c.coxctl("put", "x", "1"), "OK\n")
    equal(json.loads(c.coxctl("get", "x", "-o", "json"))["kvs"][0]["value"], "1")
    out = c.coxctl("txn", "--if", "x = 1", "--then", "put x 2", "--else", "del x", "-o", "json")
    equal(json.loads(out)["succeeded"], True)
    equal(c.coxctl("get", "x"), "x\n2\n")
    hashes = {m["hash"] for m in json.loads(c.coxctl("hash", "-o", "json"))["members"]}
    equal(len(hashes), 1, "hashes")
    code, text = c.coxctl("txn", "--if", "mod(x) > many", check=False)
    equal(code, 1)
    contains(text, "many is no number")
    lease = json.loads(c.coxctl("lease", "grant", "2", "-o", "json"))["id"]
    c.coxctl("put", "held", "1", "--lease", lease)
    equal(json.loads(c.coxctl("lease", "keep-alive", lease, "--once", "-o", "json")), {"id": lease, "ttl": 2})
    try:
        c.coxctl("lease", "keep-alive", lease, timeout=4)
        raise Failure("keep-alive ended")
    except subprocess.TimeoutExpired:
        equal(c.coxctl("get", "held"), "held\n1\n", "a lease that is renewed")
    c.coxctl("lease", "revoke", lease)
    equal(c.coxctl("get", "held"), "", "a lease that is revoked")
    code, text = c.coxctl("lease", "keep-alive", lease, "--once", check=False)
    equal(code, 1)
    contains(text, "there is no lease " + lease)


def garbage_on_the_ports_does_no_harm():
    import os
    import socket
    for m in c.status()["members"]:
        for which in ("client", "peer", "api"):
            host, port = m[which].split("//")[1].split(":")
            with socket.create_connection((host, int(port))) as s:
                s.sendall(os.urandom(4096))
    time.sleep(0.2)
    equal(c.etcdctl("put", "after", "garbage"), "OK\n")
    equal(all(m["healthy"] for m in c.status()["members"]), True)


main([put_get_and_delete_on_every_member, reads_at_a_revision_and_after_compaction, transactions_choose_a_branch,
      a_watch_sees_the_past_and_the_present_in_order, a_lease_takes_its_keys_with_it, members_status_and_snapshot,
      leadership_moves_on_request, coxctl_says_the_same, garbage_on_the_ports_does_no_harm])
