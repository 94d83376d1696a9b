#!/usr/bin/env python3
"""The store beside etcd: three members each, the same load, the same run, on loopback without TLS.

    tools/dev bench [--scale 0.5] [--rounds 3] [--keys 1000000] [--only puts,watch] [-o json] [--plot FILE.svg]

Prints a table. Figures depend on the machine; only the two columns of one run compare.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
COXCTL = str(SOURCE / "build/bin/coxctl")
ETCD_LOAD = str(SOURCE / "build/bench/etcd_load")
GRPC_ECHO = str(SOURCE / "build/bench/grpc_echo")


# --- requests, as bytes of gRPC

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


KEY = data(1, b"bench/key")
PUT = frame(KEY + data(2, b"x" * 256))
GET = frame(KEY)
SERIALIZABLE = frame(KEY + number(7, 1))
# As kube-apiserver writes: if the key is what it was (here: it exists), put; otherwise get.
COMPARE = number(1, 1) + number(2, 1) + data(3, b"bench/key")
TXN = frame(data(1, COMPARE) + data(2, data(2, KEY + data(2, b"x" * 256))) + data(3, data(1, KEY)))
RANGE = frame(data(1, b"r/") + data(2, b"r0"))


def h2load(url, path, body, streams, requests):
    """Requests per second and the 99th percentile in ms; one gRPC frame as the body of each request, or none: GET."""
    with tempfile.NamedTemporaryFile() as f, tempfile.TemporaryDirectory() as logs:
        request = []
        if body:
            f.write(body)
            f.flush()
            request = ["-d", f.name, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        clients = max(1, min(10, streams))
        out = subprocess.run(["h2load", "-n", str(requests), "-c", str(clients), "-m", str(max(1, streams // clients)), "--log-file", logs + "/log",
                              "-w", "24", "-W", "24", *request, url + path], capture_output=True, text=True, timeout=600).stdout
        with open(logs + "/log") as log:
            micros = sorted(int(line.split("\t")[2]) for line in log)
    done = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out)
    good = re.search(r"(\d+) succeeded", out)
    if not done or int(good.group(1)) != requests:
        sys.exit(f"h2load: not all of {requests} requests to {url}{path} succeeded:\n{out}")
    return float(done.group(1)), micros[int(len(micros) * 0.99)] / 1000


def median_of_three(url, path, body, streams, requests):
    """As h2load(): the first run still meets memory that was never touched."""
    return [statistics.median(column) for column in zip(*(h2load(url, path, body, streams, requests) for _ in range(3)))]


class LoadFailed(SystemExit):
    """Ends the run, unless a part can go on without."""


def etcd_load(mode, endpoints, *args):
    command = [ETCD_LOAD, mode]
    for e in endpoints:
        command += ["--endpoint", e.removeprefix("http://")]
    done = subprocess.run([*command, *map(str, args)], stdout=subprocess.PIPE, text=True, timeout=900)
    if done.returncode != 0:
        raise LoadFailed(f"etcd_load {mode} against {', '.join(endpoints)} failed")
    return json.loads(done.stdout)


# --- the two systems

QUOTA = 64 << 30


def resident_mb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def cpu_seconds(pid):
    user, system = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(system):
    """Until what was written lies on the disk, and the members have done what they do about it afterwards; half a minute at most."""
    os.sync()
    pids = [system.pid(i) for i in range(len(system.urls))]
    for _ in range(60):
        before = sum(map(cpu_seconds, pids))
        time.sleep(0.5)
        if sum(map(cpu_seconds, pids)) - before < 0.05:
            return


def seconds_until_it_answers(url, began):
    """Until a put to this member is acknowledged."""
    etcd_load("first-write", [url])
    return time.monotonic() - began


class Etcd:
    name = "etcd 3.4"

    def __init__(self, root, members=3):
        self.root = root
        base = random.randrange(10000, 32000, 10)
        self.urls = [f"http://127.0.0.1:{base + i}" for i in range(members)]
        self.peers = [f"http://127.0.0.1:{base + 3 + i}" for i in range(members)]
        began = time.monotonic()
        self.processes = [self.start(i) for i in range(members)]
        self.ready_s = seconds_until_it_answers(self.urls[0], began)

    def start(self, i):
        cluster = ",".join(f"e{n}={p}" for n, p in enumerate(self.peers))
        return subprocess.Popen(
            ["etcd", "--name", f"e{i}", "--data-dir", f"{self.root}/e{i}", "--listen-client-urls", self.urls[i], "--advertise-client-urls", self.urls[i],
             "--listen-peer-urls", self.peers[i], "--initial-advertise-peer-urls", self.peers[i], "--initial-cluster", cluster,
             "--quota-backend-bytes", str(QUOTA), "--log-level", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def leader_index(self):
        while True:
            out = subprocess.run(["etcdctl", "--endpoints", ",".join(self.urls), "endpoint", "status", "-w", "json"], capture_output=True, text=True,
                                 env={**os.environ, "ETCDCTL_API": "3"})
            try:
                for row in json.loads(out.stdout):
                    if row["Status"]["leader"] == row["Status"]["header"]["member_id"]:
                        return self.urls.index(row["Endpoint"])
            except (json.JSONDecodeError, KeyError):
                pass
            time.sleep(0.05)

    def pid(self, i):
        return self.processes[i].pid

    def kill(self, i):
        self.processes[i].send_signal(signal.SIGKILL)
        self.processes[i].wait()

    def restart(self, i):
        self.processes[i] = self.start(i)

    def stop(self):
        for p in self.processes:
            p.kill()
            p.wait()


class Coxswain:
    name = "coxswain"

    def __init__(self, root, members=3):
        self.root = root
        self.dir = root + "/c"
        began = time.monotonic()
        base = random.randrange(10000, 32000, 10)
        up = subprocess.Popen([COXCTL, "cluster", "up", "--dir", self.dir, "--members", str(members), "--insecure", "--set", "log-level: error",
                               "--set", f"quota-backend-bytes: {QUOTA}", "--base-port", str(base)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # The first port is the load balancer's, the next the first member's for clients.
        self.ready_s = seconds_until_it_answers(f"http://127.0.0.1:{base + 1}", began)
        if up.wait() != 0:
            sys.exit("coxctl cluster up failed")
        self.urls = [m["client"] for m in self.members()]

    def members(self):
        return json.loads(self.cluster("status", "-o", "json"))["members"]

    def cluster(self, command, *args):
        return subprocess.run([COXCTL, "cluster", command, "--dir", self.dir, *args], check=True, capture_output=True, text=True).stdout

    def leader_index(self):
        while True:
            for i, m in enumerate(self.members()):
                if m["leader"]:
                    return i
            time.sleep(0.05)

    def pid(self, i):
        return self.members()[i]["pid"]

    def kill(self, i):
        os.kill(self.pid(i), signal.SIGKILL)

    def restart(self, i):
        subprocess.Popen([COXCTL, "cluster", "start-member", str(self.members()[i]["id"]), "--dir", self.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        subprocess.run([COXCTL, "cluster", "down", "--dir", self.dir], capture_output=True)


# --- what is measured: each yields (row, figure, whether more is better; None: it is the machine's)

def start(system, options):
    yield "start to first acknowledged put, s", system.ready_s, False


def floors_ms(system):
    """What a put alone waits for at the least, one after the other: a call over HTTP/2, a peer, the disk; and with the disk as three members share it."""
    with subprocess.Popen([GRPC_ECHO], stdout=subprocess.PIPE, text=True) as echo:
        rate, _ = h2load("http://" + echo.stdout.readline().split()[-1], "/bench.Echo/Unary", PUT, 1, 5000)
        echo.kill()
    floors = json.loads(subprocess.run([ETCD_LOAD, "floors", system.root], check=True, capture_output=True, text=True).stdout)
    both = 1000 / rate + floors["peer_ms"]
    return both + floors["fdatasync_ms"], both + floors["majority_ms"]


def puts(system, options):
    url = system.urls[system.leader_index()]
    for streams, requests in ((1, 2000), (100, 30000), (1000, 100000)):
        rate, p99 = median_of_three(url, "/etcdserverpb.KV/Put", PUT, streams, int(requests * options.scale))
        if streams == 1:
            alone, shared = floors_ms(system)
            yield "HTTP/2 call + peer + fdatasync, each alone, ms", alone, None
            yield "  a put of 1 stream, as a multiple of that", 1000 / rate / alone, False
            yield "the same with two of three fdatasyncs at once, ms", shared, None
            yield "  a put of 1 stream, as a multiple of that one", 1000 / rate / shared, False
        yield f"puts/s, 256 B, {streams} streams", rate, True
        yield f"  the 99th percentile of {streams} streams, ms", p99, False


def txns(system, options):
    url = system.urls[system.leader_index()]
    etcd_load("fill", [url], "--keys", 1, "--prefix", "bench/key")
    h2load(url, "/etcdserverpb.KV/Put", PUT, 1, 1)
    yield "compare-and-put txns/s, 100 streams", median_of_three(url, "/etcdserverpb.KV/Txn", TXN, 100, int(30000 * options.scale))[0], True


def gets(system, options):
    url = system.urls[system.leader_index()]
    h2load(url, "/etcdserverpb.KV/Put", PUT, 1, 1)
    for how, body in (("linearizable", GET), ("serializable", SERIALIZABLE)):
        yield f"{how} gets/s, 1000 streams", median_of_three(url, "/etcdserverpb.KV/Range", body, 1000, int(100000 * options.scale))[0], True


def files_a_second(root, size, requests):
    """What HTTP/2 allows: nghttp2's own server sends a file to h2load."""
    directory = pathlib.Path(root) / "files"
    directory.mkdir()
    (directory / "file").write_bytes(b"v" * size)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", directory, str(port)], stdout=subprocess.DEVNULL) as server:
        try:
            while True:
                with socket.socket() as s:
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if server.poll() is not None:
                    sys.exit("nghttpd does not start")
                time.sleep(0.01)
            return h2load(f"http://127.0.0.1:{port}", "/file", None, 10, requests)[0]
        finally:
            server.kill()


