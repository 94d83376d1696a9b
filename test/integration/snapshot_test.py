#!/usr/bin/env python3
"""A snapshot of a loaded cluster of three is saved, looked at, damaged, and restored into new clusters."""
import json
import os
import subprocess

from harness import Failure, contains, equal, eventually, main, run
from stores import Store, coxctl, endpoints, hashes, initial_cluster, root, start_cluster

old = [Store(f"a{i}") for i in range(3)]
saved = root + "/saved"
before = {}


def restore(members, *flags, token="new"):
    for m in members:
        coxctl("snapshot", "restore", saved, "--data-dir", m.directory, "--name", m.name, "--initial-cluster", initial_cluster(members),
               "--initial-cluster-token", token, "--initial-advertise-peer-urls", "http://" + m.peer, *flags)


def a_loaded_cluster_is_saved():
    start_cluster(old)
    etcdctl = old[0].etcdctl
    for i in range(20):
        coxctl("txn", "--endpoints", endpoints(old), "--then", *[f"put many/{i}/{j} {'v' * 200}" for j in range(100)])
    for i in range(5):
        etcdctl("put", "changed", str(i))
    etcdctl("put", "gone", "x")
    before["middle"] = old[0].revision()
    etcdctl("del", "gone")
    before["lease"] = etcdctl("lease", "grant", "1000").split()[1]
    etcdctl("put", "leased", "x", "--lease", before["lease"])
    for args in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"), ("role", "add", "reader"),
                 ("role", "grant-permission", "reader", "read", "changed"), ("user", "add", "ann:annpw"), ("user", "grant-role", "ann", "reader")):
        etcdctl(*args)
    before["revision"] = old[0].revision()
    before["content"] = old[0].etcdctl("get", "", "--prefix", "-w", "json")
    contains(coxctl("snapshot", "save", saved, "--endpoints", endpoints(old)), "saved")
    equal(os.path.exists(saved + ".part"), False)
    equal(os.stat(saved).st_mode & 0o777, 0o600)
    before["hashes"] = hashes(old, before["revision"])
    equal(len(before["hashes"]), 1)


def status_tells_what_is_in_it():
    status = json.loads(coxctl("snapshot", "status", saved, "-o", "json"))
    equal((status["revision"], status["totalKey"], status["leases"], status["users"]), (before["revision"], 2002, 1, 2))
    equal(status["totalVersion"], 2000 + 5 + 2 + 1, "changed five times, gone twice, leased once")
    equal(status["totalSize"], os.path.getsize(saved))
    contains(coxctl("snapshot", "status", saved), str(before["revision"]))
    # The same bytes by etcdctl, which stores them as they come.
    old[0].etcdctl("snapshot", "save", root + "/by-etcdctl")
    equal(json.loads(coxctl("snapshot", "status", root + "/by-etcdctl", "-o", "json"))["totalKey"], 2002)


