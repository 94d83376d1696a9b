#!/usr/bin/env python3
"""`coxctl import` from a stock etcd, and from Coxswain: content, leases, refusals, a source that compacts, users, a target that fails meanwhile."""
import json
import random
import shutil
import subprocess
import threading

from harness import COXCTL, Failure, Skip, contains, equal, eventually, main, run
from stores import Etcd, Store, coxctl, endpoints, etcdctl, root, spawn, start_cluster

etcd = Etcd("source")
members = [Store(f"i{i}") for i in range(3)]
KEYS = 3000


def content(client, prefix=""):
    out = json.loads(etcdctl(client, "get", prefix, "--prefix", "-w", "json"))
    return {(kv["key"], kv.get("value", ""), kv.get("lease", 0)) for kv in out.get("kvs", [])}


def imported(*args, source=etcd, target=members, **kw):
    return coxctl("import", "--from", "http://" + source.client, "--endpoints", endpoints(target), *args, **kw)


def refused(text, *args, **kw):
    code, out = imported(*args, check=False, **kw)
    equal(code, 1, out)
    contains(out, text)


def a_source_is_filled():
    if shutil.which("etcd") is None:
        raise Skip("no etcd")
    etcd.start("--initial-cluster", f"source=http://{etcd.peer}", "--max-txn-ops", "10000")
    etcd.ready()
    start_cluster(members)
    for begin in range(0, KEYS, 1000):
        puts = "".join(f"put bulk/{i:06} {'v' * (i % 500 + 1)}-{i}\n" for i in range(begin, begin + 1000))
        etcd.etcdctl("txn", stdin=f"\n{puts}\n\n")
    for i in range(3):
        etcd.etcdctl("put", f"large/{i}", stdin="L" * 900_000 + str(i))
    etcd.etcdctl("put", "empty", "")
    etcd.etcdctl("put", "other/changed", "1")
    etcd.etcdctl("put", "other/changed", "2")
    etcd.etcdctl("put", "other/gone", "1")
    etcd.etcdctl("del", "other/gone")


def everything_is_copied_with_its_leases():
    lease = etcd.etcdctl("lease", "grant", "2000").split()[1]
    bare = etcd.etcdctl("lease", "grant", "3000").split()[1]
    for i in range(3):
        etcd.etcdctl("put", f"leased/{i}", "x", "--lease", lease)
    revision = etcd.revision()
    out = json.loads(imported("-o", "json"))
    equal((out["keys"], out["leases"], out["revision"], out["expired"]), (KEYS + 3 + 1 + 1 + 3, 2, revision, 0))
    equal(content(members[1].client), content(etcd.client))
    equal(set(members[2].etcdctl("lease", "list").split()[3:]), {lease, bare})
    left = json.loads(members[0].etcdctl("lease", "timetolive", lease, "--keys", "-w", "json"))
    equal(1900 < left["ttl"] <= 2000, True, left)
    equal(len(left["keys"]), 3)
    members[0].etcdctl("lease", "revoke", lease)
    equal(members[0].etcdctl("get", "leased/", "--prefix"), "", "the lease holds its keys here, too")


def a_target_with_keys_is_refused_unless_it_is_forced():
    refused("keys there already; --force")
    refused("keys there already; --force", "--prefix", "other/")
    members[0].etcdctl("put", "other/changed", "by hand")
    members[0].etcdctl("put", "own", "stays")
    contains(imported("--force"), "imported")
    equal(members[0].etcdctl("get", "other/changed", "--print-value-only"), "2\n")
    equal(members[0].etcdctl("get", "own", "--print-value-only"), "stays\n")


def a_prefix_is_copied_alone():
    one = Store("prefix").start()
    one.ready()
    out = json.loads(imported("--prefix", "large/", "-o", "json", target=[one]))
    equal((out["keys"], out["leases"]), (3, 0))
    equal(content(one.client), content(etcd.client, "large/"))
    # What is there beside the prefix is in nobody's way.
    equal(json.loads(imported("--prefix", "other/", "-o", "json", target=[one]))["keys"], 1)
    refused("there already", "--prefix", "o", target=[one])
    one.stop()


