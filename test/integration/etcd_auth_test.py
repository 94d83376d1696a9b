#!/usr/bin/env python3
"""Users, roles, locks and elections with stock etcdctl 3.4, and the JSON gateway, against a three-node cluster."""
import base64
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from harness import COXSWAIN, Cluster, Failure, contains, equal, eventually, free_port, main, run

c = Cluster()
ROOT = ("--user", "root:rootpw")
ANN = ("--user", "ann:annpw")


def refused(text, *args, **kw):
    code, out = c.etcdctl(*args, check=False, **kw)
    if code == 0:
        raise Failure(f"{' '.join(args)} was allowed: {out}")
    contains(out, text)


def client(*args):
    """A process of etcdctl that stays."""
    s = c.status()
    return subprocess.Popen(["etcdctl", "--endpoints", s["members"][0]["client"], "--cacert", s["ca"], "--cert", s["cert"], "--key", s["key"],
                             *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})


def post(path, body, token=None, member=0):
    """(HTTP status, the answer's JSON) of the gateway."""
    s = c.status()
    tls = ssl.create_default_context(cafile=s["ca"])
    tls.load_cert_chain(s["cert"], s["key"])
    request = urllib.request.Request(s["members"][member]["client"] + path, data=json.dumps(body).encode(), method="POST")
    if token:
        request.add_header("Authorization", token)
    try:
        with urllib.request.urlopen(request, context=tls, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def stream(path, body, token=None):
    """A process of curl whose standard output is the gateway's lines."""
    s = c.status()
    return subprocess.Popen(["curl", "-sN", "--cacert", s["ca"], "--cert", s["cert"], "--key", s["key"], "-d", json.dumps(body),
                             *(["-H", "Authorization: " + token] if token else []), s["members"][0]["client"] + path],
                            stdout=subprocess.PIPE, text=True)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def two_lockers_take_turns():
    first = client("lock", "mutex", "--ttl", "5")
    second = None
    try:
        key = first.stdout.readline().strip()
        contains(key, "mutex/")
        second = client("lock", "mutex")
        eventually("the second waits", lambda: len(c.etcdctl("get", "--prefix", "mutex/", "--keys-only").split()) == 2)
        first.send_signal(signal.SIGINT)
        contains(second.stdout.readline(), "mutex/")
    finally:
        for p in (first, second):
            if p:
                p.send_signal(signal.SIGINT)
                p.wait(20)
    equal(c.etcdctl("get", "--prefix", "mutex/"), "")


def an_election_has_one_leader_and_tells_it():
    winner = client("elect", "boss", "one")
    watcher = client("elect", "--listen", "boss")
    try:
        contains(winner.stdout.readline(), "boss/")
        contains(winner.stdout.readline(), "one")
        contains(watcher.stdout.readline(), "boss/")
        contains(watcher.stdout.readline(), "one")
    finally:
        for p in (winner, watcher):
            p.send_signal(signal.SIGINT)
            p.wait(20)


def the_gateway_speaks_json():
    status, out = post("/v3/kv/put", {"key": b64("gate"), "value": b64("way")})
    equal(status, 200)
    equal(isinstance(out["header"]["revision"], str), True, "64-bit numbers are strings")
    status, out = post("/v3/kv/range", {"key": b64("gate")})
    equal((status, out["kvs"][0]["value"], out["count"]), (200, b64("way"), "1"))
    status, out = post("/v3/kv/range", {})
    equal((status, out["code"], out["error"]), (400, 3, "etcdserver: key is not provided"))
    equal(post("/v3/kv/range", {"key": 1.5})[0], 400)
    equal(post("/v3/kv/range", {"key": b64("gate"), "of_a_newer_client": 1})[1]["count"], "1")
    equal(post("/v3/lease/timetolive", {"ID": "77"})[1]["TTL"], "-1")
    lease = post("/v3/lease/grant", {"TTL": "30"})[1]["ID"]
    equal(post("/v3/lease/keepalive", {"ID": lease})[1]["result"]["TTL"], "30")


def the_gateway_streams_a_watch():
    watch = stream("/v3/watch", {"create_request": {"key": b64("streamed")}})
    try:
        equal(json.loads(watch.stdout.readline())["result"]["created"], True)
        c.etcdctl("put", "streamed", "x")
        equal(json.loads(watch.stdout.readline())["result"]["events"][0]["kv"]["value"], b64("x"))
    finally:
        watch.kill()
        watch.wait()


def the_lock_service_takes_turns_and_cleans_up():
    one = post("/v3/lock/lock", {"name": b64("svc")})[1]
    held = base64.b64decode(one["key"]).decode()
    contains(held, "svc/")
    waiting = stream("/v3/lock/lock", {"name": b64("svc")})
    eventually("the second waits", lambda: len(c.etcdctl("get", "--prefix", "svc/", "--keys-only").split()) == 2)
    waiting.kill()
    waiting.wait()
    eventually("a client that goes away leaves no key", lambda: c.etcdctl("get", "--prefix", "svc/", "--keys-only").split() == [held])
    equal(post("/v3/lock/unlock", {"key": one["key"]})[0], 200)
    two = post("/v3/lock/lock", {"name": b64("svc")})
    equal(two[0], 200)
    post("/v3/lock/unlock", {"key": two[1]["key"]})


def the_election_service_elects_proclaims_and_resigns():
    equal(post("/v3/election/leader", {"name": b64("chair")})[1]["message"], "election: no leader")
    status, out = post("/v3/election/campaign", {"name": b64("chair"), "value": b64("me")})
    equal(status, 200)
    equal(post("/v3/election/leader", {"name": b64("chair")})[1]["kv"]["value"], b64("me"))
    equal(post("/v3/election/proclaim", {"leader": out["leader"], "value": b64("you")})[0], 200)
    equal(post("/v3/election/leader", {"name": b64("chair")}, member=1)[1]["kv"]["value"], b64("you"))
    equal(post("/v3/election/resign", {"leader": out["leader"]})[0], 200)
    equal(post("/v3/election/proclaim", {"leader": out["leader"], "value": b64("x")})[1]["message"], "election: not leader")


def root_comes_before_auth():
    refused("root user does not exist", "auth", "enable")
    c.etcdctl("user", "add", "root:rootpw")
    # etcdctl grants the role by itself.
    equal(post("/v3/auth/enable", {})[1]["message"], "etcdserver: root user does not have root role")
    c.etcdctl("user", "grant-role", "root", "root")
    refused("user name already exists", "user", "add", "root:x")
    refused("role name not found", "user", "grant-role", "root", "nobody")
    c.etcdctl("role", "add", "reader")
    c.etcdctl("role", "grant-permission", "reader", "read", "--prefix", "a/")
    c.etcdctl("role", "grant-permission", "reader", "readwrite", "a/mine")
    c.etcdctl("user", "add", "ann:annpw")
    c.etcdctl("user", "grant-role", "ann", "reader")
    c.etcdctl("put", "a/1", "x")
    c.etcdctl("put", "b/1", "x")
    c.etcdctl("auth", "enable")


def everybody_gets_what_their_roles_allow():
    # The certificate's name is a user that nobody made.
    refused("etcdserver: permission denied", "get", "a/1")
    refused("authentication failed, invalid user ID or password", "get", "a/1", "--user", "ann:wrong")
    refused("authentication failed, invalid user ID or password", "get", "a/1", "--user", "nobody:annpw")
    for m in c.status()["members"]:
        equal(c.etcdctl("get", "a/1", *ANN, endpoint=m["client"]), "a/1\nx\n")
        refused("etcdserver: permission denied", "get", "b/1", *ANN, endpoint=m["client"])
    refused("etcdserver: permission denied", "put", "a/1", "y", *ANN)
    equal(c.etcdctl("put", "a/mine", "y", *ANN), "OK\n")
    refused("etcdserver: permission denied", "get", "--prefix", "", *ANN)
    refused("etcdserver: permission denied", "get", "--from-key", "a/", *ANN)
    equal(c.etcdctl("get", "--prefix", "a/", "--keys-only", *ANN).split(), ["a/1", "a/mine"])
    refused("etcdserver: permission denied", "txn", *ANN, stdin='value("a/1") = "x"\n\nput a/mine 1\n\nput b/1 2\n\n')
    refused("etcdserver: permission denied", "user", "list", *ANN)
    refused("etcdserver: permission denied", "snapshot", "save", c.root + "/s", *ANN, endpoint=c.status()["members"][0]["client"])
    contains(c.etcdctl("user", "get", "ann", *ANN), "reader")
    contains(c.etcdctl("role", "get", "reader", *ANN), "a/mine")
    equal(c.etcdctl("get", "b/1", *ROOT), "b/1\nx\n")


def leases_follow_their_keys():
    lease = c.etcdctl("lease", "grant", "60", *ROOT).split()[1]
    c.etcdctl("put", "b/leased", "1", "--lease", lease, *ROOT)
    refused("etcdserver: permission denied", "lease", "revoke", lease, *ANN)
    refused("etcdserver: permission denied", "put", "a/mine", "1", "--lease", lease, *ANN)
    for m in c.status()["members"]:
        refused("etcdserver: permission denied", "lease", "timetolive", lease, "--keys", *ANN, endpoint=m["client"])
        contains(c.etcdctl("lease", "timetolive", lease, "--keys", *ROOT, endpoint=m["client"]), "b/leased")
    c.etcdctl("lease", "revoke", lease, *ROOT)


def a_watch_needs_to_read_all_of_its_range():
    token = post("/v3/auth/authenticate", {"name": "ann", "password": "annpw"})[1]["token"]
    # "\0" as the end means everything above: it must not be taken for a single key.
    watch = stream("/v3/watch", {"create_request": {"key": b64("a/1"), "range_end": b64("\0")}}, token)
    created = json.loads(watch.stdout.readline())["result"]
    watch.kill()
    watch.wait()
    equal((created["canceled"], created["watch_id"]), (True, "-1"))
    contains(created["cancel_reason"], "permission denied")
    for args in (("b/1",), ("--prefix", "b/"), ("a/", "b/")):
        watch = client("watch", *args, *ANN)
        contains(watch.communicate(timeout=20)[0], "permission denied")
    watch = client("watch", "--prefix", "a/", *ANN)
    try:
        time.sleep(0.5)
        c.etcdctl("put", "a/2", "seen", *ROOT)
        equal([watch.stdout.readline().strip() for _ in range(3)], ["PUT", "a/2", "seen"])
    finally:
        watch.kill()
        watch.wait()


def the_gateway_asks_for_a_token():
    equal(post("/v3/kv/range", {"key": b64("a/1")})[1]["message"], "etcdserver: user name is empty")
    status, out = post("/v3/auth/authenticate", {"name": "ann", "password": "annpw"})
    equal(status, 200)
    for member in range(3):
        equal(post("/v3/kv/range", {"key": b64("a/1")}, token=out["token"], member=member)[0], 200)
    equal(post("/v3/kv/range", {"key": b64("b/1")}, token=out["token"])[0], 403)
    equal(post("/v3/kv/range", {"key": b64("a/1")}, token="wrong.1")[:1], (401,))


def members_are_changed_by_root_through_any_member():
    for m in c.status()["members"]:
        refused("etcdserver: permission denied", "member", "add", "more", "--learner", "--peer-urls=https://127.0.0.1:1", *ANN,
                endpoint=m["client"])
        out = c.etcdctl("member", "add", "more", "--learner", "--peer-urls=https://127.0.0.1:1", *ROOT, endpoint=m["client"])
        new = out.split()[1]
        refused("etcdserver: permission denied", "member", "remove", new, *ANN, endpoint=m["client"])
        c.etcdctl("member", "remove", new, *ROOT, endpoint=m["client"])


def the_api_server_in_the_process_goes_on():
    contains(c.kubectl("get", "--raw", "/readyz"), "ok")
    c.kubectl("create", "configmap", "trusted", "--from-literal", "a=b")


def a_revoked_role_takes_effect_at_once():
    out = post("/v3/auth/authenticate", {"name": "ann", "password": "annpw"})[1]
    equal(post("/v3/kv/range", {"key": b64("a/1")}, token=out["token"], member=1)[0], 200)
    c.etcdctl("user", "revoke-role", "ann", "reader", *ROOT)
    for member in range(3):
        equal(post("/v3/kv/range", {"key": b64("a/1")}, token=out["token"], member=member)[0], 403)
    refused("etcdserver: permission denied", "get", "a/1", *ANN)
    c.etcdctl("user", "grant-role", "ann", "reader", *ROOT)
    equal(post("/v3/kv/range", {"key": b64("a/1")}, token=out["token"])[0], 200)
    c.etcdctl("user", "passwd", "ann", "--interactive=false", *ROOT, stdin="newpw\n")
    equal(post("/v3/kv/range", {"key": b64("a/1")}, token=out["token"])[0], 401, "a token from before the new password")
    c.etcdctl("user", "passwd", "ann", "--interactive=false", *ROOT, stdin="annpw\n")


def users_outlive_a_leader_that_is_killed():
    s = c.status()
    leader = next(m for m in s["members"] if m["leader"])
    c.cluster("kill-member", leader["name"])
    others = [m["client"] for m in s["members"] if m["name"] != leader["name"]]
    for m in others:
        eventually("permissions hold", lambda m=m: c.etcdctl("get", "a/1", *ANN, endpoint=m) == "a/1\nx\n")
        refused("etcdserver: permission denied", "get", "b/1", *ANN, endpoint=m)
    c.cluster("start-member", leader["name"])
    eventually("the restarted member knows them",
               lambda: c.etcdctl("get", "a/1", *ANN, endpoint=leader["client"]) == "a/1\nx\n")
    refused("etcdserver: permission denied", "get", "b/1", *ANN, endpoint=leader["client"])


def root_is_protected_and_auth_goes_off():
    refused("invalid auth management", "user", "delete", "root", *ROOT)
    refused("invalid auth management", "user", "revoke-role", "root", "root", *ROOT)
    c.etcdctl("auth", "disable", *ROOT)
    equal(c.etcdctl("get", "b/1"), "b/1\nx\n")
    hashes = {m["hash"] for m in json.loads(c.coxctl("hash", "-o", "json"))["members"]}
    equal(len(hashes), 1, "hashes")


def signed_tokens_work_without_tls_and_end_with_a_change():
    directory = c.root + "/jwt"
    os.makedirs(directory)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory + "/key")
    run("openssl", "ec", "-in", directory + "/key", "-pubout", "-out", directory + "/pub")
    port, peer = free_port(), free_port()
    store = subprocess.Popen([COXSWAIN, "store", "--insecure", "--data-dir", directory + "/data", "--listen-client", f"127.0.0.1:{port}",
                              "--listen-peer", f"127.0.0.1:{peer}", "--auth-token",
                              f"jwt,pub-key={directory}/pub,priv-key={directory}/key,sign-method=ES256,ttl=10m"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def etcdctl(*args, **kw):
        return run("etcdctl", "--endpoints", f"http://127.0.0.1:{port}", *args, env={"ETCDCTL_API": "3"}, **kw)

    def range_of(key, token):
        return run("curl", "-s", "-H", "Authorization: " + token, "-d", json.dumps({"key": b64(key)}), f"http://127.0.0.1:{port}/v3/kv/range")

    try:
        eventually("the store answers", lambda: etcdctl("put", "a", "1") == "OK\n")
        for args in (("user", "add", "root:rootpw"), ("user", "grant-role", "root", "root"), ("role", "add", "r"),
                     ("role", "grant-permission", "r", "read", "a"), ("user", "add", "ann:annpw"), ("user", "grant-role", "ann", "r"),
                     ("auth", "enable")):
            etcdctl(*args)
        equal(etcdctl("get", "a", *ANN), "a\n1\n")
        code, out = etcdctl("put", "a", "2", *ANN, check=False)
        equal(code != 0, True)
        contains(out, "etcdserver: permission denied")
        out = run("curl", "-s", "-d", json.dumps({"name": "ann", "password": "annpw"}), f"http://127.0.0.1:{port}/v3/auth/authenticate")
        token = json.loads(out)["token"]
        equal(json.loads(range_of("a", token))["count"], "1")
        equal(json.loads(range_of("a", token[:-4] + "AAAA"))["error"], "etcdserver: invalid auth token")
        etcdctl("role", "add", "another", *ROOT)
        equal(json.loads(range_of("a", token))["error"], "etcdserver: revision of auth store is old")
    finally:
        store.terminate()
        store.wait(20)


main([two_lockers_take_turns, an_election_has_one_leader_and_tells_it, the_gateway_speaks_json, the_gateway_streams_a_watch,
      the_lock_service_takes_turns_and_cleans_up, the_election_service_elects_proclaims_and_resigns, root_comes_before_auth,
      everybody_gets_what_their_roles_allow, leases_follow_their_keys, a_watch_needs_to_read_all_of_its_range,
      the_gateway_asks_for_a_token, members_are_changed_by_root_through_any_member,
      the_api_server_in_the_process_goes_on, a_revoked_role_takes_effect_at_once,
      users_outlive_a_leader_that_is_killed, root_is_protected_and_auth_goes_off,
      signed_tokens_work_without_tls_and_end_with_a_change])
