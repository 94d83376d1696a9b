#!/usr/bin/env python3
"""A client of stock gRPC (grpc_client.cc) on the store: calls, watches, leases, snapshots; a slow reader of a long range; a watch without a leader."""
import json
import os
import re
import shutil
import subprocess

from harness import BUILD, Failure, Skip, contains, equal, eventually, main
from stores import Etcd, Store, coxctl, root, spawn, start_cluster

CLIENT = str(BUILD / "test/integration/grpc_client")
members = [Store(f"g{i}") for i in range(3)]
KEYS, BYTES = 100_000, 512


def client(*args, **kw):
    return subprocess.Popen([CLIENT, members[0].client, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kw)


def finished(process, timeout=50):
    out, _ = process.communicate(timeout=timeout)
    if process.returncode != 0:
        raise Failure(out)
    return out


def the_store_starts():
    if not os.path.exists(CLIENT):
        raise Skip("the client is not built: no libgrpc++-dev")
    start_cluster(members)


def calls_watches_and_leases():
    if not os.path.exists(CLIENT):
        raise Skip("no client")
    out = finished(client("test"))
    equal(out.count("ok "), 9, out)
    equal("not ok" in out, False, out)


def a_stock_etcd_passes_the_same_checks():
    if not os.path.exists(CLIENT) or shutil.which("etcd") is None:
        raise Skip("no client, or no etcd")
    etcd = Etcd("oracle").start()
    etcd.ready()
    out = subprocess.run([CLIENT, etcd.client, "test"], capture_output=True, text=True, timeout=50).stdout
    # 3.4 has no RangeStream yet.
    wrong = [line for line in out.splitlines() if not line.startswith("ok ")]
    equal(len(wrong), 1, out)
    contains(wrong[0], "not ok streamed_ranges_are_the_unary_ones: range stream: unknown method RangeStream")
    etcd.stop()


def snapshots():
    if not os.path.exists(CLIENT):
        raise Skip("no client")
    finished(client("snapshot", root + "/by-grpc"))
    status = json.loads(coxctl("snapshot", "status", root + "/by-grpc", "-o", "json"))
    equal(status["revision"], members[0].revision())


def anonymous_memory():
    """What the process has for itself, in bytes: LevelDB's tables are mapped files."""
    with open(f"/proc/{members[0].process.pid}/status") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read()).group(1)) << 10


def a_long_range_is_streamed_in_bounded_memory():
    if not os.path.exists(CLIENT):
        raise Skip("no client")
    finished(client("fill", "long/", str(KEYS), str(BYTES)))
    # Once before, so that caches are warm.
    warm = client("stream", "long/")
    equal(finished_after_pause(warm), f"{KEYS} {KEYS}\n")
    before = anonymous_memory()
    readers = [client("stream", "long/") for _ in range(4)]
    for reader in readers:
        equal(reader.stdout.readline(), "paused\n")
    # While they read nothing the store goes on, and holds only what it may: about a MiB each.
    for i in range(4):
        members[0].etcdctl("put", "beside", str(i))
    held = anonymous_memory() - before
    for reader in readers:
        reader.stdin.write("go\n")
        reader.stdin.flush()
        equal(finished(reader), f"{KEYS} {KEYS}\n")
    total = KEYS * BYTES
    print(f"# {total >> 20} MiB by each of 4 slow readers: {held >> 20} MiB held", flush=True)
    equal(held < 24 << 20, True, f"{held} bytes held of {4 * total}")


def finished_after_pause(reader):
    equal(reader.stdout.readline(), "paused\n")
    reader.stdin.write("go\n")
    reader.stdin.flush()
    return finished(reader)


def a_watch_that_wants_a_leader_ends_without_one():
    if not os.path.exists(CLIENT):
        raise Skip("no client")
    watch = client("leader")
    equal(watch.stdout.readline(), "watching\n")
    for m in members[1:]:
        m.process.kill()
        m.process.wait()
    contains(finished(watch), "14 etcdserver: no leader")


main([the_store_starts, calls_watches_and_leases, a_stock_etcd_passes_the_same_checks, snapshots, a_long_range_is_streamed_in_bounded_memory,
      a_watch_that_wants_a_leader_ends_without_one])
