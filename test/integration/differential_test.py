#!/usr/bin/env python3
"""The same random requests to Coxswain and to a stock etcd get the same answers, errors and events. COXSWAIN_SEEDS=FIRST:COUNT asks for other or more ones."""
import base64
import json
import os
import random
import shutil
import subprocess
import urllib.error
import urllib.request

from harness import BUILD, Failure, Skip, equal, main
from stores import Etcd, Store, start_cluster

DIFFERENTIAL = str(BUILD / "test/contract/differential_test")


def oracle(name):
    if shutil.which("etcd") is None:
        raise Skip("no etcd")
    etcd = Etcd("oracle-" + name).start()
    etcd.ready()
    return etcd


def compare(ours, which, seeds):
    etcd = oracle(ours.name)
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


class GatewayRequests:
    """Random requests of the JSON gateway: names of fields and of enums in both spellings, numbers as such and as strings."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.lease = seed
        self.prefix = f"g{seed}/".encode()
        self.revision = 1

    def chance(self, p):
        return self.dice.random() < p

    def number(self, n):
        return self.dice.choice([n, str(n)])

    def key(self):
        return text(self.prefix + self.dice.choice([b"", b"a", b"ab", b"b\xff", b"c"]))

    def interval(self):
        return self.dice.choice([{"key": self.key()}, {"key": text(self.prefix), "range_end": text(self.prefix[:-1] + b"0")},
                                 {"key": self.key(), "rangeEnd": text(self.prefix[:-1] + b"0")}])

    def some(self, p, **fields):
        return {name: value for name, value in fields.items() if self.chance(p)}

    def range(self):
        return {**self.interval(), **self.some(0.2, limit=self.number(self.dice.randrange(3)), revision=self.number(max(1, self.revision - self.dice.randrange(9))),
                sort_order=self.dice.choice(["ASCEND", "DESCEND", 1, 2]), keys_only=True, countOnly=True, serializable=True)}

    def put(self):
        return {"key": self.key(), **self.some(0.5, value=text(self.dice.randbytes(3)), prev_kv=True), **self.some(0.1, lease=self.number(self.lease), nonsense={"a": [1]})}

    def delete(self):
        return {**self.interval(), **self.some(0.5, prevKv=True)}

    def compare(self):
        target, field = self.dice.choice([("VERSION", "version"), ("CREATE", "create_revision"), (2, "modRevision"), ("LEASE", "lease")])
        return {"key": self.key(), "target": target, field: self.number(self.dice.randrange(4)), "result": self.dice.choice(["EQUAL", "LESS", "NOT_EQUAL", 1])}

    def txn(self):
        def branch():
            return [self.dice.choice([{"request_range": self.range()}, {"requestPut": self.put()}, {"request_delete_range": self.delete()}])
                    for _ in range(self.dice.randrange(3))]
        return self.some(0.8, compare=[self.compare() for _ in range(self.dice.randrange(3))], success=branch(), failure=branch())

    def next(self):
        return self.dice.choice([("kv/range", self.range()), ("kv/put", self.put()), ("kv/deleterange", self.delete()), ("kv/txn", self.txn()),
                                 ("lease/revoke", {"ID": self.number(self.lease)}), ("lease/leases", {}), ("kv/put", {"key": 1.5}), ("kv/range", [])])


def text(raw):
    return base64.b64encode(raw).decode()


def post(at, path, body):
    """(status, type, JSON without what is a server's own, or of the request's text)"""
    request = urllib.request.Request(f"http://{at}/v3/{path}", data=json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            own = {"cluster_id", "member_id", "raft_term"}
            return answer.status, answer.headers["Content-Type"], json.loads(answer.read(), object_hook=lambda o: {k: v for k, v in o.items() if k not in own})
    except urllib.error.HTTPError as e:
        said = json.loads(e.read())
        equal(said["error"], said["message"])
        return e.code, e.headers["Content-Type"], said["code"], said["error"] if said["error"].startswith("etcdserver: ") else "malformed"


def through_the_gateway():
    one = Store("gateway").start()
    one.ready()
    etcd = oracle(one.name)
    first, count = map(int, os.environ.get("COXSWAIN_SEEDS", "1:30").split(":"))
    for seed in range(first, first + count):
        requests = GatewayRequests(seed)
        for server in (one, etcd):
            equal(post(server.client, "lease/grant", {"ID": requests.lease, "TTL": "1000"})[0], 200)
        for _ in range(50):
            path, body = requests.next()
            answers = [post(server.client, path, body) for server in (one, etcd)]
            equal(answers[0], answers[1], f"seed {seed}: {path} {body}")
            if answers[0][0] == 200:
                requests.revision = int(answers[0][2]["header"]["revision"])
    etcd.stop()
    one.stop()


main([of_a_lone_member, of_a_follower, of_users_and_what_they_may, through_the_gateway])
