#!/usr/bin/env python3
"""`etcdctl check perf` on a cluster of three: a minute of puts at a given rate. LOAD=s|m|l|xl; s by itself."""
import os
import subprocess
import time

from harness import Failure, contains, equal, main
from stores import Store, endpoints, start_cluster

members = [Store(f"p{i}") for i in range(3)]
LOAD = os.environ.get("LOAD", "s")


def the_load_is_carried():
    start_cluster(members)
    done = subprocess.run(["etcdctl", "--endpoints", endpoints(members), "check", "perf", "--load", LOAD], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "ETCDCTL_API": "3"})
    for line in (done.stdout + done.stderr).replace("\r", "\n").splitlines():
        if line.startswith(("PASS", "FAIL", "Slowest", "Too many")):
            print("#", line, flush=True)
    equal(done.returncode, 0, done.stdout[-1000:])
    contains(done.stdout, "PASS: Throughput is")


main([the_load_is_carried])
