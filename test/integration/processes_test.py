#!/usr/bin/env python3
"""Each part in a process of its own, on Coxswain's store and on a stock etcd: the same scenario as in one process."""
import atexit
import shutil
import subprocess
import tempfile
import urllib.request

import harness
from harness import COXSWAIN, contains, eventually, free_port, main

root = tempfile.mkdtemp(prefix="coxswain-test-")
processes = []


def close():
    for p in processes:
        p.kill()
        p.wait()
    shutil.rmtree(root, ignore_errors=True)


atexit.register(close)


def start(*command):
    processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return processes[-1]


def scenario(name, store_port):
    api = f"127.0.0.1:{free_port()}"
    parts = [start(COXSWAIN, "apiserver", "--insecure", "--store", f"127.0.0.1:{store_port}", "--listen-api", api)]
    eventually("the API is ready", lambda: ready(api))
    for part in ("controllers", "scheduler"):
        parts.append(start(COXSWAIN, part, "--insecure", "--server", "http://" + api, "--name", name))
    parts.append(start(COXSWAIN, "hollow-nodes", "--insecure", "--server", "http://" + api, "--count", "2"))

    def kubectl(*args):
        return harness.kubectl("--server", "http://" + api, *args)

    eventually("two nodes", lambda: kubectl("get", "nodes").count(" Ready ") == 2)
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=40s")
    kubectl("scale", "deployment", "web", "--replicas=1")
    eventually("one is left", lambda: kubectl("get", "pods", "-l", "app=web", "--no-headers").count("Running") == 1)
    kubectl("delete", "deployment", "web", "--timeout=30s")
    eventually("none is left", lambda: "web" not in kubectl("get", "pods"))
    contains(kubectl("get", "svc"), "kubernetes")
    for p in parts:
        p.terminate()
        p.wait(20)


def ready(api):
    try:
        return urllib.request.urlopen(f"http://{api}/readyz", timeout=2).status == 200
    except OSError:
        return False


def on_a_store_of_its_own():
    client, peer = free_port(), free_port()
    start(COXSWAIN, "store", "--insecure", "--name", "s1", "--data-dir", root + "/s1", "--listen-client", f"127.0.0.1:{client}", "--listen-peer", f"127.0.0.1:{peer}")
    scenario("own", client)


def on_a_stock_etcd():
    client, peer = free_port(), free_port()
    start("etcd", "--name", "e1", "--data-dir", root + "/e1", "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
          "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"e1=http://127.0.0.1:{peer}",
          "--log-level", "error")
    scenario("etcd", client)


main([on_a_store_of_its_own, on_a_stock_etcd])
