#!/usr/bin/env python3
"""The same random requests to Coxswain and to a stock etcd get the same answers, errors and events. COXSWAIN_SEEDS=FIRST:COUNT asks for other or more ones."""
import json
import os
import shutil
import subprocess

from harness import BUILD, Failure, Skip, main
from stores import Etcd, Store, start_cluster

DIFFERENTIAL = str(BUILD / "test/contract/differential_test")


def compare(ours, which, seeds):
    if shutil.which("etcd") is None:
        raise Skip("no etcd")
    etcd = Etcd("oracle-" + ours.name).start()
    etcd.ready()
    env = {**os.environ, "COXSWAIN_ENDPOINT": ours.client, "COXSWAIN_OTHER": etcd.client, "COXSWAIN_SEEDS": os.environ.get("COXSWAIN_SEEDS", seeds)}
    done = subprocess.run([DIFFERENTIAL, "--gtest_color=no", "--gtest_filter=" + which], capture_output=True, text=True, env=env)
    if done.returncode != 0 or "[       OK ]" not in done.stdout:
        raise Failure(done.stdout[-6000:] + done.stderr[-2000:])
    etcd.stop()


def of_a_lone_member():
    one = Store("one").start()
    one.ready()
    compare(one, "Differences.None", "1:150")
    one.stop()


def of_a_follower():
    members = start_cluster([Store(f"m{i}") for i in range(3)])
    status = [json.loads(m.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"] for m in members]
    follower = next(m for m, s in zip(members, status) if s["leader"] != s["header"]["member_id"])
    compare(follower, "Differences.None", "1001:40")
    for m in members:
        m.stop()


def of_users_and_what_they_may():
    one = Store("guarded").start()
    one.ready()
    compare(one, "DifferencesOfUsers.None", "1:8")
    one.stop()


main([of_a_lone_member, of_a_follower, of_users_and_what_they_may])
