#!/usr/bin/env python3
"""Faults that other stores had and that show only on a whole process: their numbers are etcd's issues. The rest of that list is
in test/contract and test/sim; docs/etcd-contract.md says where each is."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from harness import COXSWAIN, Cluster, Failure, contains, equal, eventually, free_port, main, run
from stores import Store

ETCDCTL = {"ETCDCTL_API": "3"}


def alone(name, *flags):
    """One member."""
    s = Store(name, "--log-level", "error", *flags).start()
    s.ready()
    return s


def resident_mb(s):
    for line in open(f"/proc/{s.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def puts(url, count, value, key=b"load", streams=100, expect=True):
    """The same put many times over; how many were acknowledged."""
    message = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(value)) + value
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + len(message).to_bytes(4, "big") + message)
        body.flush()
        out = subprocess.run(["h2load", "-n", str(count), "-c", "4", "-m", str(streams // 4), "-d", body.name, "-H", "content-type: application/grpc", "-H", "te: trailers",
                              url + "/etcdserverpb.KV/Put"], capture_output=True, text=True, timeout=120).stdout
    if expect and f"{count} succeeded" not in out:
        raise Failure(f"not all puts were answered:\n{out}")


def updates_without_end_take_no_memory():
    """#18382: memory at ten times the data."""
    s = alone("updated")
    before = resident_mb(s)
    puts("http://" + s.client, 60000, os.urandom(1024))
    grown = resident_mb(s) - before
    print(f"# 60 MB of updates of one key: {grown:.0f} MB more memory")
    if grown > 120:
        raise Failure(f"{grown:.0f} MB more")
    s.stop()


def defragmentation_stops_nobody():
    """#9222: defrag stopped the process."""
    s = alone("defragmented")
    puts("http://" + s.client, 30000, os.urandom(3000))
    ended = threading.Event()
    during = []

    def write():
        i = 0
        while not ended.is_set():
            s.etcdctl("put", f"during/{i}", "x")
            if not ended.is_set():
                during.append(i)
            i += 1

    writer = threading.Thread(target=write)
    writer.start()
    eventually("writing", lambda: during)
    during.clear()
    s.etcdctl("defrag", "--command-timeout=60s")
    done = len(during)
    ended.set()
    writer.join()
    print(f"# {done} puts acknowledged while it defragmented")
    if done < 2:
        raise Failure("nobody could write while it defragmented")
    s.stop()


def at_the_quotas_edge_what_is_refused_is_not_done():
    """A write was applied and yet answered NOSPACE."""
    s = alone("full", "--quota-backend-bytes", str(24 << 20))
    # In one stream each is answered before the next: the last that was taken has the last number.
    value = os.urandom(700_000).hex()
    taken = refused = 0
    for i in range(200):
        code, out = s.etcdctl("put", f"edge/{i:04}", check=False, stdin=value)
        if code == 0:
            taken += 1
            equal(refused, 0, "taken after a refusal, with no space made")
        else:
            contains(out, "database space exceeded")
            refused += 1
            if refused == 5:
                break
    equal(refused, 5)
    keys = [k for k in s.etcdctl("get", "--prefix", "edge/", "--keys-only").split() if k]
    equal(keys, [f"edge/{i:04}" for i in range(taken)])
    s.stop()


cluster = Cluster("--insecure")


def leader():
    return next(m for m in cluster.status()["members"] if m["leader"])


def terms():
    out = run("etcdctl", "--endpoints", ",".join(m["client"] for m in cluster.status()["members"]), "endpoint", "status", "-w", "json", env=ETCDCTL)
    return {row["Status"]["raftTerm"] for row in json.loads(out)}


def heartbeats_are_in_time_under_load():
    """#16330: they came late while the leader was busy, and it was deposed."""
    before, first = terms(), leader()
    for key in (b"a", b"b", b"c"):
        puts(first["client"], 40000, os.urandom(2000), key, 1000)
    equal(terms(), before, "terms")
    equal(leader()["name"], first["name"], "the leader")


def a_paused_holder_of_a_lock_cannot_write_late():
    """Jepsen on etcd 3.4.3: locks outlive a holder that was paused. With the lock's revision in the write it is refused."""
    endpoint = leader()["client"]
    holder = subprocess.Popen(["etcdctl", "--endpoints", endpoint, "lock", "mutex", "--ttl", "2"], stdout=subprocess.PIPE, text=True, env={**os.environ, **ETCDCTL})
    try:
        name = holder.stdout.readline().strip()
        row = json.loads(run("etcdctl", "--endpoints", endpoint, "get", name, "-w", "json", env=ETCDCTL))["kvs"][0]
        fence = f'create("{name}") = "{row["create_revision"]}"\n\nput protected {{}}\n\n\n'
        write = lambda who: run("etcdctl", "--endpoints", endpoint, "txn", stdin=fence.format(who), env=ETCDCTL)
        contains(write("in-time"), "SUCCESS")
        holder.send_signal(signal.SIGSTOP)
        contains(run("etcdctl", "--endpoints", endpoint, "lock", "mutex", "echo", "mine", env=ETCDCTL), "mine")
        contains(write("late"), "FAILURE")
        equal(run("etcdctl", "--endpoints", endpoint, "get", "protected", "--print-value-only", env=ETCDCTL), "in-time\n")
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.kill()
        holder.wait()


def a_promotion_outlives_every_process():
    """#19557, #20793: a promoted learner was a learner again after a restart."""
    peer, client = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    root = tempfile.mkdtemp(prefix="coxswain-test-")
    command = [COXSWAIN, "store", "--insecure", "--name", "new", "--data-dir", root + "/d", "--listen-peer", peer, "--listen-client", client, "--log-level", "error"]
    joined = None

    def rows():
        return {m["name"]: m for m in json.loads(cluster.coxctl("member", "list", "-o", "json"))["members"]}

    try:
        added = json.loads(cluster.coxctl("member", "add", "--learner", "--peer-urls", "http://" + peer, "-o", "json"))
        joined = subprocess.Popen([*command, "--join", ",".join(m["client"] for m in cluster.status()["members"])])
        eventually("it is promoted", lambda: cluster.coxctl("member", "promote", added["id"]))
        joined.kill()
        joined.wait()
        for m in cluster.status()["members"]:
            cluster.cluster("kill-member", m["name"])
        for m in cluster.status()["members"]:
            cluster.cluster("start-member", m["id"])
        joined = subprocess.Popen(command)
        eventually("it votes", lambda: not rows()["new"].get("learner") and run("etcdctl", "--endpoints", client, "endpoint", "health", env=ETCDCTL, check=False)[0] == 0)
        cluster.coxctl("member", "remove", "new")
    finally:
        if joined:
            joined.kill()
            joined.wait()
        shutil.rmtree(root, ignore_errors=True)


main([updates_without_end_take_no_memory, defragmentation_stops_nobody, at_the_quotas_edge_what_is_refused_is_not_done, heartbeats_are_in_time_under_load,
      a_paused_holder_of_a_lock_cannot_write_late, a_promotion_outlives_every_process])