def damage_anywhere_is_told_and_refused():
    data = open(saved, "rb").read()
    size = len(data)

    def refused(name, content, *texts):
        path = f"{root}/bad-{name}"
        open(path, "wb").write(content)
        commands = (("restore", path, "--data-dir", root + "/bad", "--initial-cluster", "default=http://127.0.0.1:1"), ("status", path))
        # Both read it in the same way: the other one looks at a few.
        for args in commands if not name.startswith("flip") or name in ("flip-0", "flip-25") else commands[:1]:
            code, out = coxctl("snapshot", *args, check=False)
            equal(code, 1, (name, out))
            contains(out, path)
            for text in texts:
                contains(out, text)
        equal(os.path.exists(root + "/bad"), False, "a refused file leaves no directory")
        equal(os.path.exists(root + "/bad.restoring"), False)

    end = data.rindex(b"t", 0, size - 32)
    # The header, an entry's begin, its length, its key and value, somewhere, the padding, the digest.
    for at in [0, 10, 19, 20, 21, 25, *range(1000, size, size // 23), end - 3, size - 34, size - 32, size - 1]:
        refused(f"flip-{at}", data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:], "SHA-256 does not match")
    refused("empty", b"", "cut short")
    refused("short", data[:-512], "SHA-256 does not match")
    refused("shorter", data[:-1], "cut short")
    refused("longer", data + b"\0" * 512)
    refused("text", b"#!/bin/sh\n" * 50, "cut short")
    # A digest that fits what is wrong: the stream's own checks say no.
    import hashlib
    for name, body, text in (("no-end", data[:1024], "ends too early"), ("other", b"x" * 512, "begins otherwise"),
                             ("behind", data[:-33] + b"x", "behind its end")):
        refused("signed-" + name, body + hashlib.sha256(body).digest(), text)
    # A bbolt file of etcd's.
    bolt = b"\0" * 16 + b"\xed\xda\x0c\xed" + b"\0" * 492
    refused("bolt", bolt + hashlib.sha256(bolt).digest(), "a database of etcd")


def restore_refuses_what_makes_no_sense():
    def refused(text, *args):
        code, out = coxctl("snapshot", "restore", saved, *args, check=False)
        equal(code != 0, True, args)
        contains(out, text)
    os.makedirs(root + "/taken/x")
    one = ("--name", "n1", "--initial-cluster", "n1=http://127.0.0.1:1,n2=http://127.0.0.1:2")
    refused("is there already", "--data-dir", root + "/taken", *one)
    refused("does not name this member", "--data-dir", root + "/new", "--name", "n3", *one[2:])
    refused("is not what --initial-cluster says", "--data-dir", root + "/new", *one, "--initial-advertise-peer-urls", "http://127.0.0.1:3")
    refused("go together", "--data-dir", root + "/new", *one, "--bump-revision", "5")
    refused("go together", "--data-dir", root + "/new", *one, "--mark-compacted")
    refused("is too much", "--data-dir", root + "/new", *one, "--mark-compacted", "--bump-revision", str(2**63 - 2))
    refused("is not name=URL", "--data-dir", root + "/new", "--initial-cluster", "nonsense")
    equal(os.path.exists(root + "/new"), False)


def it_is_restored_into_a_cluster_of_five():
    # The old one goes on meanwhile: the two know nothing of each other.
    new = [Store(f"b{i}") for i in range(5)]
    restore(new)
    for m in new:
        # Who the members are is in the directory; the flags need not say it again.
        m.start()
    for m in new:
        m.ready()
    equal(hashes(new, before["revision"]), before["hashes"])
    got = json.loads(new[3].etcdctl("get", "", "--prefix", "-w", "json"))
    wanted = json.loads(before["content"])
    equal((got["kvs"], got["header"]["revision"]), (wanted["kvs"], before["revision"]))
    equal(new[1].etcdctl("get", "gone", "--rev", str(before["middle"]), "--print-value-only"), "x\n", "history is there")
    contains(new[2].etcdctl("lease", "timetolive", before["lease"], "--keys"), "leased")
    members = json.loads(new[0].etcdctl("member", "list", "-w", "json"))["members"]
    equal(sorted(m["name"] for m in members), sorted(m.name for m in new))
    equal(len({m["ID"] for m in members} & {m["ID"] for m in json.loads(old[0].etcdctl("member", "list", "-w", "json"))["members"]}), 0)
    new[4].etcdctl("put", "after", "restore")
    equal(new[0].revision(), before["revision"] + 1)
    # Users and roles came along.
    new[0].etcdctl("auth", "enable")
    equal(new[1].etcdctl("get", "changed", "--print-value-only", "--user", "ann:annpw"), "4\n")
    new[2].refused("permission denied", "get", "after", "--user", "ann:annpw")
    new[0].etcdctl("auth", "disable", "--user", "root:rootpw")
    equal(len(hashes(new)), 1)
    # A member that loses its database gets it from the others; it cannot be made from the log alone.
    new[0].stop()
    run("rm", "-r", new[0].directory + "/db")
    new[0].start().ready()
    eventually("it is as the others are", lambda: len(hashes(new)) == 1)
    equal(new[0].etcdctl("get", "changed", "--print-value-only", "--consistency", "s"), "4\n")
    for m in new:
        m.stop()


def a_member_that_was_not_restored_stays_out():
    new = [Store(f"c{i}") for i in range(3)]
    restore(new[:2] + new[2:], token="third")
    run("rm", "-r", new[2].directory)
    for m in new[:2]:
        m.start()
    new[2].start("--initial-cluster", initial_cluster(new), "--cluster-token", "third")
    for m in new[:2]:
        m.ready()
    new[0].etcdctl("put", "only", "two")
    code, out = new[2].etcdctl("get", "changed", check=False)
    equal(code != 0, True, "the third has no leader: " + out)
    for m in new:
        m.stop()


def revisions_go_past_what_watchers_have_seen():
    bump = 1_000_000_000
    new = [Store(f"d{i}") for i in range(3)]
    restore(new, "--bump-revision", str(bump), "--mark-compacted", token="bumped")
    for m in new:
        m.start()
    for m in new:
        m.ready()
    equal(new[0].revision(), before["revision"] + bump)
    equal(new[1].etcdctl("get", "changed", "--print-value-only"), "4\n")
    equal(len(hashes(new)), 1)
    # Whoever goes on from what the old cluster told is sent to look again.
    for revision in (before["middle"], before["revision"], before["revision"] + 1):
        watch = subprocess.run(["etcdctl", "--endpoints", "http://" + new[2].client, "watch", "changed", "--rev", str(revision)],
                               capture_output=True, text=True, timeout=20, env={**os.environ, "ETCDCTL_API": "3"})
        contains(watch.stdout + watch.stderr, "required revision has been compacted")
        new[0].refused("required revision has been compacted", "get", "changed", "--rev", str(revision))
    # Whoever looked sees what comes.
    watch = subprocess.Popen(["etcdctl", "--endpoints", "http://" + new[2].client, "watch", "changed", "--rev", str(before["revision"] + bump + 1)],
                             stdout=subprocess.PIPE, text=True, env={**os.environ, "ETCDCTL_API": "3"})
    try:
        new[0].etcdctl("put", "changed", "5")
        equal([watch.stdout.readline().strip() for _ in range(3)], ["PUT", "changed", "5"])
    finally:
        watch.kill()
        watch.wait()
    equal(new[0].revision(), before["revision"] + bump + 1)
    # The history that nobody can read goes.
    new[0].etcdctl("compaction", str(new[0].revision()), "--physical")
    equal(len(hashes(new)), 1)
    for m in new:
        m.stop()


def a_failed_save_leaves_nothing():
    code, out = coxctl("snapshot", "save", root + "/no/where", "--endpoints", endpoints(old), check=False)
    equal(code, 1)
    contains(out, root + "/no/where.part")
    for m in old:
        m.stop()
    code, out = coxctl("snapshot", "save", root + "/never", "--endpoints", endpoints(old), check=False)
    equal(code, 1)
    if os.path.exists(root + "/never") or os.path.exists(root + "/never.part"):
        raise Failure("a failed save left a file")


main([a_loaded_cluster_is_saved, status_tells_what_is_in_it, damage_anywhere_is_told_and_refused, restore_refuses_what_makes_no_sense,
      it_is_restored_into_a_cluster_of_five, a_member_that_was_not_restored_stays_out, revisions_go_past_what_watchers_have_seen,
      a_failed_save_leaves_nothing])
