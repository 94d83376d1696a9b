#!/usr/bin/env python3
"""What an etcd v3 server promises, line by line (test/contract), on three members of Coxswain's and, as the oracle, on a stock etcd."""
import json
import os
import re
import subprocess

from harness import BUILD, Failure, main
from stores import Etcd, Store, start_cluster

CONTRACT = str(BUILD / "test/contract/contract_test")


def run(endpoint, **env):
    done = subprocess.run([CONTRACT, "--gtest_color=no"], capture_output=True, text=True, timeout=240, env={**os.environ, "COXSWAIN_ENDPOINT": endpoint, **env})
    passed = re.findall(r"^\[       OK \] (\S+)", done.stdout, re.M)
    print(f"# {len(passed)} promises kept")
    if done.returncode != 0:
        raise Failure(done.stdout[-6000:] + done.stderr[-2000:])
    if len(passed) < 40:
        raise Failure("too few were looked at")


def on_coxswain():
    members = start_cluster([Store(f"c{i}") for i in range(3)])
    # On a follower: what holds there holds everywhere.
    leader = json.loads(members[0].etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["leader"]
    run(next(m for m in members if id_of(m) != leader).client)


def id_of(member):
    return json.loads(member.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["member_id"]


def on_a_stock_etcd():
    etcd = Etcd("e1").start()
    etcd.ready()
    run(etcd.client, COXSWAIN_REFERENCE="1")


main([on_coxswain, on_a_stock_etcd])