def it_says_what_is_wrong():
    none = Store("none")
    refused("connect", "--timeout-ms", "1000", "--force", source=none)
    refused("connect", "--timeout-ms", "1000", target=[none])
    code, out = coxctl("import", "--endpoints", endpoints(members), check=False)
    equal(code != 0, True)
    contains(out, "--from")
    small = Store("small", "--max-txn-ops", "10").start()
    small.ready()
    refused("etcdserver: too many operations in txn request", target=[small])
    contains(imported("--ops-per-txn", "10", "--force", target=[small]), "imported")
    equal(content(small.client, "bulk/"), content(etcd.client, "bulk/"))
    small.stop()


def an_etcds_snapshot_is_a_source():
    path = root + "/etcd.snapshot"
    lease = etcd.etcdctl("lease", "grant", "1500").split()[1]
    etcd.etcdctl("put", "leased/again", "x", "--lease", lease)
    etcd.etcdctl("snapshot", "save", path)
    one = Store("from-file").start()
    one.ready()
    out = json.loads(coxctl("import", "--from-snapshot", path, "--endpoints", endpoints([one]), "-o", "json"))
    equal(out["revision"], etcd.revision())
    equal(content(one.client), content(etcd.client))
    contains(one.etcdctl("lease", "timetolive", lease, "--keys"), "leased/again")
    part = Store("from-file-part").start()
    part.ready()
    coxctl("import", "--from-snapshot", path, "--prefix", "large/", "--endpoints", endpoints([part]))
    equal(content(part.client), content(etcd.client, "large/"))
    part.stop()
    a_damaged_snapshot_is_refused(path, one)
    # Coxswain's is of the same kind.
    one.etcdctl("snapshot", "save", root + "/of-coxswain")
    two = Store("from-coxswain").start()
    two.ready()
    coxctl("import", "--from-snapshot", root + "/of-coxswain", "--endpoints", endpoints([two]))
    equal(content(two.client), content(etcd.client))
    two.stop()
    one.stop()


