#!/usr/bin/env python3
"""/health, /livez, /readyz, /version and /metrics of a cluster of three; the metrics beside those of a stock etcd."""
import json
import re
import shutil
import subprocess
import time

from harness import Failure, Skip, contains, equal, eventually, main
from stores import Etcd, Store, root, start_cluster

members = [Store(f"h{i}", "--quota-backend-bytes", "1000000000") for i in range(3)]
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*)\})? ([^ ]+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"')


class Page:
    """Prometheus' text format, strictly: every sample belongs to a family that was announced with a type, none is there twice."""

    def __init__(self, server):
        status, text = server.http("/metrics")
        equal(status, 200)
        self.types, self.samples = {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                continue
            if line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                equal(name in self.types, False, f"{name} is announced twice")
                self.types[name] = kind
                continue
            found = SAMPLE.match(line)
            if not found:
                raise Failure(f"{line!r} is no sample")
            name, labels, value = found.groups()
            family = name
            if family not in self.types:
                family = re.sub(r"_(bucket|sum|count)$", "", name)
                equal(self.types.get(family) in ("histogram", "summary"), True, f"{name} belongs to nothing")
            key = (name, tuple(sorted(LABEL.findall(labels or ""))))
            equal(key in self.samples, False, f"{key} is there twice")
            self.samples[key] = float(value)
        self.check_histograms()

    def check_histograms(self):
        for name, kind in self.types.items():
            if kind != "histogram":
                continue
            series = {}
            for (sample, labels), value in self.samples.items():
                if sample == name + "_bucket":
                    rest = tuple(label for label in labels if label[0] != "le")
                    series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
            for rest, buckets in series.items():
                counts = [count for _, count in sorted(buckets)]
                equal(counts, sorted(counts), name)
                equal(counts[-1], self.samples[name + "_count", rest], name)

    def value(self, name, /, **labels):
        return self.samples[name, tuple(sorted(labels.items()))]

    def sum(self, name, /, **labels):
        return sum(v for (n, ls), v in self.samples.items() if n == name and set(labels.items()) <= set(ls))


def everything_is_healthy():
    start_cluster(members)
    for m in members:
        equal(m.http("/health"), (200, '{"health":"true","reason":""}'))
        equal(m.http("/health?serializable=true")[0], 200)
        equal(m.http("/livez"), (200, "ok\n"))
        equal(m.http("/readyz"), (200, "ok\n"))
        equal(m.http("/livez?verbose"), (200, "[+]serializable_read ok\nok\n"))
        equal(m.http("/readyz?verbose"), (200, "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n"))
        for check in ("data_corruption", "serializable_read", "linearizable_read"):
            equal(m.http("/readyz/" + check), (200, "ok\n"))
        equal(m.http("/livez/serializable_read?verbose"), (200, "[+]serializable_read ok\nok\n"))
        equal(m.http("/livez/data_corruption")[0], 404)
        equal(m.http("/readyz/nothing")[0], 404)
        equal(set(json.loads(m.http("/version")[1])), {"etcdserver", "etcdcluster"})


def corruption_is_not_ready_but_alive():
    status = json.loads(members[0].etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]
    body = json.dumps({"action": "ACTIVATE", "memberID": str(status["header"]["member_id"]), "alarm": "CORRUPT"})
    done = subprocess.run(["curl", "-s", "-d", body, f"http://{members[0].client}/v3/maintenance/alarm"], capture_output=True, text=True, timeout=20)
    contains(done.stdout, "CORRUPT")
    eventually("all members know it", lambda: all(m.http("/readyz/data_corruption")[0] == 503 for m in members))
    status, text = members[1].http("/readyz")
    equal(status, 503)
    contains(text, "[-]data_corruption failed: alarm activated: CORRUPT\n")
    contains(members[1].http("/readyz?exclude=data_corruption")[1], "etcdserver: corrupt cluster")
    equal(members[1].http("/health"), (503, '{"health":"false","reason":"ALARM CORRUPT"}'))
    equal(members[1].http("/health?exclude=CORRUPT")[0], 200)
    members[0].etcdctl("alarm", "disarm")
    eventually("all members are ready", lambda: all(m.http("/readyz")[0] == 200 for m in members))


def metrics_tell_what_was_done():
    before = Page(members[0])
    for i in range(10):
        members[0].etcdctl("put", f"metric/{i % 5}", str(i))
    members[0].etcdctl("del", "metric/4")
    members[0].etcdctl("get", "metric/", "--prefix")
    members[0].refused("required revision is a future revision", "get", "x", "--rev", "99999")
    lease = members[0].etcdctl("lease", "grant", "100").split()[1]
    members[0].etcdctl("lease", "revoke", lease)
    after = Page(members[0])

    def grew(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)

    equal(grew("etcd_mvcc_put_total"), 10)
    equal(grew("etcd_mvcc_delete_total"), 1)
    equal(grew("etcd_debugging_mvcc_events_total"), 11)
    equal(grew("etcd_debugging_mvcc_keys_total"), 4)
    equal(after.value("etcd_debugging_mvcc_current_revision"), members[0].revision())
    equal((grew("etcd_debugging_lease_granted_total"), grew("etcd_debugging_lease_revoked_total")), (1, 1))
    equal(grew("grpc_server_handled_total", grpc_service="etcdserverpb.KV", grpc_method="Put", grpc_code="OK", grpc_type="unary"), 10)
    equal(grew("grpc_server_handled_total", grpc_method="Range", grpc_code="OutOfRange"), 1)
    equal(grew("grpc_server_started_total", grpc_method="DeleteRange"), 1)
    equal(grew("etcd_network_client_grpc_received_bytes_total") > 10 * 10, True)
    equal(grew("etcd_network_client_grpc_sent_bytes_total") > 10 * 10, True)
    equal(grew("etcd_server_proposals_committed_total") >= 13, True)
    equal(after.value("etcd_server_proposals_pending"), 0)
    equal(after.value("etcd_server_has_leader"), 1)
    equal(after.value("etcd_server_quota_backend_bytes"), 1000000000)
    equal(after.value("etcd_mvcc_db_total_size_in_bytes") > 0, True)
    equal(grew("etcd_disk_backend_commit_duration_seconds_count") > 0, True)
    equal(grew("etcd_disk_wal_fsync_duration_seconds_count") > 0, True)
    pages = [Page(m) for m in members]
    equal(sum(p.value("etcd_server_is_leader") for p in pages), 1)
    for p in pages:
        equal(p.value("etcd_debugging_mvcc_keys_total"), after.value("etcd_debugging_mvcc_keys_total"))
        for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
                     "process_max_fds", "process_start_time_seconds"):
            equal(p.value(name) > 0, True, name)
    leader = next(p for p in pages if p.value("etcd_server_is_leader") == 1)
    equal(len([1 for (n, _), v in leader.samples.items() if n == "etcd_network_peer_sent_bytes_total" and v > 0]), 2)
    equal(len([1 for (n, _), v in leader.samples.items() if n == "etcd_network_peer_received_bytes_total" and v > 0]), 2)


def watches_are_counted_while_they_are_open():
    watch = subprocess.Popen(["etcdctl", "--endpoints", "http://" + members[0].client, "watch", "metric/0"], stdout=subprocess.DEVNULL,
                             env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    try:
        eventually("it is counted", lambda: Page(members[0]).value("etcd_debugging_mvcc_watcher_total") == 1)
        equal(Page(members[0]).value("etcd_debugging_mvcc_watch_stream_total"), 1)
        started = Page(members[0]).sum("grpc_server_started_total", grpc_method="Watch", grpc_type="bidi_stream")
        equal(started >= 1, True)
    finally:
        watch.kill()
        watch.wait()
    eventually("it is gone", lambda: Page(members[0]).value("etcd_debugging_mvcc_watch_stream_total") == 0)
    equal(Page(members[0]).value("etcd_debugging_mvcc_watcher_total"), 0)
    eventually("its call has ended",
               lambda: Page(members[0]).sum("grpc_server_handled_total", grpc_method="Watch", grpc_code="Canceled") >= 1)


def a_restart_keeps_the_number_of_keys():
    keys = Page(members[2]).value("etcd_debugging_mvcc_keys_total")
    members[2].stop()
    members[2].start().ready()
    eventually("it knows them", lambda: Page(members[2]).value("etcd_debugging_mvcc_keys_total") == keys)


def etcd_calls_them_the_same():
    if shutil.which("etcd") is None:
        raise Skip("no etcd")
    etcd = Etcd("beside").start()
    etcd.ready()
    theirs, ours = Page(etcd), Page(members[0])
    wanted = ["etcd_server_has_leader", "etcd_server_is_leader", "etcd_server_leader_changes_seen_total", "etcd_server_proposals_committed_total",
              "etcd_server_proposals_applied_total", "etcd_server_proposals_pending", "etcd_server_proposals_failed_total",
              "etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds", "etcd_mvcc_db_total_size_in_bytes",
              "etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_debugging_mvcc_keys_total", "etcd_debugging_mvcc_watcher_total",
              "etcd_debugging_mvcc_watch_stream_total", "etcd_debugging_mvcc_slow_watcher_total", "etcd_network_client_grpc_sent_bytes_total",
              "etcd_network_client_grpc_received_bytes_total", "grpc_server_started_total", "grpc_server_handled_total",
              "grpc_server_msg_received_total", "grpc_server_msg_sent_total", "etcd_server_quota_backend_bytes", "etcd_mvcc_put_total",
              "etcd_mvcc_range_total", "etcd_mvcc_delete_total", "etcd_mvcc_txn_total", "process_resident_memory_bytes", "process_cpu_seconds_total"]
    for name in wanted:
        equal(name in theirs.types, True, f"etcd has no {name}")
        equal(ours.types.get(name), theirs.types[name], name)
    shared = set(ours.types) & set(theirs.types)
    equal({n: ours.types[n] for n in shared}, {n: theirs.types[n] for n in shared}, "types")

    def methods(page):
        return {labels for name, labels in page.samples if name == "grpc_server_started_total"}
    equal({dict(m)["grpc_method"] for m in methods(theirs) if dict(m)["grpc_service"].startswith("etcdserverpb")} -
          {dict(m)["grpc_method"] for m in methods(ours)}, set(), "methods")
    equal({m for m in methods(theirs) if dict(m)["grpc_service"] == "etcdserverpb.KV"} - methods(ours), set(), "labels")
    etcd.stop()


def without_a_majority_it_is_alive_and_not_ready():
    for m in members[1:]:
        m.process.kill()
        m.process.wait()
    eventually("the leader is missed", lambda: Page(members[0]).value("etcd_server_has_leader") == 0)
    equal(members[0].http("/livez"), (200, "ok\n"))
    began = time.monotonic()
    status, text = members[0].http("/readyz")
    equal(status, 503)
    contains(text, "[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: request timed out")
    equal(time.monotonic() - began < 15, True)
    equal(members[0].http("/readyz?exclude=linearizable_read"), (200, "ok\n"))
    equal(members[0].http("/health"), (503, '{"health":"false","reason":"RAFT NO LEADER"}'))
    equal(members[0].http("/health?serializable=true")[0], 200)
    page = Page(members[0])
    equal(page.value("etcd_server_healthcheck", type="readyz", name="linearizable_read"), 0)
    equal(page.value("etcd_server_read_indexes_failed_total") >= 1, True)
    equal(page.value("etcd_server_health_failures") >= 1, True)


main([everything_is_healthy, corruption_is_not_ready_but_alive, metrics_tell_what_was_done, watches_are_counted_while_they_are_open,
      a_restart_keeps_the_number_of_keys, etcd_calls_them_the_same, without_a_majority_it_is_alive_and_not_ready])
