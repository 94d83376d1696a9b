#!/usr/bin/env python3
"""Who leads and what survives it: priority, leases, a paused leader, lease reads, and all members exchanged in one step.
Three stores of their own, in clear text; then three others."""
import json
import signal
import time

import stores
from harness import COXCTL, Failure, contains, equal, eventually, main, run
from stores import Load, Store, hashes, initial_cluster


def store(name):
    return Store(name, "--read-mode", "lease", "--lease-checkpoint-interval", "1", "--max-learners", "3", "--leader-priority", "7" if name == "m1" else "0")


olds = [store(f"m{i}") for i in range(3)]
news = [store(f"n{i}") for i in range(3)]
living = list(olds)


def endpoints(without=None):
    return stores.endpoints([s for s in living if s is not without])


def etcdctl(*args, at=None, **kw):
    return stores.etcdctl(at or endpoints(), "--command-timeout", "4s", *args, **kw)


def coxctl(*args, **kw):
    return run(COXCTL, *args, "--endpoints", endpoints(), **kw)


def members():
    return json.loads(coxctl("member", "list", "-o", "json"))["members"]


def leader(among=None):
    for s in among or living:
        code, out = s.etcdctl("--command-timeout", "1s", "endpoint", "status", "-w", "json", check=False)
        if code == 0 and out.startswith("["):
            status = json.loads(out)[0]["Status"]
            if status["leader"] == status["header"]["member_id"]:
                return s
    return None


def start():
    for s in olds:
        s.flags += ("--initial-cluster", initial_cluster(olds))
        s.start()
    eventually("the members publish themselves", lambda: len(members()) == 3 and all(m["client_urls"] for m in members()))


def the_member_of_the_highest_priority_leads():
    eventually("m1 leads", lambda: leader() is olds[1], seconds=60)


def left(lease, at=None):
    out = json.loads(etcdctl("lease", "timetolive", lease, "-w", "json", at=at))
    return out["ttl"]


def grant(ttl):
    return etcdctl("lease", "grant", str(ttl)).split()[1]


def renew(lease, ttl, at=None):
    """As clients do: again, when the leadership moves just now."""
    eventually("a renewal", lambda: f"TTL({ttl})" in etcdctl("lease", "keep-alive", "--once", lease, at=at), seconds=4)


def new_leader_instead_of(old):
    return eventually("another leads", lambda: leader([s for s in living if s is not old]), seconds=30)


def a_leases_time_goes_on_after_a_change_of_leader():
    lease = grant(600)
    other = grant(600)
    time.sleep(6)
    old = eventually("somebody leads", leader)
    old.kill()
    new_leader_instead_of(old)
    rest = endpoints(without=old)
    now = eventually("the new leader tells it", lambda: left(lease, rest))
    if not 0 < now <= 596:
        raise Failure(f"{now} s are left of 600 after 6 s and a change of leader")
    # A renewal makes the note void, for the next leader, too.
    renew(other, 600, rest)
    old.start()
    eventually("it is back", lambda: etcdctl("get", "x", at="http://" + old.client) == "")
    second = eventually("somebody leads", leader)
    second.kill()
    new_leader_instead_of(second)
    now = eventually("the third leader tells it", lambda: left(lease, endpoints(without=second)))
    if not 0 < now <= 596:
        raise Failure(f"{now} s are left of 600 after two changes of leader")
    now = left(other, endpoints(without=second))
    if now < 580:
        raise Failure(f"{now} s are left of 600 after a renewal")
    second.start()
    eventually("all are back", lambda: leader() and all(etcdctl("get", "x", at="http://" + s.client) == "" for s in living))


def a_paused_leader_neither_revokes_nor_reads_from_memory():
    lease = grant(6)
    etcdctl("put", "held", "yes", "--lease", lease)
    for turn in range(2):
        etcdctl("put", "turn", f"before {turn}")
        old = eventually("somebody leads", leader)
        old.process.send_signal(signal.SIGSTOP)
        try:
            new_leader_instead_of(old)
            rest = endpoints(without=old)
            etcdctl("put", "turn", f"after {turn}", at=rest)
            until = time.monotonic() + 9  # it has run out for who was not told
            while time.monotonic() < until:
                renew(lease, 6, rest)
                time.sleep(0.5)
        finally:
            old.process.send_signal(signal.SIGCONT)
        code, out = etcdctl("get", "turn", "--print-value-only", at="http://" + old.client, check=False)
        if code == 0:
            equal(out, f"after {turn}\n", "a read at the member that was paused")
        renew(lease, 6)
        equal(etcdctl("get", "held", "--print-value-only"), "yes\n", "a key of a lease that was renewed")
        eventually("the paused one follows", lambda: etcdctl("get", "turn", "--print-value-only", at="http://" + old.client) == f"after {turn}\n")
    time.sleep(1)
    equal(etcdctl("get", "held", "--print-value-only"), "yes\n", "a key of a lease that was renewed")


def all_members_are_exchanged_in_one_step_under_load():
    load = Load(lambda: living)
    load.start()
    try:
        ids = []
        for n in news:
            ids.append(json.loads(coxctl("member", "add", "--learner", "--peer-urls", "http://" + n.peer, "-o", "json"))["id"])
        code, out = run(COXCTL, "member", "add", "--learner", "--peer-urls", "http://127.0.0.1:1", "--endpoints", endpoints(), check=False)
        contains(out, "too many learner members in cluster")
        code, out = run(COXCTL, "member", "change", "--promote", ids[0], "--remove", "m0", "--endpoints", endpoints(), check=False)
        equal(code, 1)  # nothing runs there yet
        for n in news:
            n.start("--join", endpoints())
        eventually("they publish themselves", lambda: {m["name"] for m in members()} >= {"n0", "n1", "n2"})
        living.extend(news)
        coxctl("member", "change", "--promote", "n0,n1,n2", "--remove", "m0,m1,m2", "--wait", "60", timeout=90)
        for s in olds:
            living.remove(s)
        equal(sorted((m["name"], m["learner"]) for m in members()), [("n0", False), ("n1", False), ("n2", False)])
        at = load.done
        eventually("the load goes on", lambda: load.done > at + 5 or load.failed, seconds=60)
        for s in olds:
            eventually(f"{s.name} ends by itself", lambda s=s: s.process.poll() is not None)
    finally:
        load.end()
    load.held()
    eventually("the hashes agree", lambda: len(hashes(living)) == 1)


if __name__ == "__main__":
    main([start, the_member_of_the_highest_priority_leads, a_leases_time_goes_on_after_a_change_of_leader,
          a_paused_leader_neither_revokes_nor_reads_from_memory, all_members_are_exchanged_in_one_step_under_load])
