#!/usr/bin/env python3
"""Quota and alarms, compaction by itself, defragmentation, streamed ranges, health and downgrade on one small store; etcdctl 3.4 and curl ask."""
import atexit
import json
import secrets
import shutil
import struct
import subprocess
import tempfile
import time

from harness import COXCTL, COXSWAIN, Skip, contains, equal, eventually, free_port, main, run

QUOTA = 16 << 20
root = tempfile.mkdtemp(prefix="coxswain-test-")
client = f"127.0.0.1:{free_port()}"
process = None


def start(*flags):
    global process
    process = subprocess.Popen([COXSWAIN, "store", "--insecure", "--data-dir", root + "/d", "--listen-peer", f"127.0.0.1:{free_port()}",
                                "--listen-client", client, *flags], stdout=open(root + "/log", "a"), stderr=subprocess.STDOUT)
    eventually("it serves", lambda: "is healthy" in etcdctl("endpoint", "health", check=False)[1])


def stop():
    process.terminate()
    process.wait(20)


@atexit.register
def clean():
    if process and process.poll() is None:
        process.kill()
        process.wait()
    shutil.rmtree(root, ignore_errors=True)


def etcdctl(*args, **kw):
    return run("etcdctl", "--endpoints", "http://" + client, *args, env={"ETCDCTL_API": "3"}, **kw)


def refused(text, *args, **kw):
    code, out = etcdctl(*args, check=False, **kw)
    equal(code != 0, True, args)
    contains(out, text)


def http(path):
    code, body = run("curl", "-s", "-w", "\n%{http_code}", f"http://{client}{path}").rsplit("\n", 1)[::-1]
    return int(code), body


def grpc(path, message):
    """The answer's messages and its grpc-status, over curl."""
    if shutil.which("curl") is None:
        raise Skip("no curl")
    with open(root + "/ask", "wb") as f:
        f.write(b"\0" + struct.pack(">I", len(message)) + message)
    out = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-D", root + "/head", "-H", "content-type: application/grpc", "-H", "te: trailers",
                          "--data-binary", "@" + root + "/ask", f"http://{client}{path}"], capture_output=True, timeout=60).stdout
    messages = []
    while out:
        size = struct.unpack(">I", out[1:5])[0]
        messages.append(out[5:5 + size])
        out = out[5 + size:]
    status = [line.split(":")[1].strip() for line in open(root + "/head") if line.lower().startswith("grpc-status:")]
    return messages, int(status[-1])


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        yield tag >> 3, value


def limits_are_flags():
    start("--max-txn-ops", "2", "--max-request-bytes", "10000", "--quota-backend-bytes", str(QUOTA))
    refused("too many operations in txn request", "txn", stdin='version("a") = "0"\n\nput a 1\nput b 1\nput c 1\n\n\n')
    refused("request is too large", "put", "k", "x" * 11000)
    equal(etcdctl("put", "k", "x" * 9000), "OK\n")


def a_full_quota_stops_writes_only():
    equal(etcdctl("alarm", "list"), "")
    count = 0
    while count < 5000:
        big = secrets.token_hex(4500)  # what does not compress to nothing
        done = subprocess.run([COXCTL, "txn", "--endpoints", "http://" + client, "--then", f"put q/{count} {big}"], capture_output=True, text=True)
        if done.returncode != 0:
            contains(done.stderr, "etcdserver: mvcc: database space exceeded")
            break
        count += 1
    equal(0 < count < 5000, True, f"{count} writes were let in")
    eventually("the alarm is raised", lambda: "alarm:NOSPACE" in etcdctl("alarm", "list"))
    refused("database space exceeded", "put", "small", "1")
    refused("database space exceeded", "lease", "grant", "60")
    equal(len(etcdctl("get", "--prefix", "q/", "--keys-only").split()), count, "what was acknowledged, and no more")
    equal(http("/health"), (503, '{"health":"false","reason":"ALARM NOSPACE"}'))
    equal(http("/health?exclude=NOSPACE")[0], 200)
    stop()
    start("--quota-backend-bytes", str(QUOTA))
    refused("database space exceeded", "put", "small", "1")


def room_is_made_and_the_alarm_disarmed():
    contains(etcdctl("del", "--prefix", "q/"), "")
    revision = json.loads(etcdctl("get", "k", "-w", "json"))["header"]["revision"]
    etcdctl("compaction", str(revision), "--physical")
    contains(etcdctl("defrag"), "Finished defragmenting")
    contains(etcdctl("alarm", "disarm"), "alarm:NOSPACE")
    equal(etcdctl("alarm", "list"), "")
    eventually("writes go on", lambda: etcdctl("put", "small", "1") == "OK\n")
    equal(http("/health"), (200, '{"health":"true","reason":""}'))
    contains(run(COXCTL, "defrag", "--endpoints", "http://" + client), "defragmented=true")


