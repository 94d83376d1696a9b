#!/usr/bin/env python3
"""One store alone, under what breaks stores: a disk that is full, and kill -9 over and over."""
import atexit
import base64
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading

from harness import COXCTL, COXSWAIN, Failure, Skip, equal, eventually, free_port, main, run

VALUE = base64.b64encode(random.Random(1).randbytes(75_000)).decode()  # cannot be compressed


class Store:
    def __init__(self, directory):
        self.client, self.peer = free_port(), free_port()
        self.command = [COXSWAIN, "store", "--insecure", "--name", "s", "--data-dir", directory,
                        "--listen-client", f"127.0.0.1:{self.client}", "--listen-peer", f"127.0.0.1:{self.peer}"]
        self.log = tempfile.TemporaryFile("w+")
        self.process = None
        atexit.register(self.kill)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def coxctl(self, *args, **kw):
        return run(COXCTL, *args, "--endpoints", f"http://127.0.0.1:{self.client}", **kw)

    def ready(self):
        eventually("the store answers", lambda: self.coxctl("put", "ready", "yes") == "OK\n")

    def has(self, keys):
        """That each is there, with its value."""
        for key in keys:
            equal(self.coxctl("get", key), f"{key}\n{VALUE}\n", key)

    def printed(self):
        self.log.seek(0)
        return self.log.read()


def a_full_disk_stops_writes_only_and_until_there_is_space():
    mount = tempfile.mkdtemp(prefix="coxswain-test-")
    code, said = run("mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", mount, check=False)
    if code != 0:
        shutil.rmtree(mount)
        raise Skip("no permission to mount: " + said.strip())
    try:
        store = Store(mount + "/data")
        store.ready()
        acknowledged = []
        for i in range(2000):
            code, said = store.coxctl("put", f"k{i}", VALUE, check=False)
            if code != 0:
                break
            acknowledged.append(f"k{i}")
        else:
            raise Failure("160 MB took 200 MB")
        code, said = store.coxctl("put", "more", VALUE, check=False)
        equal((code != 0, "database space exceeded" in said), (True, True), said)
        store.has(acknowledged[-3:])
        # A snapshot takes nothing of what little is left.
        code, said = store.coxctl("snapshot", "save", mount + ".snapshot", check=False)
        equal((code != 0, "no room for a snapshot" in said), (True, True), said)
        equal(store.process.poll(), None, "the process ended: " + store.printed()[-300:])

        # Killed and started on the full disk it has lost nothing.
        store.kill()
        store.start()
        eventually("the store answers", lambda: store.coxctl("get", acknowledged[0]))
        store.has(acknowledged)

        run("mount", "-o", "remount,size=400m", mount)
        store.ready()
        for i in range(20):
            store.coxctl("put", f"later{i}", VALUE)
        store.has([f"later{i}" for i in range(20)])
        run("mount", "-o", "remount,size=900m", mount)
        store.coxctl("snapshot", "save", mount + ".snapshot")
        store.kill()
    finally:
        run("umount", "-l", mount)
        shutil.rmtree(mount)
        pathlib.Path(mount + ".snapshot").unlink(missing_ok=True)


def killed_while_it_writes_it_loses_nothing():
    root = tempfile.mkdtemp(prefix="coxswain-test-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    store = Store(root)
    acknowledged = []
    stop = threading.Event()

    def write(writer):
        i = 0
        while not stop.is_set():
            key = f"w{writer}-{i}"
            if store.coxctl("put", key, VALUE, check=False)[0] == 0:
                acknowledged.append(key)
            i += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for w in writers:
        w.start()
    try:
        for _ in range(8):
            before = len(acknowledged)
            eventually("writes go on", lambda: len(acknowledged) > before + 5)
            store.kill()
            store.start()
    finally:
        stop.set()
        for w in writers:
            w.join()
    store.ready()
    store.has(acknowledged)
    print(f"# {len(acknowledged)} writes acknowledged over 8 kills")


main([a_full_disk_stops_writes_only_and_until_there_is_space, killed_while_it_writes_it_loses_nothing])
