#!/usr/bin/env python3
"""Clients that remember everything, while members are killed, paused and moved: what they saw is judged at the end."""
import json
import os
import random
import signal
import subprocess
import tempfile
import time

import stores
from harness import BUILD, Cluster, Failure, eventually, main

CHAOS_CLIENT = str(BUILD / "test/history/chaos_client")
seed = int(os.environ.get("COXSWAIN_SEED", random.randrange(1 << 30)))
chance = random.Random(seed)
print(f"# COXSWAIN_SEED={seed}")


def chaos(endpoints, seconds, faults=None, *flags):
    command = [CHAOS_CLIENT, "--seconds", str(seconds), "--seed", str(seed), "--dump", os.path.join(tempfile.gettempdir(), f"chaos-{seed}.txt"), *flags]
    for e in endpoints:
        command += ["--endpoint", e.split("//")[-1]]
    clients = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if clients.stdout.readline() != "running\n":
            raise Failure(f"the clients do not begin: {clients.communicate(timeout=20)[1]}")
        if faults:
            faults(time.monotonic() + seconds - 3)
        out, err = clients.communicate(timeout=seconds + 90)
    finally:
        clients.kill()
    if clients.returncode != 0:
        raise Failure(f"seed {seed}: {err[:6000]}")
    counts = json.loads(out)
    print(f"# {counts}")
    if counts["operations"] < 200 or counts["watch_responses"] < 100:
        raise Failure(f"too little happened to say anything: {counts}")
    return counts


class Faults:
    """One fault after the other on the members' processes, each mended before the next."""

    def __init__(self, cluster):
        self.cluster, self.done = cluster, {}

    def member(self, leader):
        rows = eventually("a leader", lambda: [m for m in self.cluster.status()["members"] if m["leader"] == leader])
        return chance.choice(rows)

    def kill(self, leader):
        m = self.member(leader)
        os.kill(m["pid"], signal.SIGKILL)
        time.sleep(chance.uniform(0.2, 2))
        self.cluster.cluster("start-member", m["id"])

    def pause(self, leader):
        """Long enough for another leader; then the old one wakes and believes that it leads (etcd #20418)."""
        m = self.member(leader)
        os.kill(m["pid"], signal.SIGSTOP)
        time.sleep(chance.uniform(0.2, 2.5))
        os.kill(m["pid"], signal.SIGCONT)

    def all_at_once(self, _):
        for m in self.cluster.status()["members"]:
            os.kill(m["pid"], signal.SIGKILL)
        for m in self.cluster.status()["members"]:
            self.cluster.cluster("start-member", m["id"])

    def move_leader(self, _):
        self.cluster.coxctl("move-leader", self.member(False)["id"])

    def until(self, end):
        kinds = [(f, leader) for f in (self.kill, self.pause) for leader in (True, False)] + [(self.all_at_once, None), (self.move_leader, None)]
        chance.shuffle(kinds)
        turn = 0
        while time.monotonic() < end:
            fault, leader = kinds[turn % len(kinds)]
            turn += 1
            name = fault.__name__ + {True: " leader", False: " follower", None: ""}[leader]
            try:
                fault(leader)
                self.done[name] = self.done.get(name, 0) + 1
            except Failure as e:
                # Leadership may have moved under the fault: no harm.
                print(f"# {name}: {str(e).splitlines()[-1]}")
            time.sleep(chance.uniform(0.3, 1.2))


def the_judge_agrees_with_a_stock_etcd():
    etcd = stores.Etcd("e1").start()
    etcd.ready()
    chaos([etcd.client], 3, None, "--no-progress")


def what_clients_saw_under_faults_is_linearizable():
    c = Cluster("--insecure")
    faults = Faults(c)
    chaos([m["client"] for m in c.status()["members"]], 25, faults.until)
    print(f"# {faults.done}")
    if len(faults.done) < 4:
        raise Failure(f"too few faults: {faults.done}")

    def agree():
        rows = json.loads(c.coxctl("hash", "-o", "json"))["members"]
        return len(rows) == 3 and len({m["hash"] for m in rows}) == 1

    eventually("the members' contents are the same", agree)


main([the_judge_agrees_with_a_stock_etcd, what_clients_saw_under_faults_is_linearizable])