def ranges(system, options):
    url = system.urls[system.leader_index()]
    pid = system.pid(system.leader_index())
    etcd_load("fill", [url], "--keys", 10000, "--value-bytes", 1024, "--prefix", "r/")
    requests = max(20, int(300 * options.scale))
    before = cpu_seconds(pid)
    yield "ranges/s of 10,000 keys x 1 KB, 10 streams", h2load(url, "/etcdserverpb.KV/Range", RANGE, 10, requests)[0], True
    yield "  the leader's CPU ms a range", (cpu_seconds(pid) - before) * 1000 / requests, False
    # Who asks for the same at the same time may share what is read. These do not: each has its own limit.
    questions = [frame(data(1, b"r/") + data(2, b"r0") + number(3, 10000 + i)) for i in range(10)]
    before = cpu_seconds(pid)
    with concurrent.futures.ThreadPoolExecutor(len(questions)) as pool:
        rates = [rate for rate, _ in pool.map(lambda body: h2load(url, "/etcdserverpb.KV/Range", body, 1, requests // 10), questions)]
    yield "ranges/s, 10 streams with a question each", sum(rates), True
    yield "  the leader's CPU ms for one of these", (cpu_seconds(pid) - before) * 1000 / (requests // 10 * 10), False
    yield "  the ceiling: nghttpd's files/s of that size", files_a_second(system.root, 10000 * 1050, requests), None


def memory(system, options):
    leader = system.leader_index()
    yield "resident MB after these, leader", resident_mb(system.pid(leader)), False
    yield "resident MB after these, follower", max(resident_mb(system.pid(i)) for i in range(3) if i != leader), False


def watch(system, options):
    leader = system.leader_index()
    pid = system.pid(leader)
    memory = peak = resident_mb(pid)
    watchers = 10000
    for puts, in_flight in ((max(30, int(200 * options.scale)), 1), (max(100, int(800 * options.scale)), 64)):
        cpu = cpu_seconds(pid)
        load = subprocess.Popen([ETCD_LOAD, "watch", "--endpoint", system.urls[leader].removeprefix("http://"), "--watchers", str(watchers),
                                 "--puts", str(puts), "--in-flight", str(in_flight)], stdout=subprocess.PIPE, text=True)
        while load.poll() is None:
            peak = max(peak, resident_mb(pid))
            time.sleep(0.02)
        if load.returncode != 0:
            sys.exit("etcd_load watch failed")
        how = "one put after the other" if in_flight == 1 else f"{in_flight} puts in flight"
        yield f"events/s to {watchers:,} watchers, {how}", json.loads(load.stdout.read())["events_per_second"], True
        yield f"  the leader's CPU s a million, {how}", (cpu_seconds(pid) - cpu) * 1e6 / (watchers * puts), False
    yield "  resident MB more at its peak", peak - memory, False


def failover(system, options):
    waits = []
    for _ in range(max(3, int(20 * options.scale))):
        leader = system.leader_index()
        others = [u for i, u in enumerate(system.urls) if i != leader]
        system.kill(leader)
        waits.append(etcd_load("first-write", others)["milliseconds"])
        system.restart(leader)
        etcd_load("first-write", [system.urls[leader]])
        time.sleep(1)
    yield "leader killed to first write, ms (median)", statistics.median(waits), False
    yield "  the longest, ms", max(waits), False


def many_keys(system, options):
    leader = system.leader_index()
    filled = etcd_load("fill", [system.urls[leader]], "--keys", options.keys, "--value-bytes", 256)
    yield f"keys/s written, {options.keys:,} keys x 256 B in txns of 100", filled["keys_per_second"], True
    time.sleep(2)
    yield "resident MB with them, leader", resident_mb(system.pid(leader)), False
    follower = (leader + 1) % 3
    yield "resident MB with them, follower", resident_mb(system.pid(follower)), False
    system.kill(follower)
    began = time.monotonic()
    system.restart(follower)
    yield "follower restarted to acknowledged put, s", seconds_until_it_answers(system.urls[follower], began), False


def check_perf(system, options):
    # A minute of 1 KB puts; etcd's own judgement of its extra-large load (15,000 puts/s) is that 90 % of them are carried.
    # In the end it deletes all of them at once, and says nothing of the puts when that fails.
    rate, slowest = run_check_perf(system.name, system.urls)
    yield "etcdctl check perf --load=xl, puts/s", rate, True
    yield "  its slowest put, ms", slowest * 1000, False
    servers = [subprocess.Popen([GRPC_ECHO, "--port", "0"], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        urls = ["http://" + server.stdout.readline().split()[-1] for server in servers]
        yield "  the ceiling: of servers that do nothing", run_check_perf("ceiling", urls)[0], None
    finally:
        for server in servers:
            server.kill()
            server.wait()


def run_check_perf(name, urls):
    """(puts a second, seconds of the slowest)"""
    done = subprocess.run(["etcdctl", "--endpoints", ",".join(urls), "check", "perf", "--load", "xl"], capture_output=True, text=True, timeout=180,
                          env={**os.environ, "ETCDCTL_API": "3"})
    rate = re.search(r"hroughput (?:is|too low): (\d+) writes/s", done.stdout)
    slowest = re.search(r"lowest request took (?:too long: )?([\d.]+)s", done.stdout)
    if not rate or not slowest:
        print(f"{name}: check perf: {done.stderr.strip().rpartition(chr(10))[2]}", file=sys.stderr)
        return float("nan"), float("nan")
    return float(rate.group(1)), float(slowest.group(1))


def growth(system, options):
    """One member. Keys in no order, values of 4 KB that cannot be compressed, a gigabyte after the other; as many as it carries."""
    rates, worst, slowest = [], 0, 0
    for gigabyte in range(options.gigabytes):
        try:
            filled = etcd_load("fill", system.urls, "--keys", (gigabyte + 1) << 18, "--from", gigabyte << 18, "--value-bytes", 4096, "--scattered")
            got = etcd_load("read", system.urls, "--keys", (gigabyte + 1) << 18, "--reads", 2000, "--scattered")
        except LoadFailed as e:
            if not rates:
                raise
            print(f"{system.name}: {gigabyte + 1} GB: {e}", file=sys.stderr, flush=True)
            break
        rates.append(filled["keys_per_second"])
        slowest = max(slowest, filled["slowest_ms"])
        worst = max(worst, got["p99_ms"])
        print(f"{system.name}: {gigabyte + 1} GB: {rates[-1]:.0f} keys/s, slowest {filled['slowest_ms']:.0f} ms, a get {got['p99_ms']:.2f} ms at the 99th percentile, {resident_mb(system.pid(0)):.0f} MB resident",
              file=sys.stderr, flush=True)
    yield f"GB of 4 KB values carried, of {options.gigabytes}", len(rates), True
    yield "  keys/s, the first GB", rates[0], True
    yield "  the slowest GB", min(rates), True
    yield "  the last GB carried", rates[-1], True
    yield "  the slowest txn of 100 keys, ms", slowest, False
    yield "  gets of random keys between, worst p99, ms", worst, False


PARTS = {f.__name__.replace("_", "-"): f for f in (start, puts, txns, gets, ranges, memory, watch, failover, many_keys, check_perf, growth)}
# One member, and only when it is asked for.
ALONE = ("growth",)


# What depends on the memory of a fresh process gets a cluster of its own.
FRESH = ("watch", "failover", "many-keys", "check-perf", "growth")


def measure(parts, options):
    """Rows as (row, etcd's figure, ours, whether more is better), medians of the rounds. The two take turns: the machine may be slower a minute later."""
    groups = [[p for p in parts if p not in FRESH]] + [[p] for p in parts if p in FRESH]
    for group in filter(None, groups):
        rounds = [[measure_one(kind, group, options) for kind in (Etcd, Coxswain)] for _ in range(options.rounds)]
        etcd, coxswain = (list(zip(*column)) for column in zip(*rounds))
        for ours, theirs in zip(coxswain, etcd):
            yield ours[0][0], statistics.median(r[1] for r in theirs), statistics.median(r[1] for r in ours), ours[0][2]


def measure_one(kind, group, options):
    root = tempfile.mkdtemp(prefix="coxswain-bench-")
    system = kind(root, 1 if group[0] in ALONE else 3)
    rows = []
    try:
        for part in group:
            wait_until_quiet(system)
            for row in PARTS[part](system, options):
                print(f"{kind.name}: {row[0].strip()}: {row[1]:.6g}", file=sys.stderr, flush=True)
                rows.append(row)
    finally:
        system.stop()
        shutil.rmtree(root, ignore_errors=True)
    return rows


def factor(a, b, more_is_better):
    if more_is_better is None or not (a > 0 and b > 0):
        return float("nan")
    return b / a if more_is_better else a / b


def plot(path, rows):
    """The table's last column as bars."""
    data = "\n".join(f'"{name.strip()}" {better:.3g}' for name, better in reversed(rows) if better == better)
    script = f"""
        $rows << EOD
{data}
EOD
        set terminal svg size 900,{60 + 28 * len(rows)} font "sans,12" background "white"
        set output "{path}"
        set title "Coxswain beside etcd 3.4: better by this factor"
        set logscale x 2
        set yrange [-0.7:*]
        set xrange [*:{1.5 * max(better for _, better in rows if better == better)}]
        set grid x
        unset key
        set style fill solid 0.8
        set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 front
        plot $rows using (sqrt($2)):0:($2 < 1 ? $2 : 1):($2 < 1 ? 1 : $2):($0 - 0.35):($0 + 0.35):ytic(1) with boxxyerror lc rgb "#3465a4", \
             $rows using (($2 < 1 ? 1 : $2) * 1.1):0:(sprintf("%.1f", $2)) with labels left"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer requests")
    parser.add_argument("--rounds", type=int, default=1, help="each part so often, and the medians")
    parser.add_argument("--keys", type=int, default=1_000_000, help="of the row with many keys")
    parser.add_argument("--gigabytes", type=int, default=4, help="of growth, which is measured only when asked for: --only growth")
    parser.add_argument("--only", default=",".join(p for p in PARTS if p not in ALONE), help="parts, with commas between: " + ", ".join(PARTS))
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the factors, too")
    options = parser.parse_args()
    parts = options.only.split(",")
    for part in parts:
        if part not in PARTS:
            parser.error(f"--only: {part} is none of {', '.join(PARTS)}")
    rows = [(row, a, b, factor(a, b, more)) for row, a, b, more in measure(parts, options)]
    if options.plot:
        plot(options.plot, [(row, better) for row, _, _, better in rows])
    if options.output == "json":
        print(json.dumps({row: {"etcd": a, "coxswain": b} for row, a, b, _ in rows}, indent=1))
        return
    print(f"{'':56}{'etcd 3.4':>12}{'coxswain':>12}{'better by':>12}")
    for row, a, b, better in rows:
        print(f"{row:56}{a:>12.5g}{b:>12.5g}" + (f"{better:>11.1f}x" if better == better else ""))


if __name__ == "__main__":
    main()