def corruption_by_hand_stops_everything_until_it_is_disarmed():
    member = json.loads(etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["member_id"]

    def number(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])
    messages, status = grpc("/etcdserverpb.Maintenance/Alarm", b"\x08\x01\x10" + number(member) + b"\x18\x02")
    equal(status, 0)
    refused("etcdserver: corrupt cluster", "put", "a", "1")
    refused("etcdserver: corrupt cluster", "get", "k")
    messages, status = grpc("/grpc.health.v1.Health/Check", b"")
    equal((messages, status), ([b"\x08\x02"], 0))
    etcdctl("alarm", "disarm")
    equal(etcdctl("put", "a", "1"), "OK\n")


def health_by_grpc():
    equal(grpc("/grpc.health.v1.Health/Check", b""), ([b"\x08\x01"], 0))
    equal(grpc("/grpc.health.v1.Health/Check", b"\x0a\x01x"), ([], 5))
    for path in ("/livez", "/readyz"):
        equal(http(path), (200, "ok\n"))


def a_streamed_range_is_the_unary_one_in_pieces():
    for i in range(40):
        etcdctl("put", f"s/{i:03}", "z" * 100000)
    ask = b"\x0a\x02s/\x12\x02s0"
    whole, status = grpc("/etcdserverpb.KV/Range", ask)
    equal(status, 0)
    pieces, status = grpc("/etcdserverpb.KV/RangeStream", ask)
    equal(status, 0)
    equal(len(pieces) > 3, True, "chunks")
    parts = [dict(fields(p))[1] for p in pieces]
    for part in parts[:-1]:
        equal({f for f, _ in fields(part)}, {2}, "only records before the last chunk")
    merged = sorted((f for p in parts for f in fields(p) if f[0] != 1), key=lambda f: f[0])
    equal(merged, sorted((f for f in fields(whole[0]) if f[0] != 1), key=lambda f: f[0]))
    # limit 3: more; one key; sorted by value: refused.
    pieces, _ = grpc("/etcdserverpb.KV/RangeStream", ask + b"\x18\x03")
    last = dict(fields(dict(fields(pieces[-1]))[1]))
    equal((last[3], last[4]), (1, 40), "more and count")
    pieces, _ = grpc("/etcdserverpb.KV/RangeStream", b"\x0a\x05s/007")
    equal(dict(fields(dict(fields(pieces[-1]))[1]))[4], 1)
    equal(grpc("/etcdserverpb.KV/RangeStream", ask + b"\x28\x01\x30\x04"), ([], 12))
    equal(grpc("/etcdserverpb.KV/RangeStream", ask + b"\x20\xff\xff\x03"), ([], 11), "a future revision")


def there_is_nothing_to_downgrade_to():
    equal(grpc("/etcdserverpb.Maintenance/Downgrade", b"\x12\x031.x")[1], 3)
    equal(grpc("/etcdserverpb.Maintenance/Downgrade", b"\x12\x033.4")[1], 3)
    equal(grpc("/etcdserverpb.Maintenance/Downgrade", b"\x08\x02")[1], 9)


def history_goes_by_itself():
    stop()
    code, out = run(COXSWAIN, "store", "--insecure", "--data-dir", root + "/d", "--listen-client", client, "--auto-compaction-retention", "1x", check=False)
    equal(code, 1)
    contains(out, "--auto-compaction-retention")
    start("--auto-compaction-mode", "periodic", "--auto-compaction-retention", "2s")
    old = json.loads(etcdctl("put", "h", "1", "-w", "json"))["header"]["revision"]
    etcdctl("put", "h", "2")
    began = time.monotonic()

    def gone():
        etcdctl("put", "h", "3")
        return "required revision has been compacted" in etcdctl("get", "h", "--rev", str(old), check=False)[1]
    eventually("the old revision goes", gone, seconds=15)
    equal(time.monotonic() - began > 1, True, "not at once")


main([limits_are_flags, a_full_quota_stops_writes_only, room_is_made_and_the_alarm_disarmed,
      corruption_by_hand_stops_everything_until_it_is_disarmed, health_by_grpc, a_streamed_range_is_the_unary_one_in_pieces,
      there_is_nothing_to_downgrade_to, history_goes_by_itself])
