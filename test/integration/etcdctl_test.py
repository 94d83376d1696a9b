#!/usr/bin/env python3
"""All of etcdctl 3.4's commands against a Coxswain cluster and, beside it, a stock etcd's: what is deterministic must be the same.

`migrate` is about etcd's version 2 and needs its files: it is left out. `check perf` judges speed: bench/store.py runs it."""
import contextlib
import itertools
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import threading

from harness import SOURCE, Failure, Skip, contains, equal, eventually, main
from stores import Etcd, Store, endpoints, root, start_cluster

cox = [Store(f"cox{i}") for i in range(3)]
etcd = [Etcd(f"etcd{i}") for i in range(3)]
SIDES = {"coxswain": cox, "etcd": etcd}


def both_are_started():
    if shutil.which("etcd") is None or shutil.which("etcdctl") is None:
        raise Skip("no etcd to compare with")
    everyone = ",".join(f"{m.name}=http://{m.peer}" for m in etcd)
    for m in etcd:
        m.start("--initial-cluster", everyone)
    start_cluster(cox)
    for m in etcd:
        m.ready()


def normal(text, members, ids):
    """Without what differs from cluster to cluster."""
    for name, value in ids.items():
        for spelled in (f"{int(value, 16):016x}", value, str(int(value, 16))):
            text = text.replace(spelled, "$" + name)
    for i, m in enumerate(members):
        text = text.replace(m.client, f"client{i}").replace(m.peer, f"peer{i}").replace(m.name, f"name{i}")
    text = re.sub(r'"(cluster_id|member_id|raft_term)":\d+,?', "", text)
    text = re.sub(r'"(ClusterID|MemberID|RaftTerm)" : \d+\n', "", text)
    text = re.sub(r"\d+(\.\d+)?(µ|n|m)?s\b", "TIME", text)
    text = re.sub(r'"ttl":\d+', '"ttl":TTL', text)
    text = re.sub(r"remaining\(\w+\)", "remaining(TIME)", text)
    # Where a client was when it logged.
    text = re.sub(r'\{"level":"warn","ts":.*?\}\n', "", text)
    return text


def etcdctl(members, args, stdin=None, timeout=20, at=None):
    done = subprocess.run(["etcdctl", "--endpoints", at or endpoints(members[:1]), *args], input=stdin, capture_output=True, text=True, timeout=timeout,
                          errors="replace", env={**os.environ, "ETCDCTL_API": "3"})
    return done.returncode, done.stdout, done.stderr


def script():
    with open(SOURCE / "test/data/etcdctl.txt") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if line.strip() and not line.startswith("#"):
                yield number, line


def the_script_says_the_same_of_both():
    ids = {name: {} for name in SIDES}
    differences = []
    count = 0
    for number, line in script():
        command, _, stdin = line.partition(" <<")
        loose = command.startswith("~ ")
        keep = re.match(r"(\w+)= ", command)
        command = command[2:] if loose else command[keep.end():] if keep else command
        stdin = stdin.replace("\\n", "\n") if "<<" in line else ""
        results = {}
        for side, members in SIDES.items():
            args = [ids[side].get(a[1:], a) if a.startswith("$") else a for a in shlex.split(command)]
            code, out, err = etcdctl(members, args, stdin)
            if keep:
                found = re.search(r"lease ([0-9a-f]+) ", out)
                value = found.group(1) if found else f'{json.loads(out)["ID"]:x}'
                ids[side][keep.group(1)] = value
            results[side] = (code, normal(out, members, ids[side]), normal(err, members, ids[side]))
        count += 1
        if loose:
            same = results["coxswain"][0] == results["etcd"][0]
        else:
            same = results["coxswain"] == results["etcd"]
        if not same:
            differences.append(f"line {number}: {line}\n  coxswain: {results['coxswain']}\n  etcd:     {results['etcd']}")
    if differences:
        raise Failure(f"{len(differences)} of {count} differ:\n" + "\n".join(differences))
    equal(count > 190, True, count)


def revisions():
    return {side: json.loads(etcdctl(members, ["get", "x", "-w", "json"])[1])["header"]["revision"] for side, members in SIDES.items()}


@contextlib.contextmanager
def process(members, *args):
    p = subprocess.Popen(["etcdctl", "--endpoints", endpoints(members[:1]), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "ETCDCTL_API": "3"})
    try:
        yield p
    finally:
        p.send_signal(signal.SIGINT)
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def lines_of(p, count, seconds=10):
    """The next lines of its output; fewer when no more come in time."""
    out = []
    reader = threading.Thread(target=lambda: out.extend(itertools.islice(iter(p.stdout.readline, ""), count)), daemon=True)
    reader.start()
    reader.join(seconds)
    return list(out)


