"""What the integration tests share: a cluster in a temporary directory, commands, waiting, and TAP output."""
import atexit
import contextlib
import functools
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = pathlib.Path(os.environ.get("COXSWAIN_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("COXSWAIN_BUILD", SOURCE / "build"))
COXCTL = str(BUILD / "tools/coxctl")
COXSWAIN = str(BUILD / "tools/coxswain")
KUBECTL = str(SOURCE / ".cache/kubectl/kubectl")


class Failure(Exception):
    pass


def run(*command, check=True, stdin=None, env=None, timeout=60):
    """Runs a command; its standard output. With check=False: (exit code, output and errors)."""
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})})
    if not check:
        return done.returncode, done.stdout + done.stderr
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}\n  exit code {done.returncode}\n  {done.stdout}\n  {done.stderr}")
    return done.stdout


@functools.cache
def scratch():
    """A directory for what the clients keep, removed at the end."""
    path = tempfile.mkdtemp(prefix="coxswain-test-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def kubectl_env(config):
    """The user's own configuration and caches are neither read nor written."""
    return {"KUBECONFIG": config, "KUBECACHEDIR": scratch(), "HOME": scratch()}


def kubectl(*args, config=os.devnull, **kw):
    return run(KUBECTL, *args, env=kubectl_env(config), **kw)


def eventually(what, condition, seconds=30, pause=0.05):
    """Waits until condition() is true (an exception counts as not yet); fails with the last reason."""
    until = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (Failure, subprocess.TimeoutExpired, json.JSONDecodeError, KeyError, IndexError) as e:
            last = e
        if time.monotonic() > until:
            raise Failure(f"not within {seconds} s: {what}; last: {last}")
        time.sleep(pause)


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, wanted {wanted!r}")


def contains(text, wanted):
    if wanted not in text:
        raise Failure(f"{wanted!r} is not in {text!r}")


class Skip(Exception):
    """The machine cannot do what the test needs."""


def free_port():
    """Below the range of the source ports of connections, as coxctl chooses them."""
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.randint(10000, 32000)))
            return s.getsockname()[1]


class Cluster:
    def __init__(self, *flags):
        self.root = tempfile.mkdtemp(prefix="coxswain-test-")
        self.dir = self.root + "/c"
        atexit.register(self.close)
        self.kubeconfig = self.dir + "/admin.kubeconfig"
        run(COXCTL, "cluster", "up", "--dir", self.dir, *flags, timeout=90)

    def status(self):
        return json.loads(run(COXCTL, "cluster", "status", "--dir", self.dir, "-o", "json"))

    def coxctl(self, *args, **kw):
        return run(COXCTL, *args, "--cluster", self.dir, **kw)

    def cluster(self, *args, **kw):
        return run(COXCTL, "cluster", args[0], "--dir", self.dir, *args[1:], **kw)

    def kubectl(self, *args, **kw):
        return kubectl(*args, config=self.kubeconfig, **kw)

    def kubectl_json(self, *args):
        return json.loads(self.kubectl(*args, "-o", "json"))

    def etcdctl(self, *args, endpoint=None, **kw):
        s = self.status()
        endpoints = endpoint or ",".join(m["client"] for m in s["members"])
        return run("etcdctl", "--endpoints", endpoints, "--cacert", s["ca"], "--cert", s["cert"], "--key", s["key"], *args,
                   env={"ETCDCTL_API": "3"}, **kw)

    def healthy(self):
        return all(m["healthy"] for m in self.status()["members"])

    def close(self):
        subprocess.run([COXCTL, "cluster", "down", "--dir", self.dir], capture_output=True, timeout=90)
        shutil.rmtree(self.root, ignore_errors=True)


def main(tests):
    """Runs the functions in order; later ones go on where earlier ones left the cluster."""
    print(f"1..{len(tests)}")
    bad = False
    for i, test in enumerate(tests, 1):
        began = time.monotonic()
        try:
            test()
            print(f"ok {i} - {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Skip as e:
            print(f"ok {i} - {test.__name__} # SKIP {e}", flush=True)
        except Exception:  # noqa: BLE001: whatever it is, the test failed
            bad = True
            print(f"not ok {i} - {test.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if bad else 0)
