#!/usr/bin/env python3
"""All members of a running cluster are replaced, one by one, while it is written to; stores of their own, in clear text."""
import json

import stores
from harness import COXCTL, COXSWAIN, contains, equal, eventually, free_port, main, run
from stores import Load, Store, hashes, initial_cluster, root

olds = [Store(f"m{i}") for i in range(3)]
news = [Store(f"n{i}") for i in range(3)]
living = list(olds)


def endpoints():
    return stores.endpoints(living)


def coxctl(*args, **kw):
    return run(COXCTL, *args, "--endpoints", endpoints(), **kw)


def etcdctl(*args, **kw):
    return stores.etcdctl(endpoints(), *args, **kw)


def members():
    return json.loads(coxctl("member", "list", "-o", "json"))["members"]


def start():
    for s in olds:
        s.start("--initial-cluster", initial_cluster(olds))
    eventually("the members publish themselves", lambda: len(members()) == 3 and all(m["client_urls"] for m in members()))


def refusals_in_etcds_words():
    for args, text in [(("member", "add", "x", "--peer-urls", "http://" + olds[0].peer), "Peer URLs already exists"),
                       (("member", "remove", "1234"), "member not found"),
                       (("member", "promote", members()[0]["id"]), "can only promote a learner member"),
                       (("member", "update", members()[0]["id"], "--peer-urls", "http://" + olds[0].peer + ",http://" + olds[1].peer),
                        "Peer URLs already exists")]:
        code, out = etcdctl(*args, check=False)
        equal(code != 0, True, args)
        contains(out, text)
    code, out = run(COXSWAIN, "store", "--insecure", "--name", "no", "--data-dir", f"{root}/no", "--listen-peer",
                    f"127.0.0.1:{free_port()}", "--join", "http://" + olds[0].client, check=False)
    equal(code, 1)
    contains(out, "has no member with the peer URL")


load = Load(lambda: living)


def all_members_are_replaced_under_load():
    load.start()
    for old, new in zip(olds, news):
        learner = new is not news[0]
        added = json.loads(coxctl("member", "add", "--peer-urls", "http://" + new.peer, *(["--learner"] if learner else []), "-o", "json"))
        new.start("--join", endpoints())
        eventually(f"{new.name} is there", lambda: any(m["id"] == added["id"] and m["client_urls"] for m in members()))
        if learner:
            code, out = run(COXCTL, "get", "x", "--endpoints", "http://" + new.client, check=False)
            contains(out, "rpc not supported for learner")
            code, out = coxctl("member", "add", "--learner", "--peer-urls", "http://127.0.0.1:1", check=False)
            contains(out, "too many learner members in cluster")
            eventually(f"{new.name} is promoted", lambda: coxctl("member", "promote", added["id"]))
        living.append(new)
        at = load.done
        eventually("the load goes on", lambda: load.done > at + 5 or load.failed, seconds=60)
        coxctl("member", "remove", old.name)
        living.remove(old)
        eventually(f"{old.name} ends by itself", lambda: old.process.poll() is not None)
        equal(old.process.returncode, 0, "its exit code")
        contains(old.said(), "this member was removed from the cluster")
    load.end()
    equal(sorted(m["name"] for m in members()), ["n0", "n1", "n2"])


def nothing_is_lost_and_all_agree():
    load.held()
    eventually("the hashes agree", lambda: len(hashes(living)) == 1)


def a_member_that_joined_restarts_from_its_own_directory():
    n = news[1]
    n.stop()
    n.start()  # no --join: who it is stands in its directory
    eventually("it is back", lambda: run(COXCTL, "get", "load/000000", "--endpoints", "http://" + n.client).endswith("\n0\n"))


def a_removed_member_does_not_start_again():
    old = olds[0]
    old.start()
    equal(old.process.wait(20), 1)
    contains(old.said(), "this member was removed from the cluster; a new one needs an empty --data-dir")


if __name__ == "__main__":
    main([start, refusals_in_etcds_words, all_members_are_replaced_under_load, nothing_is_lost_and_all_agree,
          a_member_that_joined_restarts_from_its_own_directory, a_removed_member_does_not_start_again])
