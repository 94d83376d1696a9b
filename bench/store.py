#!/usr/bin/env python3
"""The store beside etcd: three members each, the same h2load, the same run, on loopback without TLS.

    tools/dev bench [--scale 0.5]

Prints a table. Figures depend on the machine; only the two columns of one run compare.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
COXCTL = str(SOURCE / "build/bin/coxctl")


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


PUT = frame(field(1, b"bench/key") + field(2, b"x" * 256))
GET = frame(field(1, b"bench/key"))
SERIALIZABLE = frame(field(1, b"bench/key") + varint(7 << 3) + b"\x01")


def load(url, path, body, streams, requests):
    """Requests per second; h2load with one gRPC frame as the body of each."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(body)
        f.flush()
        clients = max(1, min(10, streams))
        out = subprocess.run(["h2load", "-n", str(requests), "-c", str(clients), "-m", str(max(1, streams // clients)), "-d", f.name,
                              "-H", "content-type: application/grpc", "-H", "te: trailers", url + path], capture_output=True, text=True, timeout=600).stdout
    done = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out)
    good = re.search(r"(\d+) succeeded", out)
    if not done or int(good.group(1)) != requests:
        sys.exit(f"h2load: not all of {requests} requests to {url}{path} succeeded:\n{out}")
    return float(done.group(1))


def resident_mb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def seconds_until_it_answers(url, began):
    """Until a put to a member that was started with the others is acknowledged."""
    while subprocess.run([COXCTL, "put", "first", "put", "--endpoints", url], capture_output=True).returncode != 0:
        time.sleep(0.005)
    return time.monotonic() - began


class Etcd:
    def __init__(self, root):
        ports = free_ports(6)
        cluster = ",".join(f"e{i}=http://127.0.0.1:{ports[i + 3]}" for i in range(3))
        self.urls = [f"http://127.0.0.1:{p}" for p in ports[:3]]
        began = time.monotonic()
        self.processes = [subprocess.Popen(
            ["etcd", "--name", f"e{i}", "--data-dir", f"{root}/e{i}", "--listen-client-urls", self.urls[i], "--advertise-client-urls", self.urls[i],
             "--listen-peer-urls", f"http://127.0.0.1:{ports[i + 3]}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{ports[i + 3]}",
             "--initial-cluster", cluster, "--log-level", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(3)]
        self.ready_s = seconds_until_it_answers(self.urls[0], began)

    def leader(self):
        out = subprocess.run(["etcdctl", "--endpoints", ",".join(self.urls), "endpoint", "status", "-w", "json"], capture_output=True, text=True,
                             env={**os.environ, "ETCDCTL_API": "3"})
        try:
            for row in json.loads(out.stdout):
                if row["Status"]["leader"] == row["Status"]["header"]["member_id"]:
                    return row["Endpoint"]
        except (json.JSONDecodeError, KeyError):
            return None

    def memory(self):
        leader = self.urls.index(self.leader())
        sizes = [resident_mb(p.pid) for p in self.processes]
        return sizes[leader], max(s for i, s in enumerate(sizes) if i != leader)

    def stop(self):
        for p in self.processes:
            p.send_signal(signal.SIGKILL)
            p.wait()


class Coxswain:
    def __init__(self, root):
        self.dir = root + "/c"
        began = time.monotonic()
        base = random.randrange(10000, 32000, 10)
        up = subprocess.Popen([COXCTL, "cluster", "up", "--dir", self.dir, "--insecure", "--set", "log-level: error", "--base-port", str(base)],
                              stdout=subprocess.DEVNULL)
        # The first port is the load balancer's, the next the first member's for clients.
        self.ready_s = seconds_until_it_answers(f"http://127.0.0.1:{base + 1}", began)
        if up.wait() != 0:
            sys.exit("coxctl cluster up failed")

    def members(self):
        return json.loads(subprocess.run([COXCTL, "cluster", "status", "--dir", self.dir, "-o", "json"], check=True, capture_output=True, text=True).stdout)["members"]

    def leader(self):
        return next(m["client"] for m in self.members() if m["leader"])

    def memory(self):
        sizes = [(m["leader"], resident_mb(m["pid"])) for m in self.members()]
        return next(s for is_leader, s in sizes if is_leader), max(s for is_leader, s in sizes if not is_leader)

    def stop(self):
        subprocess.run([COXCTL, "cluster", "down", "--dir", self.dir], capture_output=True)


def measure(system, scale):
    url = system.leader()
    rows = {"start to first acknowledged put, s": round(system.ready_s, 2)}
    rows["puts/s, 1 stream"] = load(url, "/etcdserverpb.KV/Put", PUT, 1, int(2000 * scale))
    rows["puts/s, 100 streams"] = load(url, "/etcdserverpb.KV/Put", PUT, 100, int(30000 * scale))
    rows["puts/s, 1000 streams"] = load(url, "/etcdserverpb.KV/Put", PUT, 1000, int(100000 * scale))
    rows["linearizable gets/s, 1000 streams"] = load(url, "/etcdserverpb.KV/Range", GET, 1000, int(100000 * scale))
    rows["serializable gets/s, 1000 streams"] = load(url, "/etcdserverpb.KV/Range", SERIALIZABLE, 1000, int(100000 * scale))
    rows["resident MB, leader"], rows["resident MB, follower"] = map(round, system.memory())
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer requests")
    args = parser.parse_args()
    results = []
    for kind in (Etcd, Coxswain):
        root = tempfile.mkdtemp(prefix="coxswain-bench-")
        system = kind(root)
        try:
            results.append(measure(system, args.scale))
        finally:
            system.stop()
            shutil.rmtree(root, ignore_errors=True)
    print(f"{'':36}{'etcd 3.4':>12}{'coxswain':>12}")
    for row in results[0]:
        print(f"{row:36}{results[0][row]:>12}{results[1][row]:>12}")


main()
