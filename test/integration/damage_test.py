#!/usr/bin/env python3
"""Damage to the files of one member of three: it is found, and made good by the others."""
import glob
import json
import os
import shutil
import subprocess
import tempfile

from harness import COXSWAIN, Cluster, contains, equal, eventually, free_port, main, run

c = Cluster()
keys = 0


def write(n):
    """Puts that are acknowledged, of 2 KB each."""
    global keys
    for _ in range(n):
        c.coxctl("put", f"/damage/{keys:06}", f"{keys:06}" * 300)
        keys += 1


def member(name):
    return next(m for m in c.status()["members"] if m["name"] == name)


def follower():
    return next(m for m in c.status()["members"] if not m["leader"])


def files(name, pattern):
    return sorted(glob.glob(f"{c.dir}/{name}/data/{pattern}"))


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x5A]))


def used(path):
    """Bytes of a preallocated file up to its last that is not zero."""
    return len(open(path, "rb").read().rstrip(b"\0"))


def agree():
    revision = c.status()["members"][0]["revision"]
    rows = json.loads(c.coxctl("hash", "--rev", str(revision), "-o", "json"))["members"]
    return len({m["hash"] for m in rows}) == 1 and len(rows) == 3


def is_made_good(name, said):
    """The member comes back, says what it found, and has what the others have."""
    log = f"{c.dir}/{name}/log"
    before = os.path.getsize(log)
    c.cluster("start-member", name)
    eventually(f"{name} is healthy", lambda: member(name)["healthy"], seconds=60)
    contains(open(log).read()[before:], said)
    write(3)
    eventually("all agree", agree)
    own = member(name)["client"]
    got = json.loads(c.etcdctl("get", "--prefix", "/damage/", "--keys-only", "--consistency=s", "-w", "json", endpoint=own))
    equal(got["count"], keys)
    equal(c.etcdctl("get", "/damage/000001", "--consistency=s", "--print-value-only", endpoint=own).strip(), "000001" * 300)
    return open(log).read()[before:]


def a_record_in_the_middle_of_a_followers_log():
    write(60)
    name = follower()["name"]
    c.cluster("kill-member", name)
    write(3)
    newest = max(files(name, "log/*.wal"), key=used)
    flip(newest, used(newest) // 2)
    log = is_made_good(name, "the log is damaged")
    contains(log, "this member has no vote until the others have repaired it")
    contains(log, "repaired: this member has all that is committed, and votes again")


def a_record_in_the_middle_of_the_leaders_log():
    write(20)
    name = next(m["name"] for m in c.status()["members"] if m["leader"])
    c.cluster("kill-member", name)
    eventually("the others go on", lambda: write(1) or True)
    newest = max(files(name, "log/*.wal"), key=used)
    flip(newest, used(newest) // 3)
    is_made_good(name, "the log is damaged")


def the_heads_of_all_log_segments():
    write(20)
    name = follower()["name"]
    c.cluster("kill-member", name)
    for path in files(name, "log/*.wal"):
        flip(path, 20)
    is_made_good(name, "the log is damaged")


def one_copy_of_the_vote():
    name = follower()["name"]
    c.cluster("kill-member", name)
    flip(f"{c.dir}/{name}/data/log/vote.1", 20)
    is_made_good(name, "one copy of the vote record was damaged")


def the_databases_manifest():
    write(20)
    name = follower()["name"]
    c.cluster("kill-member", name)
    for path in files(name, "db/*/MANIFEST-*"):
        with open(path, "r+b") as f:
            f.write(b"garbage" * 4)
    is_made_good(name, "the database is damaged and is set aside")


def a_table_of_the_database():
    write(60)
    name = follower()["name"]
    c.cluster("stop-member", name)  # what it had in memory becomes a table
    table = files(name, "db/*/*.ldb")[-1]
    flip(table, os.path.getsize(table) - 3)  # by which LevelDB knows a table
    is_made_good(name, "the database is damaged and is set aside")


def a_member_without_others_says_that_it_cannot_be_repaired():
    root = tempfile.mkdtemp(prefix="coxswain-test-")
    try:
        client, peer = free_port(), free_port()
        command = [COXSWAIN, "store", "--insecure", "--name", "s", "--data-dir", root + "/s", "--listen-client", f"127.0.0.1:{client}",
                   "--listen-peer", f"127.0.0.1:{peer}"]
        store = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            env = {"ETCDCTL_API": "3"}
            eventually("it answers", lambda: run("etcdctl", "--endpoints", f"127.0.0.1:{client}", "put", "a", "b", env=env))
            for i in range(20):
                run("etcdctl", "--endpoints", f"127.0.0.1:{client}", "put", f"k{i}", "x" * 1000, env=env)
        finally:
            store.kill()
            store.wait()
        segment = max(glob.glob(root + "/s/log/*.wal"), key=used)
        flip(segment, used(segment) // 2)
        before = {p: open(p, "rb").read() for p in glob.glob(root + "/s/log/*") if os.path.isfile(p)}
        code, said = run(*command, check=False)
        equal(code != 0, True)
        contains(said, "no other member can give it back")
        equal({p: open(p, "rb").read() for p in before}, before)
    finally:
        shutil.rmtree(root)


main([a_record_in_the_middle_of_a_followers_log, a_record_in_the_middle_of_the_leaders_log, the_heads_of_all_log_segments, one_copy_of_the_vote,
      the_databases_manifest, a_table_of_the_database, a_member_without_others_says_that_it_cannot_be_repaired])
