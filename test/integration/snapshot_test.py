#!/usr/bin/env python3
"""A snapshot of a loaded cluster of three is saved, looked at, damaged, and restored into new clusters, and a stock etcd, and that one's into Coxswain."""
import hashlib
import json
import os
import shutil
import subprocess

from harness import Failure, Skip, contains, equal, eventually, main, run
from stores import Etcd, Store, coxctl, endpoints, etcdctl, hashes, initial_cluster, root, start_cluster

old = [Store(f"a{i}") for i in range(3)]
saved = root + "/saved"
before = {}


def restore(members, *flags, token="new"):
    for m in members:
        coxctl("snapshot", "restore", saved, "--data-dir", m.directory, "--name", m.name, "--initial-cluster", initial_cluster(members),
               "--initial-cluster-token", token, "--initial-advertise-peer-urls", "http://" + m.peer, *flags)


def etcd_of(path, name):
    etcd = Etcd(name)
    etcdctl("", "snapshot", "restore", path, "--data-dir", etcd.directory, "--name", name, "--initial-cluster", f"{name}=http://{etcd.peer}",
            "--initial-advertise-peer-urls", "http://" + etcd.peer)
    etcd.start().ready()
    return etcd


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
    # Another member's, by etcdctl, is the same.
    old[1].etcdctl("snapshot", "save", root + "/by-etcdctl")
    equal(json.loads(coxctl("snapshot", "status", root + "/by-etcdctl", "-o", "json")), status)
    # And etcdctl says the same of it. It counts entries of all kinds.
    theirs = json.loads(etcdctl("", "snapshot", "status", saved, "-w", "json"))
    equal((theirs["hash"], theirs["revision"], theirs["totalSize"]), (status["hash"], status["revision"], status["totalSize"] - 32))
    equal(theirs["totalKey"], status["totalVersion"] + 1 + 1 + 2 + 2, "a lease, a role, two users, two facts about them")


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

    # The heads, pages, the digest.
    for at in [0, 16, 25, 4096, 8192, 3 * 4096 + 20, *range(20_000, size, size // 23), size - 33, size - 32, size - 1]:
        refused(f"flip-{at}", data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:], "SHA-256 does not match")
    refused("empty", b"", "too short")
    refused("short", data[:-512], "SHA-256 does not match")
    refused("longer", data + b"\0" * 512, "SHA-256 does not match")
    refused("text", b"#!/bin/sh\n" * 50, "too short")
    # A digest that fits what is wrong: what lies in the file says no.
    body = data[:-32]
    root_page = body[3 * 4096:4 * 4096]
    for name, bad, text in (("cut", body[:8192], "cut short"), ("other", b"x" * 8192, "both of its heads are wrong"),
                            ("record", body.replace(b"\x0a\x08many/0/0", b"\x7a\x08many/0/0"), "cannot be read"),
                            ("place", body.replace((3).to_bytes(8, "big") + b"_", (1).to_bytes(8, "big") + b"_"), "is not in its place"),
                            ("bucket", body.replace(root_page, root_page.replace(b"key", b"kex")), "no bucket")):
        refused("signed-" + name, bad + hashlib.sha256(bad).digest(), text)
    # A member's own file has no digest. Then nobody knows, and that is said.
    open(root + "/bare", "wb").write(body)
    code, out = coxctl("snapshot", "restore", root + "/bare", "--data-dir", root + "/bad", "--initial-cluster", "default=http://127.0.0.1:1", check=False)
    equal(code, 1)
    contains(out, "--skip-hash-check")
    contains(coxctl("snapshot", "status", root + "/bare", check=False)[1], "has no SHA-256")
    # It is known by its content all the same: other members must be made of the same.
    equal(*(json.loads(coxctl("snapshot", "status", f, "-o", "json"))["sha256"] for f in (root + "/bare", saved)))
    contains(coxctl("snapshot", "restore", root + "/bare", "--data-dir", root + "/bare-member", "--initial-cluster", "default=http://127.0.0.1:1",
                    "--skip-hash-check"), "restored 2002 keys")


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
    # An etcd that is made of it skips them, too.
    if shutil.which("etcd"):
        new[1].etcdctl("snapshot", "save", root + "/bumped")
        etcd = etcd_of(root + "/bumped", "bumped-etcd")
        equal(etcd.revision(), before["revision"] + bump + 1)
        etcd.refused("required revision has been compacted", "get", "changed", "--rev", str(before["revision"]))
        equal(etcd.etcdctl("get", "changed", "--print-value-only"), "5\n")
        etcd.stop()
    # The history that nobody can read goes.
    new[0].etcdctl("compaction", str(new[0].revision()), "--physical")
    equal(len(hashes(new)), 1)
    for m in new:
        m.stop()


def history(server, revision):
    """What a watch tells of everything from `revision` on, and what lies there at the end and in the middle."""
    watch = subprocess.Popen(["etcdctl", "--endpoints", "http://" + server.client, "watch", "", "--prefix", "--prev-kv", "--rev", str(revision), "-w", "json"],
                             stdout=subprocess.PIPE, text=True, env={**os.environ, "ETCDCTL_API": "3"})
    events = []
    try:
        while not events or events[-1]["kv"].get("mod_revision") != server.revision():
            events += json.loads(watch.stdout.readline())["Events"]
    finally:
        watch.kill()
        watch.wait()
    return events, [json.loads(server.etcdctl("get", "", "--prefix", "-w", "json", "--rev", str(r)))["kvs"] for r in (revision, before["middle"], 0)]


def an_etcd_goes_on_with_it_and_back():
    if shutil.which("etcd") is None:
        raise Skip("no etcd")
    # A part of it was compacted, and several keys changed in one revision, in no order.
    one = Store("one")
    restore([one], token="one")
    one.start().ready()
    one.etcdctl("compaction", str(before["middle"] - 3))
    coxctl("txn", "--endpoints", endpoints([one]), "--then", "put c 1", f"put b {'L' * 5000}", "put a 1", "del many/0/1")
    one.etcdctl("put", "b", "2")
    coxctl("snapshot", "save", root + "/there", "--endpoints", endpoints([one]))
    told = history(one, before["middle"] - 3)

    def check(server):
        equal(history(server, before["middle"] - 3), told)
        server.refused("required revision has been compacted", "get", "a", "--rev", str(before["middle"] - 4))
        lease = server.etcdctl("lease", "timetolive", before["lease"], "--keys")
        contains(lease, "granted with TTL(1000s)")
        contains(lease, "attached keys([leased])")
        equal(server.etcdctl("user", "list").split(), ["ann", "root"])
        contains(server.etcdctl("role", "get", "reader"), "changed")
        contains(server.etcdctl("user", "get", "ann"), "reader")

    check(one)
    etcd = etcd_of(root + "/there", "etcd")
    check(etcd)
    etcd.etcdctl("auth", "enable")
    equal(etcd.etcdctl("get", "changed", "--print-value-only", "--user", "ann:annpw"), "4\n")
    etcd.etcdctl("auth", "disable", "--user", "root:rootpw")
    etcd.etcdctl("put", "a", "of etcd")
    equal(etcd.revision(), one.revision() + 1)
    one.stop()
    # Back, with a password of etcd's.
    etcd.etcdctl("user", "passwd", "root", "--interactive=false", stdin="ofetcd\n")
    etcd.etcdctl("snapshot", "save", root + "/back")
    told = history(etcd, before["middle"] - 3)
    back = [Store(f"e{i}") for i in range(3)]
    for m in back:
        coxctl("snapshot", "restore", root + "/back", "--data-dir", m.directory, "--name", m.name, "--initial-cluster", initial_cluster(back))
    for m in back:
        m.start()
    for m in back:
        m.ready()
    for m in back:
        check(m)
    equal(len(hashes(back)), 1)
    back[0].etcdctl("auth", "enable")
    equal(back[1].etcdctl("get", "a", "--print-value-only", "--user", "root:ofetcd"), "of etcd\n")
    equal(back[2].etcdctl("get", "changed", "--print-value-only", "--user", "ann:annpw"), "4\n", "her password went through etcd")
    revision = etcd.revision()
    for m in (*back, etcd):
        m.stop()
    # What it leaves behind is taken, too.
    own = etcd.directory + "/member/snap/db"
    equal(json.loads(coxctl("snapshot", "status", own, "-o", "json"))["revision"], revision)
    last = Store("last")
    contains(coxctl("snapshot", "restore", own, "--skip-hash-check", "--data-dir", last.directory, "--name", last.name, "--initial-cluster", initial_cluster([last])),
             f"at revision {revision}")
    last.start().ready()
    check(last)
    last.stop()


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
      it_is_restored_into_a_cluster_of_five, a_member_that_was_not_restored_stays_out, revisions_go_past_what_watchers_have_seen, an_etcd_goes_on_with_it_and_back,
      a_failed_save_leaves_nothing])
