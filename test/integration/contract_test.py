#!/usr/bin/env python3
"""What an etcd v3 server promises, line by line (test/contract), on three members of Coxswain's and, as the oracle, on a stock etcd."""
import os
import re
import subprocess

from harness import BUILD, Cluster, Failure, StockEtcd, main

CONTRACT = str(BUILD / "test/contract/contract_test")


def run(endpoint, **env):
    done = subprocess.run([CONTRACT, "--gtest_color=no"], capture_output=True, text=True, timeout=240, env={**os.environ, "COXSWAIN_ENDPOINT": endpoint.split("//")[-1], **env})
    passed = re.findall(r"^\[       OK \] (\S+)", done.stdout, re.M)
    print(f"# {len(passed)} promises kept")
    if done.returncode != 0:
        raise Failure(done.stdout[-6000:] + done.stderr[-2000:])
    if len(passed) < 40:
        raise Failure("too few were looked at")


def on_coxswain():
    c = Cluster("--insecure")
    # On a follower: what holds there holds everywhere.
    follower = next(m for m in c.status()["members"] if not m["leader"])
    run(follower["client"])


def on_a_stock_etcd():
    run(StockEtcd().url, COXSWAIN_REFERENCE="1")


main([on_coxswain, on_a_stock_etcd])
