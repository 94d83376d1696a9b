#!/usr/bin/env python3
"""Clients that remember everything, while members are killed, paused, moved, and cut off from each other: what they saw is judged at the end."""
import json
import os
import random
import signal
import subprocess
import tempfile
import time

import stores
from harness import BUILD, Cluster, Failure, eventually, main
from network import Network

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
    """One fault after the other, each mended before the next. A kind is a method and what it is given: whether it meets the leader."""

    def __init__(self):
        self.done = {}

    def until(self, end):
        kinds = self.kinds()
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
        print(f"# {self.done}")
        if len(self.done) < 4:
            raise Failure(f"too few faults: {self.done}")


class ProcessFaults(Faults):
    def __init__(self, cluster):
        super().__init__()
        self.cluster = cluster

    def kinds(self):
        return [(f, leader) for f in (self.kill, self.pause) for leader in (True, False)] + [(self.all_at_once, None), (self.move_leader, None)]

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


class NetworkFaults(Faults):
    """Of three stores whose connections run through `network`."""

    def __init__(self, network, members):
        super().__init__()
        self.network, self.members = network, members

    def kinds(self):
        return [(f, leader) for f in (self.isolate, self.deafen, self.silence) for leader in (True, False)] + [(self.part_two, True)]

    def status(self, member):
        return json.loads(member.etcdctl("--command-timeout", "1s", "endpoint", "status", "-w", "json"))[0]["Status"]

    def ids(self, leader):
        """One of the members that lead, or follow, and the others."""
        def chosen():
            states = [self.status(m) for m in self.members]
            return [s["header"]["member_id"] for s in states if (s["leader"] == s["header"]["member_id"]) == leader]
        one = chance.choice(eventually("a leader", chosen))
        return [one], [i for i in self.network.ids.values() if i != one]

    def for_a_while(self, *cuts, seconds=None):
        for cut in cuts:
            self.network.cut(*cut)
        time.sleep(seconds or chance.uniform(0.3, 3))
        self.network.mend()

    def isolate(self, leader):
        """A leader for longer than requests wait: of some nobody learns what became of them."""
        one, others = self.ids(leader)
        self.for_a_while((one, others), (others, one), seconds=8 if leader else None)

    def deafen(self, leader):
        one, others = self.ids(leader)
        self.for_a_while((others, one))

    def silence(self, leader):
        one, others = self.ids(leader)
        self.for_a_while((one, others))

    def part_two(self, leader):
        """The leader and one follower; the third has both."""
        one, others = self.ids(leader)
        self.for_a_while((one, others[:1]), (others[:1], one))


def the_judge_agrees_with_a_stock_etcd():
    etcd = stores.Etcd("e1").start()
    etcd.ready()
    chaos([etcd.client], 3, None, "--no-progress")


def what_clients_saw_under_faults_is_linearizable():
    c = Cluster("--insecure")
    chaos([m["client"] for m in c.status()["members"]], 25, ProcessFaults(c).until)

    def agree():
        rows = json.loads(c.coxctl("hash", "-o", "json"))["members"]
        return len(rows) == 3 and len({m["hash"] for m in rows}) == 1

    eventually("the members' contents are the same", agree)


def what_clients_saw_under_partitions_is_linearizable():
    network = Network()
    members = [stores.Store(f"p{i}") for i in range(3)]
    ways = [f"http://{network.way_to(m.peer)}" for m in members]
    for m, way in zip(members, ways):
        m.start("--advertise-peer", way, "--initial-cluster", ",".join(f"{m.name}={w}" for m, w in zip(members, ways)))
    for m in members:
        m.ready()
    faults = NetworkFaults(network, members)
    network.ids = {m.peer: faults.status(m)["header"]["member_id"] for m in members}
    before = network.carried
    chaos([m.client for m in members], 25, faults.until)
    if network.carried - before < 10000:
        raise Failure("the members do not talk through the network")
    eventually("the members' contents are the same", lambda: len(stores.hashes(members)) == 1)


main([the_judge_agrees_with_a_stock_etcd, what_clients_saw_under_faults_is_linearizable, what_clients_saw_under_partitions_is_linearizable])