def put(key, value):
    for members in SIDES.values():
        equal(etcdctl(members, ["put", key, value])[:2], (0, "OK\n"))


def delete(key):
    for members in SIDES.values():
        equal(etcdctl(members, ["del", key])[:2], (0, "1\n"))


def watches_tell_the_same():
    at = revisions()
    equal(at["coxswain"], at["etcd"], "the script left both at the same revision")
    rev = str(at["etcd"] + 1)
    put("w/1", "one")
    put("w/2", "two")
    put("w/1", "three")
    delete("w/2")
    put("w0", "beyond")
    for args, lines in ((["watch", "w/", "--prefix", "--rev", rev], 12), (["watch", "w/1", "--rev", rev], 6),
                        (["watch", "w/", "--prefix", "--rev", rev, "--prev-kv"], 16), (["watch", "w/", "w1", "--rev", rev], 15),
                        (["watch", "w/", "--prefix", "--rev", rev, "--", "echo", "seen"], 4)):
        got = {}
        for side, members in SIDES.items():
            with process(members, *args) as p:
                got[side] = [normal(line, members, {}) for line in lines_of(p, lines)]
        equal(got["coxswain"], got["etcd"], args)
        equal(len(got["etcd"]), lines, args)
    # Events come in answers of any size: they are compared one by one.
    for side, members in SIDES.items():
        with process(members, "watch", "w/", "--prefix", "--rev", rev, "-w", "json") as p:
            events = []
            while len(events) < 4:
                events += json.loads(lines_of(p, 1)[0])["Events"]
            got[side] = events
    equal(got["coxswain"], got["etcd"])


def a_watch_of_what_comes():
    for members in SIDES.values():
        with process(members, "watch", "live") as p:
            # It has begun when it tells of a change.
            def told():
                etcdctl(members, ["put", "live", "x"])
                return select.select([p.stdout], [], [], 0.1)[0]
            eventually("the watch tells", told, pause=0)
            equal(lines_of(p, 1), ["PUT\n"])


def locks_and_elections():
    for members in SIDES.values():
        code, out, _ = etcdctl(members, ["lock", "mutex", "echo", "held"])
        equal((code, out), (0, "held\n"))
        code, out, _ = etcdctl(members, ["lock", "mutex", "false"])
        equal(code != 0, True, "the command's failure is told")
        with process(members, "elect", "chair", "me") as p:
            key, value = lines_of(p, 2)
            contains(key, "chair/")
            equal(value, "me\n")
            with process(members, "elect", "--listen", "chair") as listener:
                equal(lines_of(listener, 2), [key, value])
        eventually("it resigned", lambda: etcdctl(members, ["get", "chair/", "--prefix"])[1] == "")


def members_are_listed_added_and_removed():
    def told(out, members):
        return re.sub(r" +", " ", re.sub(r"\b[0-9a-f]{12,16}\b", "ID", normal(out, members, {})))

    got = {}
    for side, members in SIDES.items():
        equal(json.loads(etcdctl(members, ["member", "list", "-w", "json"])[1])["members"][0]["peerURLs"] != [], True)
        rows = sorted(told(etcdctl(members, ["member", "list"])[1], members).splitlines())
        steps = [rows]
        code, out, err = etcdctl(members, ["member", "add", "more", "--learner", "--peer-urls", "http://127.0.0.1:9"])
        steps.append((code, sorted(re.split(r'[,\n"]+', told(out, members))), err))
        more = out.split()[1]
        for args in (["member", "add", "twice", "--learner", "--peer-urls", "http://127.0.0.1:9"],
                     ["member", "add", "another", "--learner", "--peer-urls", "http://127.0.0.1:8"],
                     ["member", "update", more, "--peer-urls", "http://127.0.0.1:7"], ["member", "promote", more],
                     ["member", "promote", "1234"], ["member", "remove", more], ["member", "remove", more], ["member", "update", more, "--peer-urls", "http://127.0.0.1:7"],
                     ["member", "add", "nourl"], ["member", "remove"]):
            code, out, err = etcdctl(members, args)
            # Within one second etcd gives the second its first's id, and words that otherwise.
            said = told(err, members) if "twice" not in args else None
            steps.append((args[1], code, told(out, members), said))
        got[side] = steps
    for one, other in zip(got["coxswain"], got["etcd"]):
        equal(one, other)


