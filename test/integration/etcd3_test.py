#!/usr/bin/env python3
"""The npm package etcd3 (etcd3_client.js) on a cluster of three: values, namespaces, transactions, leases, watches, locks, elections, users."""
import os
import shutil
import subprocess

from harness import SOURCE, Failure, Skip, main
from stores import Store, start_cluster

PACKAGE = SOURCE / ".cache/etcd3/node_modules/etcd3"
members = [Store(f"n{i}") for i in range(3)]
NAMES = ["values_and_ranges", "namespaces", "transactions", "software_transactions_do_not_lose_updates", "leases", "watches", "locks", "elections",
         "users_and_roles"]
lines = {}


def the_client_runs():
    if shutil.which("node") is None or not os.path.isdir(PACKAGE):
        raise Skip("no node, or the package was not fetched (tools/dev test does)")
    start_cluster(members)
    done = subprocess.run(["node", str(SOURCE / "test/integration/etcd3_client.js"), str(PACKAGE), *[m.client for m in members]],
                          capture_output=True, text=True, timeout=120)
    for line in done.stdout.splitlines():
        for name in NAMES:
            if line.split(":")[0] in (f"ok {name}", f"not ok {name}"):
                lines[name] = line
    if not lines:
        raise Failure(done.stdout + done.stderr)
    lines["all"] = done.stdout


def check(name):
    def test():
        if not lines:
            raise Skip("the client did not run")
        if lines.get(name) != f"ok {name}":
            raise Failure(lines["all"])
    test.__name__ = name
    return test


main([the_client_runs, *map(check, NAMES)])
