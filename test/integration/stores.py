"""Stores of their own, in clear text and without the Kubernetes API, and a stock etcd beside them: processes, and etcdctl and coxctl on them."""
import atexit
import contextlib
import json
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from harness import COXCTL, COXSWAIN, Failure, contains, equal, eventually, free_port, run

root = tempfile.mkdtemp(prefix="coxswain-test-")
running = []


@atexit.register
def clean():
    for process in running:
        with contextlib.suppress(Exception):
            process.kill()
            process.wait()
    shutil.rmtree(root, ignore_errors=True)


def spawn(command, log):
    with open(f"{root}/{log}", "a") as out:
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT)
    running.append(process)
    return process


class Server:
    """One process that speaks etcd's API on `client`."""
    process = None

    def etcdctl(self, *args, **kw):
        return etcdctl(self.client, *args, **kw)

    def refused(self, text, *args, **kw):
        code, out = self.etcdctl(*args, check=False, **kw)
        equal(code != 0, True, args)
        contains(out, text)

    def revision(self):
        return json.loads(self.etcdctl("get", "x", "-w", "json"))["header"]["revision"]

    def http(self, path):
        """(status, body)"""
        try:
            with urllib.request.urlopen(f"http://{self.client}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def ready(self):
        def healthy():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} has ended: {self.said()[-2000:]}")
            return "is healthy" in self.etcdctl("endpoint", "health", check=False)[1]
        eventually(f"{self.name} serves", healthy)

    def said(self):
        with open(f"{root}/{self.name}.log") as log:
            return log.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Store(Server):
    def __init__(self, name, *flags):
        self.name, self.flags = name, flags
        self.peer, self.client = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.directory = f"{root}/{name}"
        self.security = ("--insecure",)

    def start(self, *flags):
        self.process = spawn([COXSWAIN, "store", *self.security, "--name", self.name, "--data-dir", self.directory, "--listen-peer", self.peer,
                              "--listen-client", self.client, *self.flags, *flags], self.name + ".log")
        return self


class Etcd(Server):
    """Debian's etcd 3.4, alone or a member of several."""

    def __init__(self, name, *flags):
        self.name, self.flags = name, flags
        self.peer, self.client = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.directory = f"{root}/{name}"

    def start(self, *flags):
        self.process = spawn(["etcd", "--name", self.name, "--data-dir", self.directory, "--listen-peer-urls", "http://" + self.peer,
                              "--initial-advertise-peer-urls", "http://" + self.peer, "--listen-client-urls", "http://" + self.client,
                              "--advertise-client-urls", "http://" + self.client, "--log-level", "error",
                              *(flags or ("--initial-cluster", f"{self.name}=http://{self.peer}")), *self.flags], self.name + ".log")
        return self


class Load(threading.Thread):
    """Puts one key after the other; a put that fails is tried again for ten seconds, as clients do. `members`: who is asked, at each put anew."""

    def __init__(self, members):
        super().__init__()
        self.members, self.done, self.failed, self.ended = members, 0, None, False

    def run(self):
        while not self.ended and not self.failed:
            try:
                eventually("a put", lambda: coxctl("put", f"load/{self.done:06}", str(self.done), "--endpoints", endpoints(self.members()), timeout=20) == "OK\n",
                           seconds=10)
                self.done += 1
            except Exception as e:  # noqa: BLE001
                self.failed = e

    def end(self):
        self.ended = True
        self.join()

    def held(self):
        """That it never failed, and nothing of it is lost."""
        if self.failed:
            raise Failure(f"after {self.done} puts: {self.failed}")
        keys = etcdctl(endpoints(self.members()), "get", "--prefix", "load/", "--keys-only").split()
        equal(keys, [f"load/{i:06}" for i in range(self.done)])


def initial_cluster(members):
    return ",".join(f"{m.name}=http://{m.peer}" for m in members)


def start_cluster(members, *flags):
    for m in members:
        m.start("--initial-cluster", initial_cluster(members), *flags)
    for m in members:
        m.ready()
    return members


def endpoints(members):
    return ",".join("http://" + m.client for m in members)


def etcdctl(client, *args, **kw):
    urls = client if "://" in client else "http://" + client
    return run("etcdctl", "--endpoints", urls, *args, env={"ETCDCTL_API": "3"}, **kw)


def coxctl(*args, **kw):
    return run(COXCTL, *args, **kw)


def hashes(members, revision=0):
    """The members' hashes of what can be read at the revision: one when they agree."""
    out = json.loads(coxctl("hash", "--rev", str(revision), "--endpoints", endpoints(members), "-o", "json"))
    return {m["hash"] for m in out["members"]}