def leadership_moves():
    for members in SIDES.values():
        status = json.loads(etcdctl(members, ["endpoint", "status", "--cluster", "-w", "json"])[1])
        leader = status[0]["Status"]["leader"]
        at = next(s["Endpoint"] for s in status if s["Status"]["header"]["member_id"] == leader)
        other = next(s for s in status if s["Status"]["header"]["member_id"] != leader)
        target = f'{other["Status"]["header"]["member_id"]:x}'
        code, out, err = etcdctl(members, ["move-leader", target], at=at)
        equal((code, out), (0, f"Leadership transferred from {leader:x} to {target}\n"), err)
        eventually("it leads", lambda: json.loads(etcdctl(members, ["endpoint", "status", "-w", "json"])[1])[0]["Status"]["leader"] == int(target, 16))
        code, out, err = etcdctl(members, ["move-leader", target], at=at)
        equal(code != 0, True)
        contains(err, "no leader endpoint given")


def endpoints_tell_of_themselves():
    shapes = {}
    for side, members in SIDES.items():
        code, out, _ = etcdctl(members, ["endpoint", "health", "--cluster", "-w", "json"])
        equal((code, [m["health"] for m in json.loads(out)]), (0, [True] * 3))
        status = json.loads(etcdctl(members, ["endpoint", "status", "--cluster", "-w", "json"])[1])
        equal(len(status), 3)
        shapes[side] = sorted(status[0]["Status"])
        hashes = json.loads(etcdctl(members, ["endpoint", "hashkv", "--cluster", "-w", "json"])[1])
        equal(len({h["HashKV"]["hash"] for h in hashes}), 1, "the members agree")
        equal(etcdctl(members, ["endpoint", "status", "-w", "table"])[0], 0)
        code, out, _ = etcdctl(members, ["endpoint", "hashkv", "--rev", "99999"])
        equal(code != 0, True)
    # Coxswain answers some fields of later versions, too; none is missing that 3.4's client knows.
    equal(set(shapes["etcd"]) - set(shapes["coxswain"]) <= {"isLearner", "errors"}, True, shapes)


def snapshots_are_saved():
    for side, members in SIDES.items():
        path = f"{root}/snapshot-{side}"
        code, out, err = etcdctl(members, ["snapshot", "save", path])
        equal((code, out), (0, f"Snapshot saved at {path}\n"), err)
        equal(os.path.getsize(path) % 512, 32)
        code, out, err = etcdctl(members, ["snapshot", "status", path, "-w", "json"])
        equal((code, json.loads(out)["revision"]), (0, json.loads(etcdctl(members, ["get", "x", "-w", "json"])[1])["header"]["revision"]), err)


def each_mirrors_the_other():
    def content(members, prefix):
        out = json.loads(etcdctl(members, ["get", prefix, "--prefix", "-w", "json"])[1])
        return [(kv["key"], kv.get("value")) for kv in out.get("kvs", [])]

    for i in range(20):
        put(f"mirrored/{i}", str(i))
    for source, target, name in ((etcd, cox, "from-etcd/"), (cox, etcd, "from-coxswain/")):
        with process(source, "make-mirror", "--prefix", "mirrored/", "--dest-prefix", name, "http://" + target[0].client):
            eventually("the mirror has the past", lambda: len(content(target, name)) == 20)
            etcdctl(source, ["put", "mirrored/new", name])
            etcdctl(source, ["del", "mirrored/0"])
            eventually("the mirror follows", lambda: len(content(target, name)) == 20 and etcdctl(target, ["get", name + "new"])[1] != "")
        equal(etcdctl(target, ["get", name + "new", "--print-value-only"])[1], name + "\n")
        equal(etcdctl(target, ["get", name + "0"])[1], "")


def data_of_some_scale_is_written():
    code, out, err = etcdctl(cox, ["check", "datascale", "--load", "s"], timeout=50)
    if code != 0:
        # It asks for metrics by plain HTTP; what it cannot do with a stock etcd it need not with ours.
        equal(etcdctl(etcd, ["check", "datascale", "--load", "s"], timeout=50)[0] != 0, True, out + err)
    else:
        contains(out, "PASS: Approximate system memory used")


main([both_are_started, the_script_says_the_same_of_both, watches_tell_the_same, a_watch_of_what_comes, locks_and_elections,
      members_are_listed_added_and_removed, leadership_moves, endpoints_tell_of_themselves, snapshots_are_saved, each_mirrors_the_other,
      data_of_some_scale_is_written])