def a_damaged_snapshot_is_refused(path, target):
    data = open(path, "rb").read()

    def attempt(content):
        with open(path + ".bad", "wb") as f:
            f.write(content)
        return coxctl("import", "--from-snapshot", path + ".bad", "--endpoints", endpoints([target]), check=False)
    for at in (0, 20, 5000, len(data) // 2, len(data) - 40, len(data) - 1):
        code, out = attempt(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        equal(code, 1)
        contains(out, "SHA-256 does not match")
    for content, text in ((b"", "too short"), (b"x" * 8192, "both of its heads are wrong"), (data[:8192], "cut short")):
        code, out = attempt(content)
        equal(code, 1)
        contains(out, text)
    # Without the SHA-256 what is wrong shows in the tree, or in nothing (a value): never by a crash. The target has keys, so nothing is written.
    dice = random.Random(7)
    body = data[:-32]
    told = 0
    for _ in range(30):
        page = dice.randrange(len(body) // 4096) * 4096
        at = page + dice.choice([*range(0, 16), *range(16, 64)])
        code, out = attempt(body[:at] + bytes([body[at] ^ 1 << dice.randrange(8)]) + body[at + 1:])
        equal(code, 1, f"byte {at}: {out}")
        contains(out, "has no SHA-256" if "heads are wrong" not in out else "heads are wrong")
        told += "damaged" in out.split("it is damaged", 1)[-1]
    equal(told > 0, True, "damage in the tree is told")


def users_of_both_sides_sign_in():
    target = Store("guarded").start()
    target.ready()
    for server in (etcd, target):
        for args in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"), ("auth", "enable")):
            server.etcdctl(*args)
    refused("etcdserver: user name is empty", "--user", "root:rootpw", target=[target])
    refused("etcdserver: user name is empty", "--from-user", "root:rootpw", target=[target])
    refused("authentication failed, invalid user ID or password", "--from-user", "root:rootpw", "--user", "root:nonsense", target=[target])
    contains(imported("--from-user", "root:rootpw", "--user", "root:rootpw", target=[target]), "imported")
    for server in (etcd, target):
        server.etcdctl("auth", "disable", "--user", "root:rootpw")
    equal(content(target.client, "bulk/"), content(etcd.client, "bulk/"))
    target.stop()


def may_what_alice_may(target):
    def as_alice(*args, password="alicepw", **kw):
        return target.etcdctl(*args, "--user", "alice:" + password, **kw)
    contains(as_alice("get", "bulk/", "--prefix", "--limit", "1"), "bulk/000000")
    equal(as_alice("put", "own/alice", "1"), "OK\n")
    for args in (("put", "bulk/000000", "1"), ("get", "own/alice")):
        contains(as_alice(*args, check=False)[1], "etcdserver: permission denied")
    contains(as_alice("get", "bulk/", password="nonsense", check=False)[1], "authentication failed")


def users_and_roles_come_along():
    etcd.etcdctl("user", "add", "alice:alicepw")
    etcd.etcdctl("user", "add", "named", "--no-password")
    etcd.etcdctl("role", "add", "some")
    etcd.etcdctl("role", "grant-permission", "some", "read", "bulk/", "--prefix")
    etcd.etcdctl("role", "grant-permission", "some", "write", "own/", "--prefix")
    etcd.etcdctl("role", "grant-permission", "some", "write", "z", "a")
    for user in ("alice", "named"):
        etcd.etcdctl("user", "grant-role", user, "some")
    path = root + "/users.snapshot"
    etcd.etcdctl("snapshot", "save", path)
    target = Store("users-from-file").start()
    target.ready()
    from_file = ("import", "--from-snapshot", path, "--prefix", "bulk/", "--endpoints", endpoints([target]))
    contains(coxctl(*from_file, check=False)[1], "3 users stay behind")
    contains(coxctl(*from_file, "--users", check=False)[1], "keys there already")
    out = json.loads(coxctl(*from_file, "--users", "--force", "-o", "json"))
    equal((out["roles"], out["users"], out["locked"]), (1, 3, 0))
    target.etcdctl("auth", "enable")
    may_what_alice_may(target)
    contains(target.etcdctl("user", "get", "root", "--user", "root:rootpw"), "root")
    contains(target.etcdctl("get", "x", "--user", "named:x", check=False)[1], "authentication failed")
    target.etcdctl("user", "passwd", "alice", "--interactive=false", "--user", "root:rootpw", stdin="another")
    # Who is there keeps their password, and it may be done again.
    coxctl(*from_file, "--users", "--force", "--user", "root:rootpw")
    contains(target.etcdctl("get", "bulk/000000", "--user", "alice:another"), "bulk/000000")
    target.stop()


def each_change_of_users_makes_a_signed_token_one_of_the_past():
    key = root + "/jwt.pem"
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    target = Store("signed", "--auth-token", f"jwt,priv-key={key},sign-method=EdDSA").start()
    target.ready()
    target.etcdctl("user", "add", "root:rootpw")
    target.etcdctl("user", "grant-role", "root", "root")
    target.etcdctl("auth", "enable")
    out = coxctl("import", "--from-snapshot", root + "/users.snapshot", "--endpoints", endpoints([target]), "--users", "--force", "--user", "root:rootpw")
    contains(out, "1 roles and 3 users")
    may_what_alice_may(target)
    target.stop()


def passwords_that_are_not_told_are_to_be_set():
    target = Store("users-from-etcd").start()
    target.ready()
    etcd.etcdctl("auth", "enable")
    refused("etcdserver: user name is empty", "--prefix", "none/", "--users", target=[target])
    signed_in = ("--from-user", "root:rootpw", "--prefix", "none/", "--users")
    contains(imported(*signed_in, target=[target]), "imported 1 roles and 3 users\n3 of the users need a new password")
    contains(target.etcdctl("role", "get", "some"), "[bulk/, bulk0) (prefix bulk/)")
    refused("the target has 3 users and 1 roles already; --force", *signed_in, target=[target])
    target.etcdctl("put", "bulk/000000", "1")
    for user, password in (("root", "rootpw"), ("alice", "alicepw")):
        target.etcdctl("user", "passwd", user, "--interactive=false", stdin=password)
    target.etcdctl("auth", "enable")
    may_what_alice_may(target)
    contains(target.etcdctl("get", "x", "--user", "named:x", check=False)[1], "authentication failed")
    # A password that was set meanwhile stays.
    contains(imported(*signed_in, "--force", "--user", "root:rootpw", target=[target]), "3 users")
    may_what_alice_may(target)
    etcd.etcdctl("auth", "disable", "--user", "root:rootpw")
    target.stop()


def a_hash_is_taken_from_whom_may_change_users_and_only_a_real_one():
    target = Store("hashes").start()
    target.ready()

    def add(name, **fields):
        return run("curl", "-sS", f"http://{target.client}/v3/auth/user/add", "-d", json.dumps({"name": name, **fields}))
    contains(add("a", hashedPassword="plain"), "hashedPassword is no record of bcrypt")
    contains(add("a", password="a\0b"), "a password cannot hold a zero byte")
    contains(add("root", password="rootpw", hashedPassword="of no use"), "header")
    target.etcdctl("user", "grant-role", "root", "root")
    target.etcdctl("auth", "enable")
    contains(add("a", hashedPassword="$2a$10$" + "a" * 53), "etcdserver: user name is empty")
    equal(target.etcdctl("user", "list", "--user", "root:rootpw"), "root\n")
    target.stop()


def a_leader_that_dies_meanwhile_costs_nothing():
    new = [Store(f"j{i}") for i in range(3)]
    start_cluster(new)
    for begin in range(KEYS, 12_000, 1000):
        puts = "".join(f"put bulk/{i:06} {'v' * 400}-{i}\n" for i in range(begin, begin + 1000))
        etcd.etcdctl("txn", stdin=f"\n{puts}\n\n")
    command = subprocess.Popen([COXCTL, "import", "--from", "http://" + etcd.client, "--endpoints", endpoints(new), "--ops-per-txn", "20"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    eventually("it has begun", lambda: new[0].etcdctl("get", "bulk/", "--prefix", "--limit", "1") != "", pause=0)
    status = json.loads(etcdctl(endpoints(new), "endpoint", "status", "-w", "json"))
    leader = next(m for m, s in zip(new, status) if s["Status"]["leader"] == s["Status"]["header"]["member_id"])
    leader.process.kill()
    leader.process.wait()
    out, _ = command.communicate(timeout=60)
    equal(command.returncode, 0, out)
    contains(out, "imported")
    rest = next(m for m in new if m is not leader)
    equal(content(rest.client, "bulk/"), content(etcd.client, "bulk/"))
    for m in new:
        if m is not leader:
            m.stop()


def coxswain_is_a_source_too():
    one = Store("copy").start()
    one.ready()
    contains(imported(source=members[0], target=[one]), "imported")
    equal(content(one.client), content(members[0].client))
    one.stop()


main([a_source_is_filled, everything_is_copied_with_its_leases, a_target_with_keys_is_refused_unless_it_is_forced, a_prefix_is_copied_alone,
      it_says_what_is_wrong, an_etcds_snapshot_is_a_source, users_of_both_sides_sign_in,
      users_and_roles_come_along, each_change_of_users_makes_a_signed_token_one_of_the_past, passwords_that_are_not_told_are_to_be_set, a_hash_is_taken_from_whom_may_change_users_and_only_a_real_one,
      a_leader_that_dies_meanwhile_costs_nothing, coxswain_is_a_source_too])
